-- Secrets with their sealed versions, the master keys and KEKs those depend
-- on, and the audit events of changes.
--
-- Locks: none worth naming, all tables are new.
-- Code:  reads and writes these from release 0.1.
--
-- Identifiers compare as bytes: lists promise byte order, and it is what an
-- index compares fastest.

-- +goose Up

-- Which project a master key belongs to, for ever: a destroyed key's UUID is
-- never given out again.
CREATE TABLE master_key_directory (
    id         uuid        NOT NULL,
    project    text        COLLATE "C" NOT NULL,
    destroyed  boolean     NOT NULL DEFAULT false,
    CONSTRAINT master_key_directory_pkey PRIMARY KEY (id)
);

CREATE TABLE master_keys (
    project      text         COLLATE "C" NOT NULL,
    id           uuid         NOT NULL,
    alias        text         COLLATE "C" NOT NULL,
    state        text         COLLATE "C" NOT NULL DEFAULT 'enabled',
    spec         text         COLLATE "C" NOT NULL DEFAULT 'AES_256',
    usage        text         COLLATE "C" NOT NULL DEFAULT 'ENCRYPT_DECRYPT',
    is_default   boolean      NOT NULL DEFAULT false,  -- the project's csms/default
    description  text         NOT NULL DEFAULT '',
    created_at   timestamptz  NOT NULL,
    CONSTRAINT master_keys_pkey PRIMARY KEY (project, id),
    CONSTRAINT master_keys_alias_in_project UNIQUE (project, alias),
    CONSTRAINT master_keys_state CHECK (state IN ('enabled', 'disabled', 'pending_deletion', 'pending_import'))
);

CREATE UNIQUE INDEX master_keys_one_default ON master_keys (project) WHERE is_default;

CREATE TABLE keks (
    project        text         COLLATE "C" NOT NULL,
    id             uuid         NOT NULL,                -- also its CKA_ID in the token
    master_key     uuid         NOT NULL,
    number         int          NOT NULL,                -- of a pending one: what it would be
    state          text         COLLATE "C" NOT NULL,
    disabled       boolean      NOT NULL DEFAULT false,  -- beside the state: enabling needs no memory
    handed_out     boolean      NOT NULL DEFAULT false,  -- KMS callers hold ciphertext under it
    format         smallint,                             -- how it wraps (docs/key-hierarchy.md)
    canary         bytea,                                -- a known text, wrapped
    check_value    bytea,                                -- CKA_CHECK_VALUE; NULL: the token has none
    token_label    text,
    token_serial   text,
    wraps_leased   bigint       NOT NULL DEFAULT 0,      -- runs ahead of the wraps done, never behind
    created_at     timestamptz  NOT NULL,
    pending_until  timestamptz,                          -- whose maker has not finished by then is dead
    CONSTRAINT keks_pkey PRIMARY KEY (project, id),
    CONSTRAINT keks_master_key FOREIGN KEY (project, master_key) REFERENCES master_keys (project, id),
    CONSTRAINT keks_number CHECK (number >= 1),
    CONSTRAINT keks_state CHECK (state IN ('pending', 'active', 'decrypt-only', 'retired',
        'scheduled', 'destroying', 'destroyed')),
    CONSTRAINT keks_known CHECK (state = 'pending' OR (format IS NOT NULL AND canary IS NOT NULL)),
    CONSTRAINT keks_owned CHECK ((state = 'pending') = (pending_until IS NOT NULL)),
    CONSTRAINT keks_wraps CHECK (wraps_leased BETWEEN 0 AND 4294967296)  -- SP 800-38D §8.3
) WITH (fillfactor = 80);

-- At most one active KEK per master key, and one of each number, kept by the
-- database and not by good intentions.
CREATE UNIQUE INDEX keks_one_active ON keks (project, master_key) WHERE state = 'active';
CREATE UNIQUE INDEX keks_one_number ON keks (project, master_key, number) WHERE state <> 'pending';
CREATE INDEX keks_pending ON keks (project, master_key) WHERE state = 'pending';

