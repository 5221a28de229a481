DROP TRIGGER secret_tags_enrolled ON secret_tags;
DROP FUNCTION hushtag_count_enrolment;
DROP FUNCTION hushtag_open_tag;
DROP FUNCTION hushtag_begin_ceremony;
DROP FUNCTION hushtag_refund_guess;
DROP FUNCTION hushtag_charge_guesses;
DROP FUNCTION hushtag_guesses;
DROP FUNCTION hushtag_guess_lockout;
DROP FUNCTION hushtag_guess_reserve;
ALTER TABLE user_sessions DROP COLUMN guesses_unproven, DROP COLUMN guesses_reserved, DROP COLUMN guesses_at,
    DROP COLUMN guesses_locked_until, DROP COLUMN guesses_refused, DROP COLUMN guesses_refused_until;
ALTER TABLE unlock_budget DROP COLUMN failed_at, DROP COLUMN failed_before_at;

-- The row lock makes parallel charges queue up: what one of them took, the next one sees.
CREATE FUNCTION hushtag_guesses(p_user uuid, p_capacity double precision, p_rate double precision,
        OUT tokens double precision, OUT locked_until timestamptz)
    LANGUAGE plpgsql AS $$
DECLARE
    v_refilled timestamptz;
BEGIN
    SELECT b.tokens, b.refilled_at, b.locked_until INTO tokens, v_refilled, locked_until
    FROM unlock_budget b WHERE b.user_id = p_user FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN; -- and not least(capacity, NULL), which is the capacity
    END IF;
    tokens := least(p_capacity, tokens + p_rate * greatest(0, extract(epoch FROM clock_timestamp() - v_refilled)));
END $$;

-- Takes p_guesses or nothing. Returns NULL when taken, otherwise the seconds until there are enough.
CREATE FUNCTION hushtag_charge_guesses(
        p_user uuid, p_guesses integer, p_capacity double precision, p_rate double precision)
    RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_tokens double precision;
    v_locked timestamptz;
    v_wait double precision;
BEGIN
    SELECT g.tokens, g.locked_until INTO v_tokens, v_locked FROM hushtag_guesses(p_user, p_capacity, p_rate) g;
    IF v_tokens >= p_guesses AND coalesce(v_locked <= clock_timestamp(), true) THEN
        UPDATE unlock_budget b SET tokens = v_tokens - p_guesses, refilled_at = clock_timestamp()
        WHERE b.user_id = p_user;
        RETURN NULL;
    END IF;
    -- Nobody without a budget row may guess; where nothing comes back, a day is as good an answer as any.
    v_wait := CASE
        WHEN v_tokens >= p_guesses THEN 0
        WHEN p_rate > 0 THEN (p_guesses - coalesce(v_tokens, 0)) / p_rate
        ELSE 86400 END;
    RETURN ceil(least(31622400, greatest(1, v_wait, extract(epoch FROM v_locked - clock_timestamp()))));
END $$;

CREATE FUNCTION hushtag_refund_guess(p_user uuid, p_capacity double precision, p_rate double precision)
    RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_tokens double precision;
BEGIN
    SELECT g.tokens INTO v_tokens FROM hushtag_guesses(p_user, p_capacity, p_rate) g;
    UPDATE unlock_budget b SET tokens = least(p_capacity, v_tokens + 1), refilled_at = clock_timestamp()
    WHERE b.user_id = p_user;
END $$;

-- Locate, and the first step of an enrolment: authenticate, charge, and only then keep the state.
CREATE FUNCTION hushtag_begin_ceremony(
        p_user uuid, p_token_hash bytea, p_idle interval, p_touch interval,
        p_guesses integer, p_capacity double precision, p_rate double precision,
        p_session_id text, p_state text, p_data bytea, p_lifetime interval,
        OUT account_session_id uuid, OUT retry_after integer, OUT credential_id bytea)
    LANGUAGE plpgsql AS $$
