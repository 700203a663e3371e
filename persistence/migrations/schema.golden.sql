-- The tables and functions as the migrations leave them. Written by their test; do not edit.

CREATE TABLE access_key_directory (
    id text COLLATE "C" NOT NULL,
    project text COLLATE "C" NOT NULL,
    CONSTRAINT access_key_directory_pkey PRIMARY KEY (id)
);

CREATE TABLE access_keys (
    project text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    confined boolean NOT NULL,
    enabled boolean NOT NULL,
    description text DEFAULT ''::text NOT NULL,
    kek uuid NOT NULL,
    wrapped_dek bytea NOT NULL,
    body bytea NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT access_keys_pkey PRIMARY KEY (project, id),
    CONSTRAINT access_keys_kek FOREIGN KEY (project, kek) REFERENCES keks(project, id),
    CONSTRAINT access_keys_project FOREIGN KEY (project) REFERENCES projects(id),
    CONSTRAINT access_keys_user FOREIGN KEY (user_id) REFERENCES users(id)
);
CREATE INDEX access_keys_by_kek ON public.access_keys USING btree (project, kek);
CREATE INDEX access_keys_by_user ON public.access_keys USING btree (user_id);

CREATE TABLE access_tokens (
    digest bytea NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    project text COLLATE "C",
    methods text NOT NULL,
    credential text COLLATE "C",
    audit_id text NOT NULL,
    user_stamp bigint NOT NULL,
    project_stamp bigint NOT NULL,
    issued_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT access_tokens_pkey PRIMARY KEY (digest),
    CONSTRAINT access_tokens_user FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE,
    CONSTRAINT access_tokens_digest CHECK ((length(digest) = 32))
);
CREATE INDEX access_tokens_by_expiry ON public.access_tokens USING btree (expires_at);
CREATE INDEX access_tokens_by_user ON public.access_tokens USING btree (user_id);

CREATE TABLE application_credential_roles (
    credential text COLLATE "C" NOT NULL,
    role_id text COLLATE "C" NOT NULL,
    CONSTRAINT application_credential_roles_pkey PRIMARY KEY (credential, role_id),
    CONSTRAINT application_credential_roles_credential FOREIGN KEY (credential) REFERENCES application_credentials(id) ON DELETE CASCADE,
    CONSTRAINT application_credential_roles_role FOREIGN KEY (role_id) REFERENCES roles(id) ON DELETE CASCADE
);
CREATE INDEX application_credential_roles_by_role ON public.application_credential_roles USING btree (role_id);

CREATE TABLE application_credentials (
    id text COLLATE "C" NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    project text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    description text DEFAULT ''::text NOT NULL,
    secret text NOT NULL,
    unrestricted boolean NOT NULL,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone,
    CONSTRAINT application_credentials_pkey PRIMARY KEY (id),
    CONSTRAINT application_credentials_name UNIQUE (user_id, name),
    CONSTRAINT application_credentials_project FOREIGN KEY (project) REFERENCES projects(id) ON DELETE CASCADE,
    CONSTRAINT application_credentials_user FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE
);
CREATE INDEX application_credentials_by_project ON public.application_credentials USING btree (project);

CREATE TABLE audit_events (
    project text COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    at timestamp with time zone NOT NULL,
    event text NOT NULL,
    CONSTRAINT audit_events_pkey PRIMARY KEY (project, id)
);

CREATE TABLE container_consumers (
    project text COLLATE "C" NOT NULL,
    container uuid NOT NULL,
    id uuid NOT NULL,
    name text COLLATE "C" NOT NULL,
    url text COLLATE "C" NOT NULL,
    registrar text COLLATE "C" NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT container_consumers_pkey PRIMARY KEY (project, container, id),
    CONSTRAINT container_consumers_pair UNIQUE (project, container, name, url),
    CONSTRAINT container_consumers_container FOREIGN KEY (project, container) REFERENCES containers(project, id) ON DELETE CASCADE
);
CREATE INDEX container_consumers_by_registrar ON public.container_consumers USING btree (registrar);

CREATE TABLE container_directory (
    id uuid NOT NULL,
    project text COLLATE "C" NOT NULL,
    CONSTRAINT container_directory_pkey PRIMARY KEY (id)
);