CREATE TABLE secret_events (
    project      text         COLLATE "C" NOT NULL,
    name         text         COLLATE "C" NOT NULL,
    id           uuid         NOT NULL,
    types        text[]       NOT NULL,
    state        text         COLLATE "C" NOT NULL,
    target_type  text         NOT NULL,
    target_id    text         NOT NULL,
    target_name  text         NOT NULL,
    created_at   timestamptz  NOT NULL,
    updated_at   timestamptz  NOT NULL,
    CONSTRAINT secret_events_pkey PRIMARY KEY (project, name),
    CONSTRAINT secret_events_state CHECK (state IN ('ENABLED', 'DISABLED'))
);

CREATE TABLE secrets (
    project             text         COLLATE "C" NOT NULL,
    id                  uuid         NOT NULL,
    family              text         COLLATE "C" NOT NULL,  -- of the client that made it
    name                text         COLLATE "C",
    -- What CSMS calls it, unless another secret is listed as the same: then a
    -- Barbican secret goes by its UUID.
    listed_as           text         COLLATE "C" NOT NULL GENERATED ALWAYS AS (
        CASE WHEN family = 'huawei' OR name ~ '^[a-zA-Z0-9_-]{1,64}$' THEN name ELSE id::text END) STORED,
    type                text         COLLATE "C" NOT NULL,
    algorithm           text         COLLATE "C",
    mode                text         COLLATE "C",
    bit_length          int,
    expiration          timestamptz,                        -- from then on it does not exist
    creator             text         NOT NULL,
    state               text         COLLATE "C" NOT NULL,
    description         text         NOT NULL,
    kind                text         NOT NULL,              -- CSMS's secret_type
    master_key          uuid,                               -- protects new versions
    delete_at           timestamptz,                        -- from then on it does not exist
    auto_rotation       boolean      NOT NULL,
    rotation_period     text         NOT NULL,
    rotation_config     text         NOT NULL,
    rotation_func_urn   text         NOT NULL,
    rotated_at          timestamptz,
    rotate_at           timestamptz,
    event               text         COLLATE "C",
    enterprise_project  text         NOT NULL,
    created_at          timestamptz  NOT NULL,
    updated_at          timestamptz  NOT NULL,
    latest              int          NOT NULL,              -- highest number ever issued; 0: none
    latest_at           timestamptz,
    current_version     int          NOT NULL,              -- SYSCURRENT; 0: nowhere
    current_since       timestamptz,
    previous_version    int          NOT NULL,              -- SYSPREVIOUS; 0: nowhere
    previous_since      timestamptz,
    content_type        text         NOT NULL,              -- of the current version
    revision            bigint       NOT NULL DEFAULT 0,    -- grows with each change
    metadata_revision   bigint       NOT NULL DEFAULT 0,    -- grows when all pairs are replaced
    CONSTRAINT secrets_pkey PRIMARY KEY (project, id),
    CONSTRAINT secrets_family CHECK (family IN ('key-manager', 'huawei')),
    CONSTRAINT secrets_huawei_name CHECK (family <> 'huawei' OR name IS NOT NULL),
    CONSTRAINT secrets_state CHECK (state IN ('ENABLED', 'DISABLED', 'PENDING_DELETE', 'FROZEN')),
    CONSTRAINT secrets_delete_at CHECK ((state = 'PENDING_DELETE') = (delete_at IS NOT NULL)),
    CONSTRAINT secrets_current CHECK ((current_version = 0) = (latest = 0) AND current_version <= latest),
    CONSTRAINT secrets_revision CHECK (revision >= 0),
    CONSTRAINT secrets_event FOREIGN KEY (project, event) REFERENCES secret_events (project, name)
) WITH (fillfactor = 85);

-- CSMS names are unique, Barbican's may repeat.
CREATE UNIQUE INDEX secrets_name_in_project ON secrets (project, name) WHERE family = 'huawei';

