-- depends: 0003_vault_calls
-- What the plain side shares: the settings of a user, the audit trail that triggers write, and the way in.

CREATE TABLE user_settings (
    user_id uuid NOT NULL,
    time_zone varchar(64) NOT NULL DEFAULT 'UTC',
    language varchar(32) NOT NULL DEFAULT 'simple',
    theme varchar(20) NOT NULL DEFAULT 'system',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT user_settings_pkey PRIMARY KEY (user_id),
    CONSTRAINT user_settings_time_zone_length CHECK (length(time_zone) >= 1),
    CONSTRAINT user_settings_language_form CHECK (language ~ '^[a-z_]+$'),
    CONSTRAINT user_settings_theme_known CHECK (theme IN ('system', 'light', 'dark'))
);

-- One partition a month, so that old months leave as a whole. Rows of accounts that do not exist (a failed login under
-- an unknown email) have no user; nobody can read those through the server.
CREATE TABLE audit_logs (
    user_id uuid,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    action varchar(50) NOT NULL,
    table_name varchar(100) NOT NULL,
    record_id uuid,
    old_values jsonb,
    new_values jsonb,
    ip_address inet,
    user_agent varchar(200),
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT audit_logs_pkey PRIMARY KEY (id, created_at),
    CONSTRAINT audit_logs_action_known CHECK (
        action IN ('CREATE', 'UPDATE', 'DELETE', 'LOGIN', 'LOGOUT', 'FAILED_LOGIN')
    ),
    CONSTRAINT audit_logs_table_name_length CHECK (length(table_name) >= 1)
) PARTITION BY RANGE (created_at);

CREATE INDEX audit_logs_user_created_idx ON audit_logs (user_id, created_at DESC, id DESC);
-- Rows of a month nobody made a partition for are kept here rather than refused.
CREATE TABLE audit_logs_default PARTITION OF audit_logs DEFAULT;

-- As many as maintenance keeps ahead, so that a new database is one that `doctor` finds nothing missing in.
DO $$
DECLARE
    v_month timestamp;
BEGIN
    FOR v_turn IN 0..3 LOOP
        v_month := date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => v_turn);
        EXECUTE format('CREATE TABLE %I PARTITION OF audit_logs FOR VALUES FROM (%L) TO (%L)',
            'audit_logs_' || to_char(v_month, 'YYYY_MM'), v_month AT TIME ZONE 'UTC',
            (v_month + interval '1 month') AT TIME ZONE 'UTC');
    END LOOP;
END $$;

-- Writes one row for each change of the table it is attached to. Its arguments: columns that are never recorded, and
-- columns of free text of which only the length is (an append-only trail would keep what its writer deleted).
CREATE FUNCTION hushtag_audit() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_never text[] := string_to_array(coalesce(TG_ARGV[0], ''), ',') || ARRAY['user_id', 'updated_at'];
    v_lengths text[] := string_to_array(coalesce(TG_ARGV[1], ''), ',');
    v_old jsonb;
    v_new jsonb;
    v_row jsonb;
    v_user uuid;
    v_column text;
BEGIN
    IF TG_OP <> 'INSERT' THEN
        v_row := to_jsonb(OLD);
        v_old := v_row - v_never;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        v_row := to_jsonb(NEW);
        v_new := v_row - v_never;
    END IF;
    v_user := coalesce(v_row ->> 'user_id', v_row ->> 'id')::uuid;
    IF TG_OP = 'UPDATE' THEN
        SELECT jsonb_object_agg(n.key, v_old -> n.key), jsonb_object_agg(n.key, n.value) INTO v_old, v_new
        FROM jsonb_each(v_new) n WHERE n.value IS DISTINCT FROM v_old -> n.key;
        IF v_new IS NULL THEN
            RETURN NULL; -- nothing that is recorded has changed
        END IF;
    ELSIF TG_OP = 'DELETE' AND NOT EXISTS (SELECT FROM users u WHERE u.id = v_user) THEN
        IF TG_TABLE_NAME <> 'users' THEN
            RETURN NULL; -- the account is being erased, and its trail with it
        END IF;
        v_user := NULL;
        v_old := NULL;
    END IF;
    FOREACH v_column IN ARRAY v_lengths LOOP
        IF jsonb_typeof(v_old -> v_column) = 'string' THEN
            v_old := v_old || jsonb_build_object(v_column,
                jsonb_build_object('characters', length(v_old ->> v_column)));
        END IF;
        IF jsonb_typeof(v_new -> v_column) = 'string' THEN
            v_new := v_new || jsonb_build_object(v_column,
                jsonb_build_object('characters', length(v_new ->> v_column)));
        END IF;
    END LOOP;
    INSERT INTO audit_logs (user_id, action, table_name, record_id, old_values, new_values, ip_address, user_agent)
    VALUES (
        v_user,
        CASE TG_OP WHEN 'INSERT' THEN 'CREATE' ELSE TG_OP END,
        TG_TABLE_NAME,
        coalesce(v_row ->> 'id', v_row ->> 'journal_id', v_row ->> 'user_id')::uuid, -- a link's record is its entry
        jsonb_strip_nulls(v_old),
        CASE TG_OP WHEN 'INSERT' THEN jsonb_strip_nulls(v_new) ELSE v_new END,
        nullif(current_setting('app.ip_address', true), '')::inet,
        nullif(current_setting('app.user_agent', true), '')
    );
    RETURN NULL;