CREATE TABLE container_secrets (
    project text COLLATE "C" NOT NULL,
    container uuid NOT NULL,
    position bigint NOT NULL,
    secret uuid NOT NULL,
    name text COLLATE "C",
    CONSTRAINT container_secrets_pkey PRIMARY KEY (project, container, "position"),
    CONSTRAINT container_secrets_pair UNIQUE NULLS NOT DISTINCT (project, container, secret, name),
    CONSTRAINT container_secrets_container FOREIGN KEY (project, container) REFERENCES containers(project, id) ON DELETE CASCADE,
    CONSTRAINT container_secrets_secret FOREIGN KEY (project, secret) REFERENCES secrets(project, id) ON DELETE CASCADE
);
CREATE INDEX container_secrets_by_secret ON public.container_secrets USING btree (secret, project);

CREATE TABLE containers (
    project text COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    name text COLLATE "C",
    type text COLLATE "C" NOT NULL,
    creator text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    acl_private boolean,
    acl_readers text[],
    acl_created_at timestamp with time zone,
    acl_updated_at timestamp with time zone,
    tallied boolean DEFAULT false NOT NULL,
    CONSTRAINT containers_pkey PRIMARY KEY (project, id),
    CONSTRAINT containers_acl CHECK ((num_nulls(acl_private, acl_readers, acl_created_at, acl_updated_at) = ANY (ARRAY[0, 4]))),
    CONSTRAINT containers_type CHECK ((type = ANY (ARRAY['generic'::text, 'rsa'::text, 'certificate'::text, 'dsa'::text])))
);
CREATE INDEX containers_by_creation ON public.containers USING btree (project, created_at, id) WHERE (type <> ''::text);
CREATE INDEX containers_untallied ON public.containers USING btree (project, created_at) WHERE (NOT tallied);
CREATE TRIGGER containers_new BEFORE INSERT ON public.containers FOR EACH ROW WHEN (new.tallied) EXECUTE FUNCTION not_tallied();
CREATE TRIGGER containers_untally AFTER DELETE ON public.containers FOR EACH ROW WHEN (old.tallied) EXECUTE FUNCTION untally();

CREATE TABLE hsm_login_block (
    token text COLLATE "C" NOT NULL,
    since timestamp with time zone NOT NULL,
    node text NOT NULL,
    code text NOT NULL,
    CONSTRAINT hsm_login_block_pkey PRIMARY KEY (token)
);

CREATE TABLE hsm_login_turn (
    token text COLLATE "C" NOT NULL,
    holder uuid NOT NULL,
    until timestamp with time zone NOT NULL,
    CONSTRAINT hsm_login_turn_pkey PRIMARY KEY (token)
);

CREATE TABLE job_leases (
    name text COLLATE "C" NOT NULL,
    holder uuid NOT NULL,
    until timestamp with time zone NOT NULL,
    CONSTRAINT job_leases_pkey PRIMARY KEY (name)
);

CREATE TABLE keks (
    project text COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    master_key uuid NOT NULL,
    number integer NOT NULL,
    state text COLLATE "C" NOT NULL,
    disabled boolean DEFAULT false NOT NULL,
    handed_out boolean DEFAULT false NOT NULL,
    format smallint,
    canary bytea,
    check_value bytea,
    token_label text,
    token_serial text,
    wraps_leased bigint DEFAULT 0 NOT NULL,
    created_at timestamp with time zone NOT NULL,
    pending_until timestamp with time zone,
    token_group text COLLATE "C" DEFAULT 'default'::text NOT NULL,
    CONSTRAINT keks_pkey PRIMARY KEY (project, id),
    CONSTRAINT keks_master_key FOREIGN KEY (project, master_key) REFERENCES master_keys(project, id),
    CONSTRAINT keks_known CHECK (((state = 'pending'::text) OR ((format IS NOT NULL) AND (canary IS NOT NULL)))),
    CONSTRAINT keks_number CHECK ((number >= 1)),
    CONSTRAINT keks_of_the_installation CHECK (((project <> 'installation keys'::text) OR handed_out)),
    CONSTRAINT keks_owned CHECK (((state = 'pending'::text) = (pending_until IS NOT NULL))),
    CONSTRAINT keks_state CHECK ((state = ANY (ARRAY['pending'::text, 'active'::text, 'decrypt-only'::text, 'retired'::text, 'scheduled'::text, 'destroying'::text, 'destroyed'::text]))),
    CONSTRAINT keks_wraps CHECK (((wraps_leased >= 0) AND (wraps_leased <= '4294967296'::bigint)))
);
CREATE INDEX keks_by_group ON public.keks USING btree (token_group);
CREATE UNIQUE INDEX keks_one_active ON public.keks USING btree (project, master_key) WHERE (state = 'active'::text);
CREATE UNIQUE INDEX keks_one_number ON public.keks USING btree (project, master_key, number) WHERE (state <> 'pending'::text);
CREATE INDEX keks_pending ON public.keks USING btree (project, master_key) WHERE (state = 'pending'::text);

