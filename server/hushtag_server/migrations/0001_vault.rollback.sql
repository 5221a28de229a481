DROP TABLE login_attempts, security_audit_logs, unlock_budget, opaque_sessions, vault_segments, vault_blobs,
    wrapped_keys, vaults, secret_tags, user_sessions, users, server_keys;
DROP FUNCTION hushtag_touch();
DROP FUNCTION hushtag_current_user();
