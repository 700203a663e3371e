-- Containers: secrets that belong together, who may read the container, and
-- who says that it needs it.
--
-- Locks: none worth naming, all tables are new; a key share of secrets for the
--        foreign key.
-- Code:  reads and writes these from release 0.1.

-- +goose Up

CREATE TABLE containers (
    project         text         COLLATE "C" NOT NULL,
    id              uuid         NOT NULL,
    name            text         COLLATE "C",
    type            text         COLLATE "C" NOT NULL,
    creator         text         NOT NULL,
    created_at      timestamptz  NOT NULL,
    updated_at      timestamptz  NOT NULL,
    -- Who may read it beside the project's roles; all four or none. It is read
    -- with every container and changed as a whole, so it is not a table.
    acl_private     boolean,
    acl_readers     text[],
    acl_created_at  timestamptz,
    acl_updated_at  timestamptz,
    CONSTRAINT containers_pkey PRIMARY KEY (project, id),
    CONSTRAINT containers_type CHECK (type IN ('generic', 'rsa', 'certificate', 'dsa')),
    CONSTRAINT containers_acl CHECK (num_nulls(acl_private, acl_readers, acl_created_at, acl_updated_at) IN (0, 4))
) WITH (fillfactor = 85);

-- The condition holds for every row, and keeps the planner from this index
-- where a statement does not repeat it (see secrets_by_creation).
CREATE INDEX containers_by_creation ON containers (project, created_at, id) WHERE type <> '';

-- For paths that name no project.
CREATE TABLE container_directory (
    id       uuid  NOT NULL,
    project  text  COLLATE "C" NOT NULL,
    CONSTRAINT container_directory_pkey PRIMARY KEY (id)
);

-- What is in a container. A secret that is deleted leaves all of them.
CREATE TABLE container_secrets (
    project    text    COLLATE "C" NOT NULL,
    container  uuid    NOT NULL,
    position   bigint  GENERATED ALWAYS AS IDENTITY,  -- clients see the order of insertion
    secret     uuid    NOT NULL,
    name       text    COLLATE "C",
    CONSTRAINT container_secrets_pkey PRIMARY KEY (project, container, position),
    CONSTRAINT container_secrets_pair UNIQUE NULLS NOT DISTINCT (project, container, secret, name),
    CONSTRAINT container_secrets_container FOREIGN KEY (project, container)
        REFERENCES containers (project, id) ON DELETE CASCADE,
    CONSTRAINT container_secrets_secret FOREIGN KEY (project, secret)
        REFERENCES secrets (project, id) ON DELETE CASCADE
);
-- For the foreign key. Without statistics the planner would take an index that
-- begins with the project for as good as the primary key, and read the project.
CREATE INDEX container_secrets_by_secret ON container_secrets (secret, project);

-- Who says that it needs a container. project is the container's; whoever an
-- ACL lets read may register from another one.
CREATE TABLE container_consumers (
    project     text         COLLATE "C" NOT NULL,
    container   uuid         NOT NULL,
    id          uuid         NOT NULL,
    name        text         COLLATE "C" NOT NULL,
    url         text         COLLATE "C" NOT NULL,
    registrar   text         COLLATE "C" NOT NULL,  -- the project that registered it
    created_at  timestamptz  NOT NULL,
    updated_at  timestamptz  NOT NULL,
    CONSTRAINT container_consumers_pkey PRIMARY KEY (project, container, id),
    CONSTRAINT container_consumers_pair UNIQUE (project, container, name, url),
    CONSTRAINT container_consumers_container FOREIGN KEY (project, container)
        REFERENCES containers (project, id) ON DELETE CASCADE
);

-- +goose Down
-- For tests; production only goes forward.
DROP TABLE container_consumers;
DROP TABLE container_secrets;
DROP TABLE container_directory;
DROP TABLE containers;