CREATE TABLE master_key_directory (
    id uuid NOT NULL,
    project text COLLATE "C" NOT NULL,
    destroyed boolean DEFAULT false NOT NULL,
    CONSTRAINT master_key_directory_pkey PRIMARY KEY (id)
);

CREATE TABLE master_keys (
    project text COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    alias text COLLATE "C" NOT NULL,
    state text COLLATE "C" DEFAULT 'enabled'::text NOT NULL,
    spec text COLLATE "C" DEFAULT 'AES_256'::text NOT NULL,
    usage text COLLATE "C" DEFAULT 'ENCRYPT_DECRYPT'::text NOT NULL,
    is_default boolean DEFAULT false NOT NULL,
    description text DEFAULT ''::text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    token_group text COLLATE "C" DEFAULT 'default'::text NOT NULL,
    CONSTRAINT master_keys_pkey PRIMARY KEY (project, id),
    CONSTRAINT master_keys_alias_in_project UNIQUE (project, alias),
    CONSTRAINT master_keys_state CHECK ((state = ANY (ARRAY['enabled'::text, 'disabled'::text, 'pending_deletion'::text, 'pending_import'::text])))
);
CREATE UNIQUE INDEX master_keys_one_default ON public.master_keys USING btree (project, token_group) WHERE is_default;

CREATE TABLE orders (
    project text COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    kind text COLLATE "C" NOT NULL,
    status text COLLATE "C" NOT NULL,
    name text COLLATE "C",
    algorithm text COLLATE "C" NOT NULL,
    mode text COLLATE "C",
    bit_length integer NOT NULL,
    expiration timestamp with time zone,
    content_type text NOT NULL,
    shown text NOT NULL,
    words text[] COLLATE "C" NOT NULL,
    creator text NOT NULL,
    request text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    error_code text,
    error_reason text,
    secret uuid,
    container uuid,
    kek uuid,
    wrapped_dek bytea,
    body bytea,
    due_at timestamp with time zone NOT NULL,
    attempt integer NOT NULL,
    lapses integer NOT NULL,
    tallied boolean DEFAULT false NOT NULL,
    CONSTRAINT orders_pkey PRIMARY KEY (project, id),
    CONSTRAINT orders_kek FOREIGN KEY (project, kek) REFERENCES keks(project, id),
    CONSTRAINT orders_attempt CHECK (((attempt >= lapses) AND (lapses >= 0))),
    CONSTRAINT orders_error CHECK ((num_nulls(error_code, error_reason) =
CASE status
    WHEN 'ERROR'::text THEN 0
    ELSE 2
END)),
    CONSTRAINT orders_kind CHECK ((kind = ANY (ARRAY['key'::text, 'asymmetric'::text]))),
    CONSTRAINT orders_made CHECK ((num_nonnulls(secret, container) =
CASE status
    WHEN 'ACTIVE'::text THEN 1
    ELSE 0
END)),
    CONSTRAINT orders_passphrase CHECK (((num_nulls(kek, wrapped_dek, body) = 3) OR ((num_nulls(kek, wrapped_dek, body) = 0) AND (status = 'PENDING'::text)))),
    CONSTRAINT orders_status CHECK ((status = ANY (ARRAY['PENDING'::text, 'ACTIVE'::text, 'ERROR'::text])))
);
CREATE INDEX orders_by_creation ON public.orders USING btree (project, created_at, id) WHERE (created_at > '-infinity'::timestamp with time zone);
CREATE INDEX orders_by_kek ON public.orders USING btree (project, kek) WHERE (kek IS NOT NULL);
CREATE INDEX orders_due ON public.orders USING btree (due_at) WHERE (status = 'PENDING'::text);
CREATE INDEX orders_untallied ON public.orders USING btree (project, created_at) WHERE (NOT tallied);
CREATE TRIGGER orders_new BEFORE INSERT ON public.orders FOR EACH ROW WHEN (new.tallied) EXECUTE FUNCTION not_tallied();
CREATE TRIGGER orders_untally AFTER DELETE ON public.orders FOR EACH ROW WHEN (old.tallied) EXECUTE FUNCTION untally();