-- The condition of the next two holds for every row, and keeps the planner from
-- them where a statement does not repeat it. On a table without statistics it
-- takes any index that begins with the project for as good as the primary key,
-- and reads the whole project: the foreign key of secret_versions did so on
-- each insert.
CREATE INDEX secrets_by_handle ON secrets (project, listed_as, id) WHERE revision >= 0;
CREATE INDEX secrets_by_event ON secrets (project, event, listed_as, id) WHERE event IS NOT NULL;
-- Includes what tells the living, so that counting reads the index alone.
CREATE INDEX secrets_by_creation ON secrets (project, created_at, id) INCLUDE (expiration, delete_at) WHERE revision >= 0;

-- For paths that name no project.
CREATE TABLE secret_directory (
    id       uuid  NOT NULL,
    project  text  COLLATE "C" NOT NULL,
    CONSTRAINT secret_directory_pkey PRIMARY KEY (id)
);

CREATE TABLE secret_versions (
    project       text         COLLATE "C" NOT NULL,
    secret        uuid         NOT NULL,
    number        int          NOT NULL,
    kek           uuid         NOT NULL,
    wrapped_dek   bytea        NOT NULL,
    body          bytea        NOT NULL,
    content_type  text         NOT NULL,
    created_at    timestamptz  NOT NULL,
    expires_at    timestamptz,
    CONSTRAINT secret_versions_pkey PRIMARY KEY (project, secret, number),
    CONSTRAINT secret_versions_secret FOREIGN KEY (project, secret)
        REFERENCES secrets (project, id) ON DELETE CASCADE,
    CONSTRAINT secret_versions_kek FOREIGN KEY (project, kek) REFERENCES keks (project, id),
    CONSTRAINT secret_versions_number CHECK (number >= 1)
);
-- Ciphertext does not compress.
ALTER TABLE secret_versions ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE INDEX secret_versions_by_kek ON secret_versions (project, kek);

-- Where each stage is, but SYSCURRENT and SYSPREVIOUS: every read needs those,
-- so they are columns of secrets.
CREATE TABLE secret_stages (
    project  text         COLLATE "C" NOT NULL,
    secret   uuid         NOT NULL,
    name     text         COLLATE "C" NOT NULL,
    version  int          NOT NULL,
    since    timestamptz  NOT NULL,
    CONSTRAINT secret_stages_pkey PRIMARY KEY (project, secret, name),
    CONSTRAINT secret_stages_version FOREIGN KEY (project, secret, version)
        REFERENCES secret_versions (project, secret, number) ON DELETE CASCADE,
    CONSTRAINT secret_stages_name CHECK (name NOT IN ('SYSCURRENT', 'SYSPREVIOUS'))
);

CREATE TABLE secret_metadata (
    project  text  COLLATE "C" NOT NULL,
    secret   uuid  NOT NULL,
    key      text  COLLATE "C" NOT NULL,
    value    text  NOT NULL,
    CONSTRAINT secret_metadata_pkey PRIMARY KEY (project, secret, key),
    CONSTRAINT secret_metadata_secret FOREIGN KEY (project, secret)
        REFERENCES secrets (project, id) ON DELETE CASCADE
);

-- What was changed, by whom, in the same transaction. Identifiers are UUIDs of
-- version 7, so the key is in the order of time. The text is kept as it was
-- written: it may be signed some day.
CREATE TABLE audit_events (
    project  text         COLLATE "C" NOT NULL,
    id       uuid         NOT NULL,
    at       timestamptz  NOT NULL,
    event    text         NOT NULL,
    CONSTRAINT audit_events_pkey PRIMARY KEY (project, id)
);

-- +goose Down
-- For tests; production only goes forward.
DROP TABLE audit_events;
DROP TABLE secret_metadata;
DROP TABLE secret_stages;
DROP TABLE secret_versions;
DROP TABLE secret_directory;
DROP TABLE secrets;
DROP TABLE secret_events;
DROP TABLE keks;
DROP TABLE master_keys;
DROP TABLE master_key_directory;
