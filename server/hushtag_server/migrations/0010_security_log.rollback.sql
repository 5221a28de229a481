DROP TRIGGER opaque_sessions_ended ON opaque_sessions;
DROP FUNCTION hushtag_note_vault_end;
DROP TABLE security_audit_ends, security_audit_checkpoints, security_audit_links, security_audit_unsealed;
ALTER TABLE security_audit_logs DROP COLUMN key_id;
