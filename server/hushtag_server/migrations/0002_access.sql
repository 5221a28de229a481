-- depends: 0001_vault
-- Who may do what: forced row-level security by app.user_id, and the exact grants of the server's role.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'hushtag_server') THEN
        CREATE ROLE hushtag_server NOLOGIN NOBYPASSRLS;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL; -- roles belong to the cluster: another database made it at this moment
END $$;

CREATE TRIGGER users_touch BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION hushtag_touch();
CREATE TRIGGER user_sessions_touch BEFORE UPDATE ON user_sessions FOR EACH ROW EXECUTE FUNCTION hushtag_touch();
CREATE TRIGGER secret_tags_touch BEFORE UPDATE ON secret_tags FOR EACH ROW EXECUTE FUNCTION hushtag_touch();
CREATE TRIGGER vaults_touch BEFORE UPDATE ON vaults FOR EACH ROW EXECUTE FUNCTION hushtag_touch();
CREATE TRIGGER wrapped_keys_touch BEFORE UPDATE ON wrapped_keys FOR EACH ROW EXECUTE FUNCTION hushtag_touch();
CREATE TRIGGER vault_blobs_touch BEFORE UPDATE ON vault_blobs FOR EACH ROW EXECUTE FUNCTION hushtag_touch();
CREATE TRIGGER vault_segments_touch BEFORE UPDATE ON vault_segments FOR EACH ROW EXECUTE FUNCTION hushtag_touch();
CREATE TRIGGER opaque_sessions_touch BEFORE UPDATE ON opaque_sessions FOR EACH ROW EXECUTE FUNCTION hushtag_touch();
CREATE TRIGGER unlock_budget_touch BEFORE UPDATE ON unlock_budget FOR EACH ROW EXECUTE FUNCTION hushtag_touch();

ALTER TABLE users ENABLE ROW LEVEL SECURITY;
ALTER TABLE users FORCE ROW LEVEL SECURITY;
ALTER TABLE user_sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE user_sessions FORCE ROW LEVEL SECURITY;
ALTER TABLE secret_tags ENABLE ROW LEVEL SECURITY;
ALTER TABLE secret_tags FORCE ROW LEVEL SECURITY;
ALTER TABLE vaults ENABLE ROW LEVEL SECURITY;
ALTER TABLE vaults FORCE ROW LEVEL SECURITY;
ALTER TABLE wrapped_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE wrapped_keys FORCE ROW LEVEL SECURITY;
ALTER TABLE vault_blobs ENABLE ROW LEVEL SECURITY;
ALTER TABLE vault_blobs FORCE ROW LEVEL SECURITY;
ALTER TABLE vault_segments ENABLE ROW LEVEL SECURITY;
ALTER TABLE vault_segments FORCE ROW LEVEL SECURITY;
ALTER TABLE opaque_sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE opaque_sessions FORCE ROW LEVEL SECURITY;
ALTER TABLE unlock_budget ENABLE ROW LEVEL SECURITY;
ALTER TABLE unlock_budget FORCE ROW LEVEL SECURITY;

CREATE POLICY users_own ON users
    USING (id = hushtag_current_user()) WITH CHECK (id = hushtag_current_user());
-- Login knows an email and no id yet: it may read that one row, and change nothing.
CREATE POLICY users_login ON users FOR SELECT
    USING (lower(email) = nullif(current_setting('app.login_email', true), ''));
CREATE POLICY user_sessions_own ON user_sessions
    USING (user_id = hushtag_current_user()) WITH CHECK (user_id = hushtag_current_user());
CREATE POLICY secret_tags_own ON secret_tags
    USING (user_id = hushtag_current_user()) WITH CHECK (user_id = hushtag_current_user());
CREATE POLICY vaults_own ON vaults
    USING (user_id = hushtag_current_user()) WITH CHECK (user_id = hushtag_current_user());
CREATE POLICY wrapped_keys_own ON wrapped_keys
    USING (user_id = hushtag_current_user()) WITH CHECK (user_id = hushtag_current_user());
CREATE POLICY vault_blobs_own ON vault_blobs
    USING (user_id = hushtag_current_user()) WITH CHECK (user_id = hushtag_current_user());
CREATE POLICY vault_segments_own ON vault_segments
    USING (user_id = hushtag_current_user()) WITH CHECK (user_id = hushtag_current_user());
CREATE POLICY opaque_sessions_own ON opaque_sessions
    USING (user_id = hushtag_current_user()) WITH CHECK (user_id = hushtag_current_user());
CREATE POLICY unlock_budget_own ON unlock_budget
    USING (user_id = hushtag_current_user()) WITH CHECK (user_id = hushtag_current_user());

GRANT SELECT, INSERT ON server_keys TO hushtag_server;
GRANT SELECT, INSERT, UPDATE (password_hash, last_login) ON users TO hushtag_server;
GRANT SELECT, INSERT, DELETE, UPDATE (last_activity) ON user_sessions TO hushtag_server;
GRANT SELECT, INSERT, UPDATE, DELETE ON secret_tags, vaults, wrapped_keys, vault_blobs TO hushtag_server;
GRANT SELECT, INSERT, DELETE ON vault_segments TO hushtag_server;
GRANT SELECT, INSERT, UPDATE, DELETE ON opaque_sessions, login_attempts TO hushtag_server;
GRANT SELECT, INSERT, UPDATE ON unlock_budget TO hushtag_server;
-- The audit log only grows.
GRANT SELECT, INSERT ON security_audit_logs TO hushtag_server;
