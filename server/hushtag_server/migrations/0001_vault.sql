-- Accounts, secret tags, vaults and their objects. Every table of a user has PRIMARY KEY (user_id, …), composite
-- foreign keys, and forced row-level security by app.user_id. PostgreSQL 14 or later.

CREATE FUNCTION hushtag_current_user() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT nullif(current_setting('app.user_id', true), '')::uuid $$;

CREATE FUNCTION hushtag_touch() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN NEW.created_at := OLD.created_at; NEW.updated_at := clock_timestamp(); RETURN NEW; END $$;

CREATE TABLE server_keys (
    id uuid NOT NULL,
    fingerprint bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT server_keys_pkey PRIMARY KEY (id),
    CONSTRAINT server_keys_fingerprint_length CHECK (octet_length(fingerprint) = 32)
);

CREATE TABLE users (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    email varchar(254) NOT NULL,
    password_hash varchar(255) NOT NULL,
    first_name varchar(100),
    last_name varchar(100),
    is_active boolean NOT NULL DEFAULT true,
    last_login timestamptz,
    phrase_salt bytea NOT NULL,
    opaque_credential_id bytea NOT NULL,
    deleted_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT users_pkey PRIMARY KEY (id),
    CONSTRAINT users_email_format CHECK (email ~ '^[^@[:space:]]+@[^@[:space:]]+$'),
    CONSTRAINT users_first_name_length CHECK (length(first_name) >= 1),
    CONSTRAINT users_last_name_length CHECK (length(last_name) >= 1),
    CONSTRAINT users_phrase_salt_length CHECK (octet_length(phrase_salt) = 16),
    CONSTRAINT users_opaque_credential_id_length CHECK (octet_length(opaque_credential_id) = 32)
);

CREATE UNIQUE INDEX users_email_key ON users (lower(email));

CREATE TABLE user_sessions (
    user_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    token_hash bytea NOT NULL,
    ip_address inet,
    user_agent varchar(200),
    expires_at timestamptz NOT NULL,
    last_activity timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT user_sessions_pkey PRIMARY KEY (user_id, id),
    CONSTRAINT user_sessions_token_hash_key UNIQUE (user_id, token_hash),
    CONSTRAINT user_sessions_token_hash_length CHECK (octet_length(token_hash) = 32),
    CONSTRAINT user_sessions_valid_expiry CHECK (expires_at > created_at)
);

CREATE TABLE secret_tags (
    user_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    phrase_hash bytea NOT NULL,
    salt bytea NOT NULL,
    verifier_kv bytea NOT NULL,
    opaque_envelope bytea NOT NULL,
    suite varchar(32) NOT NULL,
    tag_name varchar(100) NOT NULL,
    color_code varchar(7) NOT NULL DEFAULT '#007AFF',
    sealed_label bytea NOT NULL,
    public_key bytea NOT NULL,
    server_key_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT secret_tags_pkey PRIMARY KEY (user_id, id),
    CONSTRAINT secret_tags_phrase_hash_key UNIQUE (user_id, phrase_hash),
    CONSTRAINT secret_tags_tag_name_key UNIQUE (user_id, tag_name),
    CONSTRAINT secret_tags_phrase_hash_length CHECK (octet_length(phrase_hash) = 16),
    CONSTRAINT secret_tags_salt_length CHECK (octet_length(salt) = 16),
    CONSTRAINT secret_tags_verifier_kv_length CHECK (octet_length(verifier_kv) = 32),
    CONSTRAINT secret_tags_opaque_envelope_length CHECK (octet_length(opaque_envelope) = 160),
    CONSTRAINT secret_tags_tag_name_length CHECK (length(tag_name) >= 1),
    CONSTRAINT secret_tags_color_code_form CHECK (color_code ~ '^#[0-9A-Fa-f]{6}$'),
    CONSTRAINT secret_tags_sealed_label_length CHECK (octet_length(sealed_label) = 316),
    CONSTRAINT secret_tags_public_key_length CHECK (octet_length(public_key) = 32)
);

CREATE TABLE vaults (
    user_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    generation bigint NOT NULL DEFAULT 1,
    head bytea NOT NULL,
    key_version integer NOT NULL DEFAULT 1,
    object_count bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT vaults_pkey PRIMARY KEY (user_id, id),
    CONSTRAINT vaults_generation_range CHECK (generation >= 1),
    CONSTRAINT vaults_head_length CHECK (octet_length(head) = 112),
    CONSTRAINT vaults_key_version_range CHECK (key_version >= 1),
    CONSTRAINT vaults_object_count_range CHECK (object_count >= 0)
);