CREATE TABLE preferred_token_groups (
    project text COLLATE "C" NOT NULL,
    token_group text COLLATE "C" NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT preferred_token_groups_pkey PRIMARY KEY (project),
    CONSTRAINT preferred_token_groups_group FOREIGN KEY (token_group) REFERENCES token_groups(name)
);
CREATE INDEX preferred_token_groups_by_group ON public.preferred_token_groups USING btree (token_group);

CREATE TABLE project_quotas (
    project text COLLATE "C" NOT NULL,
    secrets bigint,
    orders bigint,
    containers bigint,
    consumers bigint,
    cas bigint,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT project_quotas_pkey PRIMARY KEY (project)
);
CREATE INDEX project_quotas_by_creation ON public.project_quotas USING btree (created_at, project);

CREATE TABLE projects (
    id text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    description text DEFAULT ''::text NOT NULL,
    enabled boolean NOT NULL,
    is_domain boolean DEFAULT false NOT NULL,
    stamp bigint DEFAULT 0 NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT projects_pkey PRIMARY KEY (id)
);
CREATE UNIQUE INDEX projects_name ON public.projects USING btree (name) WHERE (NOT is_domain);

CREATE TABLE quota_turns (
    project text COLLATE "C" NOT NULL,
    resource text COLLATE "C" NOT NULL,
    CONSTRAINT quota_turns_pkey PRIMARY KEY (project, resource)
);

CREATE TABLE role_assignments (
    project text COLLATE "C" NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    role_id text COLLATE "C" NOT NULL,
    CONSTRAINT role_assignments_pkey PRIMARY KEY (project, user_id, role_id),
    CONSTRAINT role_assignments_project FOREIGN KEY (project) REFERENCES projects(id) ON DELETE CASCADE,
    CONSTRAINT role_assignments_role FOREIGN KEY (role_id) REFERENCES roles(id) ON DELETE CASCADE,
    CONSTRAINT role_assignments_user FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE
);
CREATE INDEX role_assignments_by_role ON public.role_assignments USING btree (role_id);
CREATE INDEX role_assignments_by_user ON public.role_assignments USING btree (user_id, project);

CREATE TABLE roles (
    id text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    description text DEFAULT ''::text NOT NULL,
    CONSTRAINT roles_pkey PRIMARY KEY (id),
    CONSTRAINT roles_name UNIQUE (name),
    CONSTRAINT roles_lower_case CHECK ((name = lower(name)))
);

CREATE TABLE rotation_tasks (
    project text COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    secret uuid NOT NULL,
    secret_name text COLLATE "C" NOT NULL,
    func_urn text NOT NULL,
    auto boolean NOT NULL,
    version integer NOT NULL,
    status text COLLATE "C" NOT NULL,
    step text COLLATE "C" NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    error_code text DEFAULT ''::text NOT NULL,
    error_text text DEFAULT ''::text NOT NULL,
    started_at timestamp with time zone NOT NULL,
    due_at timestamp with time zone,
    holder uuid,
    claimed_until timestamp with time zone,
    CONSTRAINT rotation_tasks_pkey PRIMARY KEY (project, id),
    CONSTRAINT rotation_tasks_ended CHECK (((status = 'ROTATING'::text) = (due_at IS NOT NULL))),
    CONSTRAINT rotation_tasks_status CHECK ((status = ANY (ARRAY['ROTATING'::text, 'SUCCESS'::text, 'FAILED'::text]))),
    CONSTRAINT rotation_tasks_step CHECK ((step = ANY (ARRAY['created'::text, 'setting'::text, 'testing'::text, 'reverting'::text])))
);
CREATE INDEX rotation_tasks_by_name ON public.rotation_tasks USING btree (project, secret_name, id);
CREATE INDEX rotation_tasks_due ON public.rotation_tasks USING btree (due_at) WHERE (status = 'ROTATING'::text);
CREATE INDEX rotation_tasks_old ON public.rotation_tasks USING btree (started_at) WHERE (status <> 'ROTATING'::text);
CREATE UNIQUE INDEX rotation_tasks_one_running ON public.rotation_tasks USING btree (project, secret) WHERE (status = 'ROTATING'::text);

