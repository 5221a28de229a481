DROP TRIGGER users_audit ON users;
DROP FUNCTION hushtag_enter;
DROP FUNCTION hushtag_make_audit_partitions;
DROP TABLE audit_logs, user_settings;
DROP FUNCTION hushtag_audit, hushtag_audit_created;
