-- depends: 0009_operation
-- The security log as a chain. Rows are signed by whoever writes them and queued; one sealer at a time takes them off the
-- queue and gives each a place in the chain, so that writers never wait for each other. No key is in the database.

-- Which key set a row was signed under. Not a reference: its check would lock one row of server_keys for every event.
ALTER TABLE security_audit_logs ADD COLUMN key_id uuid;

-- Rows that are not yet in the chain, for about a second. Written with the row, taken away as it is linked.
CREATE TABLE security_audit_unsealed (
    id uuid NOT NULL,
    CONSTRAINT security_audit_unsealed_pkey PRIMARY KEY (id)
);

-- The chain: link = HMAC over the link before, the place, the row's id and signature. A row may be missing where
-- somebody deleted it: so no reference, and the link tells.
CREATE TABLE security_audit_links (
    seq bigint NOT NULL,
    log_id uuid NOT NULL,
    link bytea NOT NULL,
    key_id uuid NOT NULL,
    CONSTRAINT security_audit_links_pkey PRIMARY KEY (seq),
    CONSTRAINT security_audit_links_seq_range CHECK (seq >= 1),
    CONSTRAINT security_audit_links_link_length CHECK (octet_length(link) = 32)
);

CREATE UNIQUE INDEX security_audit_links_log_id_key ON security_audit_links (log_id);

-- Signed statements: how far the chain reached ('head'), and up to where maintenance has removed it ('cut').
CREATE TABLE security_audit_checkpoints (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    kind varchar(4) NOT NULL,
    first_seq bigint NOT NULL,
    last_seq bigint NOT NULL,
    link bytea NOT NULL,
    key_id uuid NOT NULL,
    signed_at timestamptz NOT NULL,
    signature bytea NOT NULL,
    CONSTRAINT security_audit_checkpoints_pkey PRIMARY KEY (id),
    CONSTRAINT security_audit_checkpoints_kind_known CHECK (kind IN ('head', 'cut')),
    CONSTRAINT security_audit_checkpoints_range CHECK (first_seq >= 1 AND last_seq >= first_seq),
    CONSTRAINT security_audit_checkpoints_signed_at_range
        CHECK (signed_at >= '0002-01-01Z' AND signed_at < '9999-01-01Z'),
    CONSTRAINT security_audit_checkpoints_link_length CHECK (octet_length(link) = 32),
    CONSTRAINT security_audit_checkpoints_signature_length CHECK (octet_length(signature) = 64)
);

CREATE INDEX security_audit_checkpoints_kind_idx ON security_audit_checkpoints (kind, last_seq);

-- Vault sessions that are gone, by whatever way (lock, log-out, expiry, deletion): only the server can sign an event, so
-- the sealer makes one of each. The session's id is its token's hash, as it stood in opaque_sessions.
CREATE TABLE security_audit_ends (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    session_id varchar(64) NOT NULL,
    expired boolean NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT security_audit_ends_pkey PRIMARY KEY (id)
);

CREATE FUNCTION hushtag_note_vault_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO security_audit_ends (session_id, expired) VALUES (OLD.session_id, OLD.expires_at <= now());
    RETURN NULL;
END $$;

CREATE TRIGGER opaque_sessions_ended AFTER DELETE ON opaque_sessions
    FOR EACH ROW WHEN (OLD.session_state = 'unlocked') EXECUTE FUNCTION hushtag_note_vault_end();

-- What is due is found by the chain, and removed with its links.
GRANT SELECT, INSERT, DELETE ON security_audit_unsealed, security_audit_ends TO hushtag_server;
GRANT SELECT, INSERT ON security_audit_links, security_audit_checkpoints TO hushtag_server;
GRANT DELETE ON security_audit_links, security_audit_checkpoints TO hushtag_maintainer;
GRANT INSERT ON security_audit_checkpoints, security_audit_ends TO hushtag_maintainer;
REVOKE ALL ON FUNCTION hushtag_note_vault_end FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hushtag_note_vault_end TO hushtag_server, hushtag_maintainer;
DO $$ BEGIN PERFORM hushtag_admit_maintainer(); END $$;