CREATE TABLE row_tallies (
    project text COLLATE "C" NOT NULL,
    what text COLLATE "C" NOT NULL,
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    n bigint NOT NULL,
    CONSTRAINT row_tallies_pkey PRIMARY KEY (project, what, id)
);

CREATE TABLE secret_consumers (
    project text COLLATE "C" NOT NULL,
    secret uuid NOT NULL,
    id uuid NOT NULL,
    digest bytea NOT NULL,
    service text NOT NULL,
    resource_type text NOT NULL,
    resource_id text NOT NULL,
    registrar text COLLATE "C" NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT secret_consumers_pkey PRIMARY KEY (project, secret, id),
    CONSTRAINT secret_consumers_use UNIQUE (project, secret, digest),
    CONSTRAINT secret_consumers_secret FOREIGN KEY (project, secret) REFERENCES secrets(project, id) ON DELETE CASCADE,
    CONSTRAINT secret_consumers_digest CHECK ((octet_length(digest) = 32))
);
CREATE INDEX secret_consumers_by_creation ON public.secret_consumers USING btree (project, secret, created_at, id) WHERE (octet_length(digest) = 32);
CREATE INDEX secret_consumers_by_registrar ON public.secret_consumers USING btree (registrar);

CREATE TABLE secret_directory (
    id uuid NOT NULL,
    project text COLLATE "C" NOT NULL,
    CONSTRAINT secret_directory_pkey PRIMARY KEY (id)
);

CREATE TABLE secret_events (
    project text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    types text[] NOT NULL,
    state text COLLATE "C" NOT NULL,
    target_type text NOT NULL,
    target_id text NOT NULL,
    target_name text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT secret_events_pkey PRIMARY KEY (project, name),
    CONSTRAINT secret_events_state CHECK ((state = ANY (ARRAY['ENABLED'::text, 'DISABLED'::text])))
);

CREATE TABLE secret_metadata (
    project text COLLATE "C" NOT NULL,
    secret uuid NOT NULL,
    key text COLLATE "C" NOT NULL,
    value text NOT NULL,
    CONSTRAINT secret_metadata_pkey PRIMARY KEY (project, secret, key),
    CONSTRAINT secret_metadata_secret FOREIGN KEY (project, secret) REFERENCES secrets(project, id) ON DELETE CASCADE
);

CREATE TABLE secret_notifications (
    project text COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    at timestamp with time zone NOT NULL,
    event text COLLATE "C" NOT NULL,
    type text COLLATE "C" NOT NULL,
    target_id text COLLATE "C" NOT NULL,
    target_name text NOT NULL,
    secret uuid NOT NULL,
    secret_name text COLLATE "C" NOT NULL,
    secret_kind text NOT NULL,
    secret_created_at timestamp with time zone NOT NULL,
    secret_updated_at timestamp with time zone NOT NULL,
    version integer,
    version_expires_at timestamp with time zone,
    status text COLLATE "C" DEFAULT 'PENDING'::text NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    due_at timestamp with time zone,
    CONSTRAINT secret_notifications_pkey PRIMARY KEY (project, id),
    CONSTRAINT secret_notifications_due CHECK (
CASE status
    WHEN 'PENDING'::text THEN (due_at IS NOT NULL)
    WHEN 'SUCCESS'::text THEN (due_at IS NULL)
    ELSE true
END),
    CONSTRAINT secret_notifications_status CHECK ((status = ANY (ARRAY['PENDING'::text, 'SUCCESS'::text, 'FAIL'::text, 'INVALID'::text])))
);
CREATE INDEX secret_notifications_by_age ON public.secret_notifications USING btree (at);
CREATE INDEX secret_notifications_due_first ON public.secret_notifications USING btree (due_at) WHERE (due_at IS NOT NULL);

CREATE TABLE secret_stages (
    project text COLLATE "C" NOT NULL,
    secret uuid NOT NULL,
    name text COLLATE "C" NOT NULL,
    version integer NOT NULL,
    since timestamp with time zone NOT NULL,
    CONSTRAINT secret_stages_pkey PRIMARY KEY (project, secret, name),
    CONSTRAINT secret_stages_version FOREIGN KEY (project, secret, version) REFERENCES secret_versions(project, secret, number) ON DELETE CASCADE,
    CONSTRAINT secret_stages_name CHECK ((name <> ALL (ARRAY['SYSCURRENT'::text, 'SYSPREVIOUS'::text])))
);