BEGIN
    account_session_id := hushtag_account_session(p_user, p_token_hash, p_idle, p_touch);
    IF account_session_id IS NULL THEN
        RETURN;
    END IF;
    retry_after := hushtag_charge_guesses(p_user, p_guesses, p_capacity, p_rate);
    IF retry_after IS NOT NULL THEN
        RETURN;
    END IF;
    PERFORM hushtag_forget_ended(p_user);
    INSERT INTO opaque_sessions (user_id, session_id, user_session_id, session_state, session_data, expires_at)
    VALUES (p_user, p_session_id, account_session_id, p_state, p_data, now() + p_lifetime);
    SELECT u.opaque_credential_id INTO credential_id FROM users u WHERE u.id = p_user;
END $$;

-- The end of an unlock. The step is used up first, whatever becomes of it: of two that come with one proof, one wins.
-- Then the vault session begins, one guess comes back, and every vault of the tag is returned with its newest key.
-- No row: not authenticated. A row without a tag: no such step, no proof (p_phrase_hash is NULL), or the tag is gone.
CREATE FUNCTION hushtag_open_tag(
        p_user uuid, p_token_hash bytea, p_account_idle interval, p_touch interval,
        p_step_id text, p_session_id text, p_phrase_hash bytea, p_key uuid,
        p_lifetime interval, p_capacity double precision, p_rate double precision)
    RETURNS TABLE (
        suite text, tag_id uuid, salt bytea, expires_at timestamptz, vault_id uuid, wrapped_key_id uuid,
        wrapped_key bytea, key_purpose text, key_version integer, generation bigint, head bytea)
    LANGUAGE plpgsql AS $$
DECLARE
    v_account_session uuid := hushtag_account_session(p_user, p_token_hash, p_account_idle, p_touch);
    v_taken boolean;
    v_tag secret_tags%ROWTYPE;
    v_end timestamptz;
BEGIN
    IF v_account_session IS NULL THEN
        RETURN;
    END IF;
    DELETE FROM opaque_sessions o
    WHERE o.user_id = p_user AND o.session_id = p_step_id AND o.session_state = 'login_started'
      AND o.user_session_id = v_account_session AND o.expires_at > now();
    v_taken := FOUND;
    SELECT * INTO v_tag FROM secret_tags t
    WHERE t.user_id = p_user AND t.phrase_hash = p_phrase_hash AND t.server_key_id = p_key FOR KEY SHARE;
    IF NOT v_taken OR v_tag.id IS NULL
            OR NOT EXISTS (SELECT FROM wrapped_keys w WHERE w.user_id = p_user AND w.tag_id = v_tag.id) THEN
        RETURN QUERY SELECT NULL::text, NULL::uuid, NULL::bytea, NULL::timestamptz, NULL::uuid, NULL::uuid,
            NULL::bytea, NULL::text, NULL::integer, NULL::bigint, NULL::bytea;
        RETURN;
    END IF;
    SELECT least(s.expires_at, now() + p_lifetime) INTO v_end
    FROM user_sessions s WHERE s.user_id = p_user AND s.id = v_account_session;
    PERFORM hushtag_refund_guess(p_user, p_capacity, p_rate);
    PERFORM hushtag_forget_ended(p_user);
    INSERT INTO opaque_sessions (user_id, session_id, user_session_id, tag_id, session_state, expires_at)
    VALUES (p_user, p_session_id, v_account_session, v_tag.id, 'unlocked', v_end);
    RETURN QUERY
        SELECT DISTINCT ON (w.vault_id)
            v_tag.suite::text, v_tag.id, v_tag.salt, v_end, w.vault_id, w.id,
            w.wrapped_key, w.key_purpose::text, w.key_version, v.generation, v.head
        FROM wrapped_keys w JOIN vaults v ON v.user_id = w.user_id AND v.id = w.vault_id
        WHERE w.user_id = p_user AND w.tag_id = v_tag.id
        ORDER BY w.vault_id, w.key_version DESC LIMIT 1000;
END $$;

REVOKE ALL ON FUNCTION hushtag_guesses, hushtag_charge_guesses, hushtag_refund_guess, hushtag_begin_ceremony,
    hushtag_open_tag FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hushtag_guesses, hushtag_charge_guesses, hushtag_refund_guess, hushtag_begin_ceremony,
    hushtag_open_tag TO hushtag_server;
