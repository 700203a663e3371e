-- Rotations of secrets: which run, how far they are, and what became of them
-- (csms.md §7).
--
-- Locks: secrets, for a column with a constant default and an index.
-- Code:  reads and writes these from release 0.1.

-- +goose Up

-- The version that a running rotation is about to put into force; 0: none runs.
ALTER TABLE secrets ADD COLUMN rotating_version int NOT NULL DEFAULT 0;

-- Those that rotate by themselves, over all projects: one job looks for them.
CREATE INDEX secrets_by_rotation ON secrets (rotate_at)
    WHERE auto_rotation AND rotate_at IS NOT NULL AND state = 'ENABLED' AND rotating_version = 0;

-- A task outlives its secret: what became of it is still asked for.
CREATE TABLE rotation_tasks (
    project        text         COLLATE "C" NOT NULL,
    id             uuid         NOT NULL,             -- of version 7: in the order of time
    secret         uuid         NOT NULL,
    secret_name    text         COLLATE "C" NOT NULL,
    func_urn       text         NOT NULL,
    auto           boolean      NOT NULL,
    version        int          NOT NULL,             -- that it puts into force; 0: it failed before
    status         text         COLLATE "C" NOT NULL,
    step           text         COLLATE "C" NOT NULL, -- what may have been done already
    attempts       int          NOT NULL DEFAULT 0,
    error_code     text         NOT NULL DEFAULT '',
    error_text     text         NOT NULL DEFAULT '',  -- as clients see it
    started_at     timestamptz  NOT NULL,
    due_at         timestamptz,                       -- of the next attempt; NULL: it has ended
    holder         uuid,                              -- who works on it
    claimed_until  timestamptz,                       -- whose claim ends then by itself
    CONSTRAINT rotation_tasks_pkey PRIMARY KEY (project, id),
    CONSTRAINT rotation_tasks_status CHECK (status IN ('ROTATING', 'SUCCESS', 'FAILED')),
    CONSTRAINT rotation_tasks_step CHECK (step IN ('created', 'setting', 'testing', 'reverting')),
    CONSTRAINT rotation_tasks_ended CHECK ((status = 'ROTATING') = (due_at IS NOT NULL))
) WITH (fillfactor = 85);

-- One at a time for each secret, kept by the database.
CREATE UNIQUE INDEX rotation_tasks_one_running ON rotation_tasks (project, secret) WHERE status = 'ROTATING';
CREATE INDEX rotation_tasks_by_name ON rotation_tasks (project, secret_name, id);
CREATE INDEX rotation_tasks_due ON rotation_tasks (due_at) WHERE status = 'ROTATING';
CREATE INDEX rotation_tasks_old ON rotation_tasks (started_at) WHERE status <> 'ROTATING';

-- +goose Down
-- For tests; production only goes forward.
DROP TABLE rotation_tasks;
DROP INDEX secrets_by_rotation;
ALTER TABLE secrets DROP COLUMN rotating_version;