END $$;

-- The same for rows that are made, one statement for all that a statement made. Its arguments are those of hushtag_audit.
CREATE FUNCTION hushtag_audit_created() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_never text[] := string_to_array(coalesce(TG_ARGV[0], ''), ',') || ARRAY['user_id', 'updated_at'];
    v_length text := coalesce(TG_ARGV[1], '');
BEGIN
    INSERT INTO audit_logs (user_id, action, table_name, record_id, new_values, ip_address, user_agent)
    SELECT (r.made ->> 'user_id')::uuid, 'CREATE', TG_TABLE_NAME,
        coalesce(r.made ->> 'id', r.made ->> 'journal_id', r.made ->> 'user_id')::uuid,
        CASE WHEN jsonb_typeof(r.made -> v_length) = 'string'
            THEN jsonb_set(jsonb_strip_nulls(r.made - v_never), ARRAY[v_length],
                jsonb_build_object('characters', length(r.made ->> v_length)))
            ELSE jsonb_strip_nulls(r.made - v_never) END,
        nullif(current_setting('app.ip_address', true), '')::inet,
        nullif(current_setting('app.user_agent', true), '')
    FROM (SELECT to_jsonb(c) AS made FROM created c OFFSET 0) r;
    RETURN NULL;
END $$;

-- The way in of the plain side: authenticates an account token for this transaction and says who changes things in it.
-- NULL: the token is not valid, and no row of anybody can be seen.
CREATE FUNCTION hushtag_enter(
        p_user uuid, p_token_hash bytea, p_idle interval, p_touch interval, p_address text, p_agent text)
    RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    v_id uuid;
    v_activity timestamptz;
BEGIN
    PERFORM set_config('app.user_id', p_user::text, true),
        set_config('app.ip_address', coalesce(p_address, ''), true),
        set_config('app.user_agent', coalesce(p_agent, ''), true);
    SELECT s.id, s.last_activity INTO v_id, v_activity
    FROM user_sessions s JOIN users u ON u.id = s.user_id AND u.is_active AND u.deleted_at IS NULL
    WHERE s.user_id = p_user AND s.token_hash = p_token_hash
      AND s.expires_at > now() AND s.last_activity > now() - p_idle;
    IF v_id IS NULL THEN
        PERFORM set_config('app.user_id', '', true);
    ELSIF v_activity < now() - p_touch THEN
        UPDATE user_sessions s SET last_activity = now() WHERE s.user_id = p_user AND s.id = v_id;
    END IF;
    RETURN v_id;
END $$;

-- A step that distributes the tables by user_id fits here; the references follow.

ALTER TABLE user_settings ADD CONSTRAINT user_settings_user_fkey
    FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE;
ALTER TABLE audit_logs ADD CONSTRAINT audit_logs_user_fkey
    FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE;

CREATE TRIGGER user_settings_touch BEFORE UPDATE ON user_settings FOR EACH ROW EXECUTE FUNCTION hushtag_touch();
CREATE TRIGGER users_audit AFTER INSERT OR UPDATE OR DELETE ON users
    FOR EACH ROW EXECUTE FUNCTION hushtag_audit('password_hash,phrase_salt,opaque_credential_id,last_login');
CREATE TRIGGER user_settings_audit AFTER INSERT OR UPDATE OR DELETE ON user_settings
    FOR EACH ROW EXECUTE FUNCTION hushtag_audit();

ALTER TABLE user_settings ENABLE ROW LEVEL SECURITY;
ALTER TABLE user_settings FORCE ROW LEVEL SECURITY;
ALTER TABLE audit_logs ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_logs FORCE ROW LEVEL SECURITY;
CREATE POLICY user_settings_own ON user_settings
    USING (user_id = hushtag_current_user()) WITH CHECK (user_id = hushtag_current_user());
CREATE POLICY audit_logs_own ON audit_logs FOR SELECT USING (user_id = hushtag_current_user());
CREATE POLICY audit_logs_append ON audit_logs FOR INSERT
    WITH CHECK (user_id IS NULL OR user_id = hushtag_current_user());

GRANT SELECT, INSERT, UPDATE ON user_settings TO hushtag_server;
-- The audit trail only grows.
GRANT SELECT, INSERT ON audit_logs TO hushtag_server;
REVOKE ALL ON FUNCTION hushtag_audit, hushtag_audit_created, hushtag_enter FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hushtag_audit, hushtag_audit_created, hushtag_enter TO hushtag_server;
