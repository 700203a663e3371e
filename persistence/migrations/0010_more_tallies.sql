-- How many containers and orders a project has, without counting them each
-- time: as for secrets in migration 8.
--
-- Locks: containers, orders and secrets exclusively, for columns, indexes and
--        triggers.
-- Code:  reads and writes these from release 0.1.

-- +goose Up

ALTER TABLE containers ADD COLUMN tallied boolean NOT NULL DEFAULT false;
CREATE INDEX containers_untallied ON containers (project, created_at) WHERE NOT tallied;
CREATE TRIGGER containers_untally AFTER DELETE ON containers
    FOR EACH ROW WHEN (OLD.tallied) EXECUTE FUNCTION untally();

ALTER TABLE orders ADD COLUMN tallied boolean NOT NULL DEFAULT false;
CREATE INDEX orders_untallied ON orders (project, created_at) WHERE NOT tallied;
CREATE TRIGGER orders_untally AFTER DELETE ON orders
    FOR EACH ROW WHEN (OLD.tallied) EXECUTE FUNCTION untally();

-- A new row is in no tally, though it be a copy of one that is: whoever fills
-- tables by hand copies all columns. Nothing runs for rows that say so already.
-- Data that is restored with its tallies must come before the triggers, or
-- without them, as pg_dump and replication do it.
-- +goose StatementBegin
CREATE FUNCTION not_tallied() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.tallied := false;
    RETURN NEW;
END $$;
-- +goose StatementEnd

CREATE TRIGGER secrets_new BEFORE INSERT ON secrets
    FOR EACH ROW WHEN (NEW.tallied) EXECUTE FUNCTION not_tallied();
CREATE TRIGGER containers_new BEFORE INSERT ON containers
    FOR EACH ROW WHEN (NEW.tallied) EXECUTE FUNCTION not_tallied();
CREATE TRIGGER orders_new BEFORE INSERT ON orders
    FOR EACH ROW WHEN (NEW.tallied) EXECUTE FUNCTION not_tallied();

-- +goose Down
-- For tests; production only goes forward.
DROP TRIGGER orders_new ON orders;
DROP TRIGGER containers_new ON containers;
DROP TRIGGER secrets_new ON secrets;
DROP FUNCTION not_tallied;
DROP TRIGGER orders_untally ON orders;
DROP INDEX orders_untallied;
ALTER TABLE orders DROP COLUMN tallied;
DROP TRIGGER containers_untally ON containers;
DROP INDEX containers_untallied;
ALTER TABLE containers DROP COLUMN tallied;
