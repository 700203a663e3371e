-- What the nodes tell each other about logging in at a token: who does so just
-- now, and whether the PIN was refused (pkcs11.md §7.4).
--
-- Locks: none worth naming, both tables are new.
-- Code:  reads and writes these from release 0.1.
--
-- A handful of rows, of no tenant; on a distributed database reference tables.
-- token is what the configuration calls it, since a token that refuses its PIN
-- need not have told its serial number. Nothing here is made from the PIN: it
-- has so few possibilities that a hash of it would give it away.

-- +goose Up

CREATE TABLE hsm_login_block (
    token  text         COLLATE "C" NOT NULL,
    since  timestamptz  NOT NULL,
    node   text         NOT NULL,
    code   text         NOT NULL,  -- empty: an operator allows whoever was refused before since
    CONSTRAINT hsm_login_block_pkey PRIMARY KEY (token)
);

-- One node logs in at a time, or three would try the same wrong PIN before the
-- first has been refused. The turn of a node that died in it lapses.
CREATE TABLE hsm_login_turn (
    token   text         COLLATE "C" NOT NULL,
    holder  uuid         NOT NULL,
    until   timestamptz  NOT NULL,
    CONSTRAINT hsm_login_turn_pkey PRIMARY KEY (token)
);

-- +goose Down
-- For tests; production only goes forward.
DROP TABLE hsm_login_turn;
DROP TABLE hsm_login_block;
