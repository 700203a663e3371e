-- Who may read a secret beside those whom the project's roles let, and who
-- says that it needs one (barbican.md §10, §11).
--
-- Locks: secrets exclusively, for the columns and the constraints: a moment
--        each but the check and the index, which read the table once.
-- Code:  reads and writes these from release 0.1.

-- +goose Up

-- Columns and no table: every decision about a secret needs them.
ALTER TABLE secrets
    ADD COLUMN acl_private     boolean,                     -- NULL: the secret has no ACL
    ADD COLUMN acl_readers     text[]       COLLATE "C",    -- user IDs
    ADD COLUMN acl_created_at  timestamptz,
    ADD COLUMN acl_updated_at  timestamptz,
    ADD CONSTRAINT secrets_acl CHECK (
        num_nulls(acl_private, acl_readers, acl_created_at, acl_updated_at) IN (0, 4));

-- For the secrets of all projects that are shared with one user. A secret
-- without an ACL is not in it, and so costs nothing.
CREATE INDEX secrets_by_reader ON secrets USING gin (acl_readers)
    WITH (fastupdate = off) WHERE acl_readers IS NOT NULL;

CREATE TABLE secret_consumers (
    project        text         COLLATE "C" NOT NULL,
    secret         uuid         NOT NULL,
    id             uuid         NOT NULL,
    digest         bytea        NOT NULL,              -- SHA-256 of the next three, which may be too long for an index
    service        text         NOT NULL,
    resource_type  text         NOT NULL,
    resource_id    text         NOT NULL,
    registrar      text         COLLATE "C" NOT NULL,  -- project of whoever registered it
    created_at     timestamptz  NOT NULL,
    updated_at     timestamptz  NOT NULL,
    CONSTRAINT secret_consumers_pkey PRIMARY KEY (project, secret, id),
    CONSTRAINT secret_consumers_use UNIQUE (project, secret, digest),
    CONSTRAINT secret_consumers_secret FOREIGN KEY (project, secret)
        REFERENCES secrets (project, id) ON DELETE CASCADE,
    CONSTRAINT secret_consumers_digest CHECK (octet_length(digest) = 32)
);
-- The condition holds for every row, and keeps statements that look for one
-- consumer off this index, as with secrets_by_creation.
CREATE INDEX secret_consumers_by_creation ON secret_consumers (project, secret, created_at, id)
    WHERE octet_length(digest) = 32;
-- For the quota, which counts what a project registered, wherever that is.
CREATE INDEX secret_consumers_by_registrar ON secret_consumers (registrar);

-- +goose Down
-- For tests; production only goes forward.
DROP TABLE secret_consumers;
DROP INDEX secrets_by_reader;
ALTER TABLE secrets
    DROP CONSTRAINT secrets_acl,
    DROP COLUMN acl_private, DROP COLUMN acl_readers, DROP COLUMN acl_created_at, DROP COLUMN acl_updated_at;