CREATE TABLE secret_tags (
    project text COLLATE "C" NOT NULL,
    secret uuid NOT NULL,
    key text COLLATE "C" NOT NULL,
    value text COLLATE "C" NOT NULL,
    CONSTRAINT secret_tags_pkey PRIMARY KEY (project, secret, key),
    CONSTRAINT secret_tags_secret FOREIGN KEY (project, secret) REFERENCES secrets(project, id) ON DELETE CASCADE,
    CONSTRAINT secret_tags_key CHECK ((key <> ''::text))
);
CREATE INDEX secret_tags_by_key ON public.secret_tags USING btree (project, key, value, secret) WHERE (key > ''::text);

CREATE TABLE secret_versions (
    project text COLLATE "C" NOT NULL,
    secret uuid NOT NULL,
    number integer NOT NULL,
    kek uuid NOT NULL,
    wrapped_dek bytea NOT NULL,
    body bytea STORAGE e NOT NULL,
    content_type text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone,
    expiry_told timestamp with time zone,
    CONSTRAINT secret_versions_pkey PRIMARY KEY (project, secret, number),
    CONSTRAINT secret_versions_kek FOREIGN KEY (project, kek) REFERENCES keks(project, id),
    CONSTRAINT secret_versions_secret FOREIGN KEY (project, secret) REFERENCES secrets(project, id) ON DELETE CASCADE,
    CONSTRAINT secret_versions_number CHECK ((number >= 1))
);
CREATE INDEX secret_versions_by_expiry ON public.secret_versions USING btree (expires_at) WHERE ((expires_at IS NOT NULL) AND (expiry_told IS DISTINCT FROM expires_at));
CREATE INDEX secret_versions_by_kek ON public.secret_versions USING btree (project, kek);

CREATE TABLE secrets (
    project text COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    family text COLLATE "C" NOT NULL,
    name text COLLATE "C",
    listed_as text COLLATE "C" GENERATED ALWAYS AS (
CASE
    WHEN ((family = 'huawei'::text) OR (name ~ '^[a-zA-Z0-9_-]{1,64}$'::text)) THEN name
    ELSE (id)::text
END) STORED NOT NULL,
    type text COLLATE "C" NOT NULL,
    algorithm text COLLATE "C",
    mode text COLLATE "C",
    bit_length integer,
    expiration timestamp with time zone,
    creator text NOT NULL,
    state text COLLATE "C" NOT NULL,
    description text NOT NULL,
    kind text NOT NULL,
    master_key uuid,
    delete_at timestamp with time zone,
    auto_rotation boolean NOT NULL,
    rotation_period text NOT NULL,
    rotation_config text NOT NULL,
    rotation_func_urn text NOT NULL,
    rotated_at timestamp with time zone,
    rotate_at timestamp with time zone,
    event text COLLATE "C",
    enterprise_project text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    latest integer NOT NULL,
    latest_at timestamp with time zone,
    current_version integer NOT NULL,
    current_since timestamp with time zone,
    previous_version integer NOT NULL,
    previous_since timestamp with time zone,
    content_type text NOT NULL,
    revision bigint DEFAULT 0 NOT NULL,
    metadata_revision bigint DEFAULT 0 NOT NULL,
    acl_private boolean,
    acl_readers text[] COLLATE "C",
    acl_created_at timestamp with time zone,
    acl_updated_at timestamp with time zone,
    tallied boolean DEFAULT false NOT NULL,
    rotating_version integer DEFAULT 0 NOT NULL,
    CONSTRAINT secrets_pkey PRIMARY KEY (project, id),
    CONSTRAINT secrets_event FOREIGN KEY (project, event) REFERENCES secret_events(project, name),
    CONSTRAINT secrets_acl CHECK ((num_nulls(acl_private, acl_readers, acl_created_at, acl_updated_at) = ANY (ARRAY[0, 4]))),
    CONSTRAINT secrets_current CHECK ((((current_version = 0) = (latest = 0)) AND (current_version <= latest))),
    CONSTRAINT secrets_delete_at CHECK (((state = 'PENDING_DELETE'::text) = (delete_at IS NOT NULL))),
    CONSTRAINT secrets_family CHECK ((family = ANY (ARRAY['key-manager'::text, 'huawei'::text]))),
    CONSTRAINT secrets_huawei_name CHECK (((family <> 'huawei'::text) OR (name IS NOT NULL))),
    CONSTRAINT secrets_revision CHECK ((revision >= 0)),
    CONSTRAINT secrets_state CHECK ((state = ANY (ARRAY['ENABLED'::text, 'DISABLED'::text, 'PENDING_DELETE'::text, 'FROZEN'::text])))
);
CREATE INDEX secrets_by_creation ON public.secrets USING btree (project, created_at, id) INCLUDE (expiration, delete_at) WHERE (created_at > '-infinity'::timestamp with time zone);
CREATE INDEX secrets_by_event ON public.secrets USING btree (project, event, listed_as, id) WHERE (event IS NOT NULL);
CREATE INDEX secrets_by_handle ON public.secrets USING btree (project, listed_as, id) WHERE (family > ''::text);
CREATE INDEX secrets_by_name ON public.secrets USING btree (project, name, created_at, id) INCLUDE (expiration, delete_at) WHERE (type >= ''::text);
CREATE INDEX secrets_by_reader ON public.secrets USING gin (acl_readers) WITH (fastupdate=off) WHERE (acl_readers IS NOT NULL);
CREATE INDEX secrets_by_rotation ON public.secrets USING btree (rotate_at) WHERE (auto_rotation AND (rotate_at IS NOT NULL) AND (state = 'ENABLED'::text) AND (rotating_version = 0));
CREATE INDEX secrets_ended ON public.secrets USING btree (project, LEAST(expiration, delete_at)) WHERE (LEAST(expiration, delete_at) IS NOT NULL);
CREATE UNIQUE INDEX secrets_name_in_project ON public.secrets USING btree (project, name) WHERE (family = 'huawei'::text);
CREATE INDEX secrets_to_purge ON public.secrets USING btree (LEAST(expiration, delete_at)) WHERE (LEAST(expiration, delete_at) IS NOT NULL);
CREATE INDEX secrets_untallied ON public.secrets USING btree (project, created_at) WHERE (NOT tallied);
CREATE TRIGGER secrets_new BEFORE INSERT ON public.secrets FOR EACH ROW WHEN (new.tallied) EXECUTE FUNCTION not_tallied();
CREATE TRIGGER secrets_untally AFTER DELETE ON public.secrets FOR EACH ROW WHEN (old.tallied) EXECUTE FUNCTION untally();

