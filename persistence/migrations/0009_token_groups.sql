-- Which group of tokens holds which key, and which group a project wants its
-- new secrets in (Barbican's secret stores, barbican.md §16).
--
-- Locks: master_keys and keks, for columns with a constant default and an index
--        each: a second for a million keys.
-- Code:  reads and writes these from release 0.1; what was made before is in
--        the group that the short form of the configuration stands for.

-- +goose Up

-- Of no tenant, and as few as the installation has groups. A row stays when its
-- group leaves the configuration, so that the group has its id again if it
-- comes back.
CREATE TABLE token_groups (
    name        text         COLLATE "C" NOT NULL,
    id          uuid         NOT NULL,  -- of the secret store that it is to clients
    created_at  timestamptz  NOT NULL,
    updated_at  timestamptz  NOT NULL,
    CONSTRAINT token_groups_pkey PRIMARY KEY (name),
    CONSTRAINT token_groups_id UNIQUE (id)
);

-- Where a project's new master keys are made. One without a row goes where the
-- configuration says.
CREATE TABLE preferred_token_groups (
    project      text         COLLATE "C" NOT NULL,
    token_group  text         COLLATE "C" NOT NULL,
    created_at   timestamptz  NOT NULL,
    updated_at   timestamptz  NOT NULL,
    CONSTRAINT preferred_token_groups_pkey PRIMARY KEY (project),
    CONSTRAINT preferred_token_groups_group FOREIGN KEY (token_group) REFERENCES token_groups (name)
);
CREATE INDEX preferred_token_groups_by_group ON preferred_token_groups (token_group);

-- The default stays, for programs of the release before that still write.
ALTER TABLE master_keys ADD COLUMN token_group text COLLATE "C" NOT NULL DEFAULT 'default';  -- of its next KEK
ALTER TABLE keks ADD COLUMN token_group text COLLATE "C" NOT NULL DEFAULT 'default';         -- whose tokens hold it

-- Whether anything depends on a group that is not configured any more.
CREATE INDEX keks_by_group ON keks (token_group);

-- One default master key in each group that the project's secrets went to.
DROP INDEX master_keys_one_default;
CREATE UNIQUE INDEX master_keys_one_default ON master_keys (project, token_group) WHERE is_default;

-- +goose Down
-- For tests; production only goes forward.
DROP INDEX master_keys_one_default;
CREATE UNIQUE INDEX master_keys_one_default ON master_keys (project) WHERE is_default;
DROP INDEX keks_by_group;
ALTER TABLE keks DROP COLUMN token_group;
ALTER TABLE master_keys DROP COLUMN token_group;
DROP TABLE preferred_token_groups;
DROP TABLE token_groups;
