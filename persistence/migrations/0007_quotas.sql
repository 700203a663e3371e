-- How many secrets, orders, containers and consumers a project may have, and
-- the one place where that is decided when something is made.
--
-- Locks: none worth naming, both tables are new; container_consumers against
--        writes while its index is built.
-- Code:  reads and writes these from release 0.1.

-- +goose Up

-- What an administrator set for one project. NULL: the operator's default
-- counts. Negative: no limit. 0: nothing new.
CREATE TABLE project_quotas (
    project     text         COLLATE "C" NOT NULL,
    secrets     bigint,
    orders      bigint,
    containers  bigint,
    consumers   bigint,
    cas         bigint,      -- kept for clients that know it; nothing counts them
    created_at  timestamptz  NOT NULL,
    updated_at  timestamptz  NOT NULL,
    CONSTRAINT project_quotas_pkey PRIMARY KEY (project)
);

-- An administrator lists those of all projects.
CREATE INDEX project_quotas_by_creation ON project_quotas (created_at, project);

-- Who makes something in a project with a limit locks this row first, so that
-- of two who would take the last place one sees the other. It holds no count,
-- is never updated, and there is none for a project without limits.
CREATE TABLE quota_turns (
    project   text  COLLATE "C" NOT NULL,
    resource  text  COLLATE "C" NOT NULL,
    CONSTRAINT quota_turns_pkey PRIMARY KEY (project, resource)
);

-- What a project registered, wherever that is.
CREATE INDEX container_consumers_by_registrar ON container_consumers (registrar);

-- Whether a project that may have limit_ of a resource has room for one more.
-- The caller's transaction keeps the turn until it ends.
--
-- VOLATILE, so that under READ COMMITTED the count has a snapshot of its own,
-- taken after the lock: it sees what was committed while this one waited. The
-- count stops at the limit, and so does its cost; that of secrets is not counted
-- but added up.
-- +goose StatementBegin
CREATE FUNCTION quota_room(project_ text, resource_ text, limit_ bigint, now_ timestamptz) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    have bigint;
BEGIN
    IF limit_ < 0 THEN
        RETURN true;
    ELSIF limit_ = 0 THEN
        RETURN false;
    END IF;
    PERFORM FROM quota_turns t WHERE t.project = project_ AND t.resource = resource_ FOR UPDATE;
    IF NOT FOUND THEN
        INSERT INTO quota_turns (project, resource) VALUES (project_, resource_) ON CONFLICT DO NOTHING;
        PERFORM FROM quota_turns t WHERE t.project = project_ AND t.resource = resource_ FOR UPDATE;
    END IF;
    CASE resource_
    WHEN 'secrets' THEN
        -- What a list says that there are: see migration 8.
        SELECT (SELECT coalesce(sum(t.n), 0) FROM row_tallies t WHERE t.project = project_ AND t.what = 'secrets')
            + (SELECT count(*) FROM secrets s WHERE s.project = project_ AND NOT s.tallied)
            - (SELECT count(*) FROM secrets s WHERE s.project = project_ AND least(s.expiration, s.delete_at) <= now_)
            INTO have;
    WHEN 'containers' THEN
        SELECT count(*) INTO have FROM (
            SELECT FROM containers c WHERE c.project = project_ AND c.type <> '' LIMIT limit_) living;
    WHEN 'orders' THEN
        SELECT count(*) INTO have FROM (
            SELECT FROM orders o WHERE o.project = project_ LIMIT limit_) living;
    WHEN 'secret consumers' THEN
        SELECT count(*) INTO have FROM (
            SELECT FROM secret_consumers c WHERE c.registrar = project_ LIMIT limit_) living;
    WHEN 'container consumers' THEN
        SELECT count(*) INTO have FROM (
            SELECT FROM container_consumers c WHERE c.registrar = project_ LIMIT limit_) living;
    END CASE;
    RETURN have < limit_;
END
$$;
-- +goose StatementEnd

-- +goose Down
-- For tests; production only goes forward.
DROP FUNCTION quota_room;
DROP INDEX container_consumers_by_registrar;
DROP TABLE quota_turns;
DROP TABLE project_quotas;
