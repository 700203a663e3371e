-- The built-in identity: users, projects, roles, who has which where, and
-- access tokens, application credentials and access keys.
--
-- Locks: none worth naming, all tables are new.
-- Code:  reads and writes these from release 0.1.
--
-- Of these only assignments and access keys are tenant data and lead with the
-- project. The rest is one installation's people: small tables, on a
-- distributed database reference tables.

-- +goose Up

-- A stamp is a counter. An access token carries the ones that it was issued
-- under, and is dead once one has moved on.
CREATE TABLE projects (
    id           text         COLLATE "C" NOT NULL,
    name         text         COLLATE "C" NOT NULL,
    description  text         NOT NULL DEFAULT '',
    enabled      boolean      NOT NULL,
    is_domain    boolean      NOT NULL DEFAULT false,
    stamp        bigint       NOT NULL DEFAULT 0,  -- moves when it is disabled
    created_at   timestamptz  NOT NULL,
    CONSTRAINT projects_pkey PRIMARY KEY (id)
);

-- The domain has a name of its own.
CREATE UNIQUE INDEX projects_name ON projects (name) WHERE NOT is_domain;

-- The one domain, so that a role in it is an assignment like any other.
INSERT INTO projects (id, name, enabled, is_domain, created_at)
VALUES ('default', 'Default', true, true, '2000-01-01 00:00:00+00');

CREATE TABLE users (
    id               text         COLLATE "C" NOT NULL,
    name             text         COLLATE "C" NOT NULL,
    email            text         NOT NULL DEFAULT '',
    description      text         NOT NULL DEFAULT '',
    enabled          boolean      NOT NULL,
    default_project  text         COLLATE "C",
    password         text         NOT NULL DEFAULT '',  -- its hash, as a PHC string; empty: none
    password_at      timestamptz,
    stamp            bigint       NOT NULL DEFAULT 0,   -- moves with the password and when it is disabled
    created_at       timestamptz  NOT NULL,
    CONSTRAINT users_pkey PRIMARY KEY (id),
    CONSTRAINT users_name UNIQUE (name),
    CONSTRAINT users_default_project FOREIGN KEY (default_project) REFERENCES projects (id) ON DELETE SET NULL
);
CREATE INDEX users_by_default_project ON users (default_project);

CREATE TABLE roles (
    id           text  COLLATE "C" NOT NULL,
    name         text  COLLATE "C" NOT NULL,
    description  text  NOT NULL DEFAULT '',
    CONSTRAINT roles_pkey PRIMARY KEY (id),
    CONSTRAINT roles_name UNIQUE (name),
    CONSTRAINT roles_lower_case CHECK (name = lower(name))
);

CREATE TABLE role_assignments (
    project  text  COLLATE "C" NOT NULL,
    user_id  text  COLLATE "C" NOT NULL,
    role_id  text  COLLATE "C" NOT NULL,
    CONSTRAINT role_assignments_pkey PRIMARY KEY (project, user_id, role_id),
    CONSTRAINT role_assignments_project FOREIGN KEY (project) REFERENCES projects (id) ON DELETE CASCADE,
    CONSTRAINT role_assignments_user FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT role_assignments_role FOREIGN KEY (role_id) REFERENCES roles (id) ON DELETE CASCADE
);
CREATE INDEX role_assignments_by_user ON role_assignments (user_id, project);
CREATE INDEX role_assignments_by_role ON role_assignments (role_id);

CREATE TABLE application_credentials (
    id            text         COLLATE "C" NOT NULL,
    user_id       text         COLLATE "C" NOT NULL,
    project       text         COLLATE "C" NOT NULL,
    name          text         COLLATE "C" NOT NULL,
    description   text         NOT NULL DEFAULT '',
    secret        text         NOT NULL,                -- its hash
    unrestricted  boolean      NOT NULL,
    created_at    timestamptz  NOT NULL,
    expires_at    timestamptz,
    CONSTRAINT application_credentials_pkey PRIMARY KEY (id),
    CONSTRAINT application_credentials_name UNIQUE (user_id, name),
    CONSTRAINT application_credentials_user FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT application_credentials_project FOREIGN KEY (project) REFERENCES projects (id) ON DELETE CASCADE
);
CREATE INDEX application_credentials_by_project ON application_credentials (project);

CREATE TABLE application_credential_roles (
    credential  text  COLLATE "C" NOT NULL,
    role_id     text  COLLATE "C" NOT NULL,
    CONSTRAINT application_credential_roles_pkey PRIMARY KEY (credential, role_id),
    CONSTRAINT application_credential_roles_credential FOREIGN KEY (credential)
        REFERENCES application_credentials (id) ON DELETE CASCADE,
    CONSTRAINT application_credential_roles_role FOREIGN KEY (role_id) REFERENCES roles (id) ON DELETE CASCADE
);
CREATE INDEX application_credential_roles_by_role ON application_credential_roles (role_id);

CREATE TABLE access_tokens (
    digest         bytea        NOT NULL,             -- SHA-256 of the token
    user_id        text         COLLATE "C" NOT NULL,
    project        text         COLLATE "C",          -- the scope; NULL: none
    methods        text         NOT NULL,             -- how its owner logged in, separated by commas
    credential     text         COLLATE "C",          -- the application credential it was issued for
    audit_id       text         NOT NULL,
    user_stamp     bigint       NOT NULL,
    project_stamp  bigint       NOT NULL,
    issued_at      timestamptz  NOT NULL,
    expires_at     timestamptz  NOT NULL,
    CONSTRAINT access_tokens_pkey PRIMARY KEY (digest),
    CONSTRAINT access_tokens_digest CHECK (length(digest) = 32),
    CONSTRAINT access_tokens_user FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);
CREATE INDEX access_tokens_by_user ON access_tokens (user_id);
CREATE INDEX access_tokens_by_expiry ON access_tokens (expires_at);

-- Which project an access key belongs to: a signature names no project.
CREATE TABLE access_key_directory (
    id       text  COLLATE "C" NOT NULL,
    project  text  COLLATE "C" NOT NULL,
    CONSTRAINT access_key_directory_pkey PRIMARY KEY (id)
);

CREATE TABLE access_keys (
    project      text         COLLATE "C" NOT NULL,
    id           text         COLLATE "C" NOT NULL,
    user_id      text         COLLATE "C" NOT NULL,
    confined     boolean      NOT NULL,             -- good in this project alone
    enabled      boolean      NOT NULL,
    description  text         NOT NULL DEFAULT '',
    kek          uuid         NOT NULL,
    wrapped_dek  bytea        NOT NULL,
    body         bytea        NOT NULL,             -- the secret
    created_at   timestamptz  NOT NULL,
    CONSTRAINT access_keys_pkey PRIMARY KEY (project, id),
    CONSTRAINT access_keys_project FOREIGN KEY (project) REFERENCES projects (id),
    CONSTRAINT access_keys_user FOREIGN KEY (user_id) REFERENCES users (id),
    CONSTRAINT access_keys_kek FOREIGN KEY (project, kek) REFERENCES keks (project, id)
);
CREATE INDEX access_keys_by_user ON access_keys (user_id);
CREATE INDEX access_keys_by_kek ON access_keys (project, kek);

-- +goose Down
-- For tests; production only goes forward.
DROP TABLE access_keys;
DROP TABLE access_key_directory;
DROP TABLE access_tokens;
DROP TABLE application_credential_roles;
DROP TABLE application_credentials;
DROP TABLE role_assignments;
DROP TABLE roles;
DROP TABLE users;
DROP TABLE projects;
