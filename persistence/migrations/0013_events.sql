-- What subscribers are told of secrets, from the moment of the change until
-- three months later, and when the expiry of a version was told.
--
-- Locks: secret_versions briefly, for a column without a value.
-- Code:  release 0.1 writes notifications with the changes that they are of.

-- +goose Up

-- One row is one firing: what is to be delivered, and its record. It repeats
-- what it says of the event and the secret, for both may be gone by then.
CREATE TABLE secret_notifications (
    project             text         COLLATE "C" NOT NULL,
    id                  uuid         NOT NULL,  -- of version 7: in the order of time; receivers know a repetition by it
    at                  timestamptz  NOT NULL,
    event               text         COLLATE "C" NOT NULL,
    type                text         COLLATE "C" NOT NULL,
    target_id           text         COLLATE "C" NOT NULL,
    target_name         text         NOT NULL,
    secret              uuid         NOT NULL,
    secret_name         text         COLLATE "C" NOT NULL,
    secret_kind         text         NOT NULL,
    secret_created_at   timestamptz  NOT NULL,
    secret_updated_at   timestamptz  NOT NULL,
    version             int,                    -- NULL: it is not of a version
    version_expires_at  timestamptz,
    status              text         COLLATE "C" NOT NULL DEFAULT 'PENDING',
    attempts            int          NOT NULL DEFAULT 0,
    due_at              timestamptz,            -- of the next attempt; while one is made, when it counts as lost; NULL: none
    CONSTRAINT secret_notifications_pkey PRIMARY KEY (project, id),
    CONSTRAINT secret_notifications_status CHECK (status IN ('PENDING', 'SUCCESS', 'FAIL', 'INVALID')),
    CONSTRAINT secret_notifications_due CHECK (CASE status
        WHEN 'PENDING' THEN due_at IS NOT NULL WHEN 'SUCCESS' THEN due_at IS NULL ELSE true END)
) WITH (fillfactor = 80);

CREATE INDEX secret_notifications_due_first ON secret_notifications (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX secret_notifications_by_age ON secret_notifications (at);

-- The expiry that subscribers were told of, or would have been: a new one is
-- told again.
ALTER TABLE secret_versions ADD COLUMN expiry_told timestamptz;
CREATE INDEX secret_versions_by_expiry ON secret_versions (expires_at)
    WHERE expires_at IS NOT NULL AND expiry_told IS DISTINCT FROM expires_at;

-- Whether a project that may have limit_ events has room for one more: see
-- quota_room.
-- +goose StatementBegin
CREATE FUNCTION secret_event_room(project_ text, limit_ bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    have bigint;
BEGIN
    IF limit_ < 0 THEN
        RETURN true;
    END IF;
    INSERT INTO quota_turns (project, resource) VALUES (project_, 'events') ON CONFLICT DO NOTHING;
    PERFORM FROM quota_turns t WHERE t.project = project_ AND t.resource = 'events' FOR UPDATE;
    SELECT count(*) INTO have FROM secret_events e WHERE e.project = project_;
    RETURN have < limit_;
END
$$;
-- +goose StatementEnd

-- +goose Down
-- For tests; production only goes forward.
DROP FUNCTION secret_event_room;
DROP INDEX secret_versions_by_expiry;
ALTER TABLE secret_versions DROP COLUMN expiry_told;
DROP TABLE secret_notifications;
