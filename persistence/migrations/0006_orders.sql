-- Orders: what callers want made, and what became of it.
--
-- Locks: none worth naming, the table is new; a key share of keks for the
--        foreign key.
-- Code:  reads and writes this from release 0.1.

-- +goose Up

CREATE TABLE orders (
    project       text         COLLATE "C" NOT NULL,
    id            uuid         NOT NULL,
    kind          text         COLLATE "C" NOT NULL,
    status        text         COLLATE "C" NOT NULL,
    name          text         COLLATE "C",
    algorithm     text         COLLATE "C" NOT NULL,
    mode          text         COLLATE "C",
    bit_length    int          NOT NULL,
    expiration    timestamptz,
    content_type  text         NOT NULL,
    shown         text         NOT NULL,              -- all that, as its dialect shows it: a JSON object
    words         text[]       COLLATE "C" NOT NULL,  -- names and texts in it, for the list
    creator       text         NOT NULL,
    request       text         NOT NULL,
    created_at    timestamptz  NOT NULL,
    updated_at    timestamptz  NOT NULL,
    error_code    text,
    error_reason  text,
    -- What it made. No foreign keys: an order outlives that.
    secret        uuid,
    container     uuid,
    -- The passphrase, sealed like a version of a secret; gone with PENDING.
    kek           uuid,
    wrapped_dek   bytea,
    body          bytea,
    -- Who works on it. Its claim is good until due_at; attempt grows with each
    -- claim, and nothing is stored for an attempt that is not the last.
    due_at        timestamptz  NOT NULL,
    attempt       int          NOT NULL,
    lapses        int          NOT NULL,              -- claims in a row that nobody gave back
    CONSTRAINT orders_pkey PRIMARY KEY (project, id),
    CONSTRAINT orders_kind CHECK (kind IN ('key', 'asymmetric')),
    CONSTRAINT orders_status CHECK (status IN ('PENDING', 'ACTIVE', 'ERROR')),
    CONSTRAINT orders_error CHECK (num_nulls(error_code, error_reason) = CASE status WHEN 'ERROR' THEN 0 ELSE 2 END),
    CONSTRAINT orders_made CHECK (num_nonnulls(secret, container) = CASE status WHEN 'ACTIVE' THEN 1 ELSE 0 END),
    CONSTRAINT orders_passphrase CHECK (num_nulls(kek, wrapped_dek, body) = 3
        OR (num_nulls(kek, wrapped_dek, body) = 0 AND status = 'PENDING')),
    CONSTRAINT orders_attempt CHECK (attempt >= lapses AND lapses >= 0),
    CONSTRAINT orders_kek FOREIGN KEY (project, kek) REFERENCES keks (project, id)
) WITH (fillfactor = 85);

-- The condition holds for every row, and keeps the planner from this index
-- where a statement does not repeat it (see secrets_by_creation of 0008).
CREATE INDEX orders_by_creation ON orders (project, created_at, id) WHERE created_at > '-infinity';

-- What there is to do, of all projects.
CREATE INDEX orders_due ON orders (due_at) WHERE status = 'PENDING';

CREATE INDEX orders_by_kek ON orders (project, kek) WHERE kek IS NOT NULL;

-- +goose Down
-- For tests; production only goes forward.
DROP TABLE orders;
