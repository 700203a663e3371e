-- How many secrets a project has, without counting them each time, the indexes
-- that lists and purging read, and who does background work.
--
-- Locks: secrets is locked while its indexes are built; reads go on.
-- Code:  reads and writes these from release 0.1.
--
-- A list says how many rows there are. Counting them costs more the more there
-- are, and a counter that each create changes is a queue. So a row is first
-- counted where it stands, by an index of the rows that are in no tally yet,
-- and later put into a tally, some hundred rows at a time: the mark and the
-- tally change in one statement, so that each snapshot finds a row in exactly
-- one of the two. How many there are is the sum of both, less those whose time
-- is over (decision 8).

-- +goose Up

CREATE TABLE row_tallies (
    project  text    COLLATE "C" NOT NULL,
    what     text    COLLATE "C" NOT NULL,  -- the table whose rows are counted
    id       uuid    NOT NULL DEFAULT gen_random_uuid(),
    n        bigint  NOT NULL,              -- so many more; less than 0: so many fewer
    CONSTRAINT row_tallies_pkey PRIMARY KEY (project, what, id)
);

-- Nobody changes a tally: each is added, and now and then all of a project are
-- replaced by their sum. A row that is in a tally and goes, by whatever
-- statement, leaves a tally of one fewer.
-- +goose StatementBegin
CREATE FUNCTION untally() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO row_tallies (project, what, n) VALUES (OLD.project, TG_TABLE_NAME, -1);
    RETURN NULL;
END $$;
-- +goose StatementEnd

ALTER TABLE secrets ADD COLUMN tallied boolean NOT NULL DEFAULT false;
-- By creation, so that new rows stand together, and that a walk through them
-- need not begin again where rows have been tallied already.
CREATE INDEX secrets_untallied ON secrets (project, created_at) WHERE NOT tallied;
CREATE TRIGGER secrets_untally AFTER DELETE ON secrets
    FOR EACH ROW WHEN (OLD.tallied) EXECUTE FUNCTION untally();

-- Two indexes get other conditions. Each holds for every row, and keeps the
-- planner from the index where a statement does not repeat it; one each, because
-- without statistics it would take one of these indexes for another. And no
-- statement changes these columns, so an update that changes no indexed column
-- writes into no index.
DROP INDEX secrets_by_handle;
DROP INDEX secrets_by_creation;
CREATE INDEX secrets_by_handle ON secrets (project, listed_as, id) WHERE family > '';
CREATE INDEX secrets_by_creation ON secrets (project, created_at, id) INCLUDE (expiration, delete_at)
    WHERE created_at > '-infinity';

-- For lists by name, and for names that begin with something.
CREATE INDEX secrets_by_name ON secrets (project, name, created_at, id) INCLUDE (expiration, delete_at)
    WHERE type >= '';

-- A secret ends with its expiration or its deletion time, whichever comes first.
-- Most never end, and are in neither.
CREATE INDEX secrets_ended ON secrets (project, (least(expiration, delete_at)))
    WHERE least(expiration, delete_at) IS NOT NULL;
CREATE INDEX secrets_to_purge ON secrets ((least(expiration, delete_at)))
    WHERE least(expiration, delete_at) IS NOT NULL;

-- Which node does a piece of background work just now. It saves work: nothing
-- depends on it.
CREATE TABLE job_leases (
    name    text         COLLATE "C" NOT NULL,
    holder  uuid         NOT NULL,
    until   timestamptz  NOT NULL,
    CONSTRAINT job_leases_pkey PRIMARY KEY (name)
);

-- +goose Down
-- For tests; production only goes forward.
DROP TABLE job_leases;
DROP INDEX secrets_to_purge;
DROP INDEX secrets_ended;
DROP INDEX secrets_by_name;
DROP INDEX secrets_by_creation;
DROP INDEX secrets_by_handle;
CREATE INDEX secrets_by_handle ON secrets (project, listed_as, id) WHERE revision >= 0;
CREATE INDEX secrets_by_creation ON secrets (project, created_at, id) INCLUDE (expiration, delete_at) WHERE revision >= 0;
DROP TRIGGER secrets_untally ON secrets;
DROP INDEX secrets_untallied;
ALTER TABLE secrets DROP COLUMN tallied;
DROP FUNCTION untally;
DROP TABLE row_tallies;
