-- depends: 0018_seal_copies
-- The middle of an unlock hands out one entry for each phrase hash, found or not, of the same bytes made in the same steps:
-- the time of a start does not tell whether a phrase opens something. What was not found has the key set and the phrase
-- hash of nothing, all zeros: no key set has that id, so nobody's look-up comes to it.
CREATE OR REPLACE FUNCTION hushtag_advance_ceremony(
        p_user uuid, p_token_hash bytea, p_idle interval, p_touch interval,
        p_session_id text, p_hashes bytea, p_next_id text, p_lifetime interval,
        OUT account_session_id uuid, OUT session_data bytea, OUT credential_id bytea, OUT records bytea)
    LANGUAGE plpgsql
    -- The look-up of the records takes less time than planning it anew for every number of hashes. And no seal is
    -- remembered from one hash to the next: of those that nothing was found for, only the first would be looked up.
    SET plan_cache_mode = force_generic_plan SET enable_memoize = off AS $$
DECLARE
    v_nothing CONSTANT bytea := decode(repeat('00', 188), 'hex');
BEGIN
    account_session_id := hushtag_account_session(p_user, p_token_hash, p_idle, p_touch);
    IF account_session_id IS NULL THEN
        RETURN;
    END IF;
    DELETE FROM opaque_sessions o
    WHERE o.user_id = p_user AND o.session_id = p_session_id AND o.session_state = 'located'
      AND o.user_session_id IS NOT DISTINCT FROM account_session_id AND o.expires_at > now()
    RETURNING o.session_data INTO session_data;
    IF session_data IS NULL THEN
        RETURN;
    END IF;
    INSERT INTO opaque_sessions (user_id, session_id, user_session_id, session_state, expires_at)
    VALUES (p_user, p_next_id, account_session_id, 'login_started', now() + p_lifetime);
    SELECT u.opaque_credential_id INTO credential_id FROM users u WHERE u.id = p_user;
    -- One look-up by index for each hash, and one for a seal in any case: under an id that no tag has where there is no tag.
    -- The limits keep the planner from reading all tags of the user instead, which would tell whether there are any. A tag
    -- without its seal is as good as absent.
    SELECT string_agg(
        coalesce(CASE WHEN s.seal IS NOT NULL OR octet_length(t.opaque_envelope) = 160
            THEN uuid_send(t.server_key_id) || t.phrase_hash END, substring(v_nothing FOR 32))
        || coalesce(s.seal, substring(v_nothing FOR 32))
        || coalesce(t.verifier_kv, substring(v_nothing FOR 32))
        || coalesce(t.opaque_envelope, v_nothing)
        || substring(v_nothing FOR 188 - octet_length(coalesce(t.opaque_envelope, v_nothing))), ''::bytea) INTO records
    FROM generate_series(0, octet_length(p_hashes) / 16 - 1) i
    LEFT JOIN LATERAL (
        SELECT g.* FROM secret_tags g
        WHERE g.user_id = p_user AND g.phrase_hash = substring(p_hashes FROM 16 * i + 1 FOR 16) LIMIT 1) t ON true
    LEFT JOIN LATERAL (
        SELECT e.seal FROM tag_seals e
        WHERE e.user_id = p_user AND e.tag_id = coalesce(t.id, p_user) LIMIT 1) s ON true;
END $$;