CREATE TABLE wrapped_keys (
    user_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    tag_id uuid NOT NULL,
    vault_id uuid NOT NULL,
    wrapped_key bytea NOT NULL,
    key_purpose varchar(50) NOT NULL DEFAULT 'vault_data',
    key_version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT wrapped_keys_pkey PRIMARY KEY (user_id, id),
    CONSTRAINT wrapped_keys_vault_key UNIQUE (user_id, vault_id, id),
    CONSTRAINT wrapped_keys_tag_vault_key UNIQUE (user_id, tag_id, vault_id, key_purpose, key_version),
    CONSTRAINT wrapped_keys_wrapped_key_length CHECK (octet_length(wrapped_key) = 40),
    CONSTRAINT wrapped_keys_key_purpose_length CHECK (length(key_purpose) >= 1),
    CONSTRAINT wrapped_keys_key_version_range CHECK (key_version >= 1)
);

CREATE TABLE vault_blobs (
    user_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    vault_id uuid NOT NULL,
    object_id uuid NOT NULL,
    wrapped_key_id uuid NOT NULL,
    iv bytea NOT NULL,
    ciphertext bytea NOT NULL,
    auth_tag bytea NOT NULL,
    content_type varchar(100) NOT NULL DEFAULT 'application/octet-stream',
    content_size integer NOT NULL,
    key_version integer NOT NULL,
    revision bigint NOT NULL,
    row_digest bytea NOT NULL,
    stream_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT vault_blobs_pkey PRIMARY KEY (user_id, id),
    CONSTRAINT vault_blobs_vault_object_key UNIQUE (user_id, vault_id, object_id),
    CONSTRAINT vault_blobs_iv_length CHECK (octet_length(iv) = 12),
    CONSTRAINT vault_blobs_auth_tag_length CHECK (octet_length(auth_tag) = 16),
    CONSTRAINT vault_blobs_content_type_opaque CHECK (content_type = 'application/octet-stream'),
    CONSTRAINT vault_blobs_content_size_range CHECK (content_size BETWEEN 0 AND 16777216),
    CONSTRAINT vault_blobs_content_size_exact CHECK (content_size = octet_length(ciphertext) - 32),
    CONSTRAINT vault_blobs_key_version_range CHECK (key_version >= 1),
    CONSTRAINT vault_blobs_revision_range CHECK (revision >= 1),
    CONSTRAINT vault_blobs_row_digest_length CHECK (octet_length(row_digest) = 32)
);

-- Ciphertext does not compress: store it as it is, outside the row.
ALTER TABLE vault_blobs ALTER COLUMN ciphertext SET STORAGE EXTERNAL;

CREATE TABLE vault_segments (
    user_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    vault_id uuid NOT NULL,
    stream_id uuid NOT NULL,
    seq integer NOT NULL,
    bytes bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT vault_segments_pkey PRIMARY KEY (user_id, id),
    CONSTRAINT vault_segments_stream_seq_key UNIQUE (user_id, stream_id, seq),
    CONSTRAINT vault_segments_seq_range CHECK (seq >= 0),
    CONSTRAINT vault_segments_bytes_length CHECK (octet_length(bytes) BETWEEN 1 AND 16777216)
);

ALTER TABLE vault_segments ALTER COLUMN bytes SET STORAGE EXTERNAL;

CREATE TABLE opaque_sessions (
    user_id uuid NOT NULL,
    session_id varchar(64) NOT NULL,
    user_session_id uuid NOT NULL,
    tag_id uuid,
    phrase_hash bytea,
    session_state varchar(20) NOT NULL,
    session_data bytea,
    expires_at timestamptz NOT NULL,
    last_activity timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT opaque_sessions_pkey PRIMARY KEY (user_id, session_id),
    CONSTRAINT opaque_sessions_session_id_hex CHECK (session_id ~ '^[0-9a-f]{64}$'),
    CONSTRAINT opaque_sessions_phrase_hash_length CHECK (octet_length(phrase_hash) = 16),
    CONSTRAINT opaque_sessions_state_known CHECK (
        session_state IN ('registration_started', 'located', 'login_started', 'unlocked')
    ),
    CONSTRAINT opaque_sessions_unlocked_names_tag CHECK (session_state <> 'unlocked' OR tag_id IS NOT NULL),
    CONSTRAINT opaque_sessions_session_data_length CHECK (octet_length(session_data) <= 4096)
);

CREATE TABLE unlock_budget (
    user_id uuid NOT NULL,
    tokens double precision NOT NULL,
    refilled_at timestamptz NOT NULL DEFAULT now(),
    failures bigint NOT NULL DEFAULT 0,
    locked_until timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT unlock_budget_pkey PRIMARY KEY (user_id),
    CONSTRAINT unlock_budget_tokens_range CHECK (tokens >= 0 AND tokens <= 1000000),
    CONSTRAINT unlock_budget_failures_range CHECK (failures >= 0)
);

