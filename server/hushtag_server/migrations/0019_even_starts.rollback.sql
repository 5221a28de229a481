CREATE OR REPLACE FUNCTION hushtag_advance_ceremony(
        p_user uuid, p_token_hash bytea, p_idle interval, p_touch interval,
        p_session_id text, p_hashes bytea, p_next_id text, p_lifetime interval,
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
    SELECT string_agg(uuid_send(t.server_key_id) || t.phrase_hash || coalesce(s.seal, decode(repeat('00', 32), 'hex'))
        || t.verifier_kv || t.opaque_envelope
        || decode(repeat('00', 188 - octet_length(t.opaque_envelope)), 'hex'), ''::bytea) INTO records
    FROM secret_tags t LEFT JOIN tag_seals s ON s.user_id = t.user_id AND s.tag_id = t.id
    WHERE t.user_id = p_user AND (s.seal IS NOT NULL OR octet_length(t.opaque_envelope) = 160)
      AND t.phrase_hash = ANY (ARRAY(
        SELECT substring(p_hashes FROM 16 * i + 1 FOR 16) FROM generate_series(0, octet_length(p_hashes) / 16 - 1) i));
END $$;