CREATE TABLE token_groups (
    name text COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT token_groups_pkey PRIMARY KEY (name),
    CONSTRAINT token_groups_id UNIQUE (id)
);

CREATE TABLE users (
    id text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    email text DEFAULT ''::text NOT NULL,
    description text DEFAULT ''::text NOT NULL,
    enabled boolean NOT NULL,
    default_project text COLLATE "C",
    password text DEFAULT ''::text NOT NULL,
    password_at timestamp with time zone,
    stamp bigint DEFAULT 0 NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT users_pkey PRIMARY KEY (id),
    CONSTRAINT users_name UNIQUE (name),
    CONSTRAINT users_default_project FOREIGN KEY (default_project) REFERENCES projects(id) ON DELETE SET NULL
);
CREATE INDEX users_by_default_project ON public.users USING btree (default_project);

CREATE OR REPLACE FUNCTION public.not_tallied()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    NEW.tallied := false;
    RETURN NEW;
END $function$;

CREATE OR REPLACE FUNCTION public.quota_room(project_ text, resource_ text, limit_ bigint, now_ timestamp with time zone)
 RETURNS boolean
 LANGUAGE plpgsql
AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION public.secret_event_room(project_ text, limit_ bigint)
 RETURNS boolean
 LANGUAGE plpgsql
AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION public.untally()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    INSERT INTO row_tallies (project, what, n) VALUES (OLD.project, TG_TABLE_NAME, -1);
    RETURN NULL;
END $function$;

CREATE OR REPLACE FUNCTION public.not_tallied()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    NEW.tallied := false;
    RETURN NEW;
END $function$;

CREATE OR REPLACE FUNCTION public.quota_room(project_ text, resource_ text, limit_ bigint, now_ timestamp with time zone)
 RETURNS boolean
 LANGUAGE plpgsql
AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION public.secret_event_room(project_ text, limit_ bigint)
 RETURNS boolean
 LANGUAGE plpgsql
AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION public.untally()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    INSERT INTO row_tallies (project, what, n) VALUES (OLD.project, TG_TABLE_NAME, -1);
    RETURN NULL;
END $function$;