CREATE TABLE security_audit_logs (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    event_type varchar(50) NOT NULL,
    event_category varchar(30) NOT NULL,
    severity varchar(20) NOT NULL,
    user_id_hash varchar(64),
    session_id_hash varchar(64),
    correlation_id uuid,
    request_id uuid,
    ip_address_hash varchar(64),
    user_agent_hash varchar(64),
    event_data text,
    event_message varchar(500) NOT NULL,
    log_signature varchar(128),
    is_sensitive boolean NOT NULL DEFAULT false,
    "timestamp" timestamptz NOT NULL DEFAULT now(),
    processing_time_ms integer,
    success boolean,
    error_code varchar(50),
    CONSTRAINT security_audit_logs_pkey PRIMARY KEY (id),
    -- Whatever a calendar has: one row with 'infinity' would end every verification in an error.
    CONSTRAINT security_audit_logs_timestamp_range CHECK ("timestamp" >= '0002-01-01Z' AND "timestamp" < '9999-01-01Z')
);

CREATE INDEX security_audit_logs_timestamp_idx ON security_audit_logs ("timestamp");

CREATE TABLE login_attempts (
    scope varchar(10) NOT NULL,
    key_hash bytea NOT NULL,
    tokens double precision NOT NULL,
    refilled_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT login_attempts_pkey PRIMARY KEY (scope, key_hash),
    CONSTRAINT login_attempts_scope_known CHECK (scope IN ('account', 'address')),
    CONSTRAINT login_attempts_key_hash_length CHECK (octet_length(key_hash) = 32),
    CONSTRAINT login_attempts_tokens_range CHECK (tokens >= 0)
);

CREATE INDEX login_attempts_refilled_at_idx ON login_attempts (refilled_at);

-- A step that distributes the tables by user_id fits here; the references follow.

ALTER TABLE user_sessions ADD CONSTRAINT user_sessions_user_fkey
    FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE;
ALTER TABLE secret_tags ADD CONSTRAINT secret_tags_user_fkey
    FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE;
ALTER TABLE secret_tags ADD CONSTRAINT secret_tags_server_key_fkey
    FOREIGN KEY (server_key_id) REFERENCES server_keys (id);
ALTER TABLE vaults ADD CONSTRAINT vaults_user_fkey
    FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE;
ALTER TABLE wrapped_keys ADD CONSTRAINT wrapped_keys_user_fkey
    FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE;
ALTER TABLE wrapped_keys ADD CONSTRAINT wrapped_keys_tag_fkey
    FOREIGN KEY (user_id, tag_id) REFERENCES secret_tags (user_id, id) ON DELETE CASCADE;
ALTER TABLE wrapped_keys ADD CONSTRAINT wrapped_keys_vault_fkey
    FOREIGN KEY (user_id, vault_id) REFERENCES vaults (user_id, id) ON DELETE CASCADE;
ALTER TABLE vault_blobs ADD CONSTRAINT vault_blobs_user_fkey
    FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE;
ALTER TABLE vault_blobs ADD CONSTRAINT vault_blobs_vault_fkey
    FOREIGN KEY (user_id, vault_id) REFERENCES vaults (user_id, id) ON DELETE CASCADE;
-- NO ACTION: deleting a tag deletes its wrapped keys, and must fail rather than take objects along.
ALTER TABLE vault_blobs ADD CONSTRAINT vault_blobs_wrapped_key_fkey
    FOREIGN KEY (user_id, vault_id, wrapped_key_id) REFERENCES wrapped_keys (user_id, vault_id, id) ON DELETE NO ACTION;
ALTER TABLE vault_segments ADD CONSTRAINT vault_segments_user_fkey
    FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE;
ALTER TABLE vault_segments ADD CONSTRAINT vault_segments_vault_fkey
    FOREIGN KEY (user_id, vault_id) REFERENCES vaults (user_id, id) ON DELETE CASCADE;
ALTER TABLE opaque_sessions ADD CONSTRAINT opaque_sessions_user_fkey
    FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE;
ALTER TABLE opaque_sessions ADD CONSTRAINT opaque_sessions_user_session_fkey
    FOREIGN KEY (user_id, user_session_id) REFERENCES user_sessions (user_id, id) ON DELETE CASCADE;
ALTER TABLE opaque_sessions ADD CONSTRAINT opaque_sessions_tag_fkey
    FOREIGN KEY (user_id, tag_id) REFERENCES secret_tags (user_id, id) ON DELETE CASCADE;
ALTER TABLE unlock_budget ADD CONSTRAINT unlock_budget_user_fkey
    FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE;

-- Every reference is indexed; the others are prefixes of a primary key or a unique constraint.
CREATE INDEX secret_tags_server_key_idx ON secret_tags (server_key_id);
CREATE INDEX vault_blobs_wrapped_key_idx ON vault_blobs (user_id, vault_id, wrapped_key_id);
CREATE INDEX vault_segments_vault_idx ON vault_segments (user_id, vault_id);
CREATE INDEX opaque_sessions_user_session_idx ON opaque_sessions (user_id, user_session_id);
CREATE INDEX opaque_sessions_tag_idx ON opaque_sessions (user_id, tag_id);
CREATE INDEX opaque_sessions_expires_at_idx ON opaque_sessions (user_id, expires_at);
