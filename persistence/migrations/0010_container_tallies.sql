-- How many containers a project has, without counting them each time: as for
-- secrets in migration 8.
--
-- Locks: containers exclusively, for the column, the index and the trigger.
-- Code:  reads and writes these from release 0.1.

-- +goose Up

ALTER TABLE containers ADD COLUMN tallied boolean NOT NULL DEFAULT false;
CREATE INDEX containers_untallied ON containers (project, created_at) WHERE NOT tallied;
CREATE TRIGGER containers_untally AFTER DELETE ON containers
    FOR EACH ROW WHEN (OLD.tallied) EXECUTE FUNCTION untally();

-- +goose Down
-- For tests; production only goes forward.
DROP TRIGGER containers_untally ON containers;
DROP INDEX containers_untallied;
ALTER TABLE containers DROP COLUMN tallied;
