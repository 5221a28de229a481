DROP TRIGGER users_audit ON users;
DROP FUNCTION hushtag_enter;
DROP TABLE audit_logs, user_settings;
DROP FUNCTION hushtag_audit, hushtag_audit_created;
