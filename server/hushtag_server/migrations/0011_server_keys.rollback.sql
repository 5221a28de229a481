DROP FUNCTION hushtag_advance_ceremony;
CREATE FUNCTION hushtag_advance_ceremony(
        p_user uuid, p_token_hash bytea, p_idle interval, p_touch interval,
        p_session_id text, p_hashes bytea, p_key uuid, p_next_id text, p_lifetime interval,
        OUT account_session_id uuid, OUT session_data bytea, OUT credential_id bytea, OUT records bytea)
    LANGUAGE plpgsql AS $$
BEGIN
    account_session_id := hushtag_account_session(p_user, p_token_hash, p_idle, p_touch);
    IF account_session_id IS NULL THEN
        RETURN;
    END IF;
    DELETE FROM opaque_sessions o
    WHERE o.user_id = p_user AND o.session_id = p_session_id AND o.session_state = 'located'
      AND o.user_session_id = account_session_id AND o.expires_at > now()
    RETURNING o.session_data INTO session_data;
    IF session_data IS NULL THEN
        RETURN;
    END IF;
    INSERT INTO opaque_sessions (user_id, session_id, user_session_id, session_state, expires_at)
    VALUES (p_user, p_next_id, account_session_id, 'login_started', now() + p_lifetime);
    SELECT u.opaque_credential_id INTO credential_id FROM users u WHERE u.id = p_user;
    SELECT string_agg(t.phrase_hash || t.verifier_kv || t.opaque_envelope, ''::bytea) INTO records
    FROM secret_tags t
    WHERE t.user_id = p_user AND t.server_key_id = p_key AND t.phrase_hash = ANY (ARRAY(
        SELECT substring(p_hashes FROM 16 * i + 1 FOR 16) FROM generate_series(0, octet_length(p_hashes) / 16 - 1) i));
END $$;
REVOKE ALL ON FUNCTION hushtag_advance_ceremony FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hushtag_advance_ceremony TO hushtag_server;
DROP TRIGGER users_shred ON users;
DROP FUNCTION hushtag_shred_tag, hushtag_shred_user, hushtag_keep_seal, hushtag_seal_tag, hushtag_load_seals,
    hushtag_check_registration, hushtag_seal_of, hushtag_move_tag;
ALTER TABLE server_keys DROP COLUMN tag_count, DROP COLUMN counted_at, DROP COLUMN retired_at;
-- Refused while sealed tags are there: without the seals, which go with this table, they would open nothing.
ALTER TABLE secret_tags DROP CONSTRAINT secret_tags_opaque_envelope_length;
ALTER TABLE secret_tags ADD CONSTRAINT secret_tags_opaque_envelope_length CHECK (octet_length(opaque_envelope) = 160);
DROP TABLE tag_seals;
