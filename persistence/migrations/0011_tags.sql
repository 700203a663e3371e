-- What secrets are for, in their owner's words (csms.md §8.5).
--
-- Locks: none worth naming, the table is new.
-- Code:  reads and writes it from release 0.1.

-- +goose Up

CREATE TABLE secret_tags (
    project  text  COLLATE "C" NOT NULL,
    secret   uuid  NOT NULL,
    key      text  COLLATE "C" NOT NULL,
    value    text  COLLATE "C" NOT NULL,
    CONSTRAINT secret_tags_pkey PRIMARY KEY (project, secret, key),
    CONSTRAINT secret_tags_secret FOREIGN KEY (project, secret)
        REFERENCES secrets (project, id) ON DELETE CASCADE,
    CONSTRAINT secret_tags_key CHECK (key <> '')
);

-- For finding secrets by their tags, and for the tags of a project. The
-- condition holds for every row, and keeps all other statements off it, as with
-- secrets_by_creation.
CREATE INDEX secret_tags_by_key ON secret_tags (project, key, value, secret) WHERE key > '';

-- +goose Down
-- For tests; production only goes forward.
DROP TABLE secret_tags;
