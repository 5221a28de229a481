-- depends: 0011_server_keys
-- The guess budget, whole: a reserve that no session can take from the others, lock-outs that grow with every unproven
-- guess of a session, and what the owner is told of them inside the vault. SPEC.md, section 20, argues it.
--
-- Nothing here depends on whether the account has a tag, and what one session is told never depends on what another
-- one proved: neither its lock-out nor, but for a sample now and then, the wait it is given.

ALTER TABLE unlock_budget ADD COLUMN failed_at timestamptz;
ALTER TABLE unlock_budget ADD COLUMN failed_before_at timestamptz;

ALTER TABLE user_sessions ADD COLUMN guesses_unproven double precision NOT NULL DEFAULT 0;
ALTER TABLE user_sessions ADD COLUMN guesses_reserved double precision NOT NULL DEFAULT 0;
ALTER TABLE user_sessions ADD COLUMN guesses_at timestamptz;
ALTER TABLE user_sessions ADD COLUMN guesses_locked_until timestamptz;
ALTER TABLE user_sessions ADD COLUMN guesses_refused integer;
ALTER TABLE user_sessions ADD COLUMN guesses_refused_until timestamptz;
ALTER TABLE user_sessions ADD CONSTRAINT user_sessions_guesses_unproven_range CHECK (guesses_unproven >= 0);
ALTER TABLE user_sessions ADD CONSTRAINT user_sessions_guesses_reserved_range
    CHECK (guesses_reserved >= 0 AND guesses_reserved <= 1000000);
ALTER TABLE user_sessions ADD CONSTRAINT user_sessions_guesses_refused_range CHECK (guesses_refused >= 1);
GRANT UPDATE (guesses_unproven, guesses_reserved, guesses_at, guesses_locked_until, guesses_refused,
    guesses_refused_until) ON user_sessions TO hushtag_server;

DROP FUNCTION hushtag_open_tag(uuid, bytea, interval, interval, text, text, bytea, uuid, interval,
    double precision, double precision);
DROP FUNCTION hushtag_begin_ceremony(uuid, bytea, interval, interval, integer, double precision, double precision,
    text, text, bytea, interval);
DROP FUNCTION hushtag_refund_guess(uuid, double precision, double precision);
DROP FUNCTION hushtag_charge_guesses(uuid, integer, double precision, double precision);
DROP FUNCTION hushtag_guesses(uuid, double precision, double precision);

-- How many guesses of a bucket stay for sessions that have not had their share of them: a quarter, or none of a bucket
-- so small that five candidates and the reserve would not fit into it together.
CREATE FUNCTION hushtag_guess_reserve(p_capacity double precision) RETURNS double precision LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN p_capacity >= 8 THEN floor(p_capacity / 4) ELSE 0 END
$$;

-- The row lock makes parallel charges queue up: what one of them took, the next one sees.
CREATE FUNCTION hushtag_guesses(p_user uuid, p_capacity double precision, p_rate double precision,
        OUT tokens double precision, OUT locked_until timestamptz, OUT counted_at timestamptz)
    LANGUAGE plpgsql AS $$
DECLARE
    v_refilled timestamptz;
BEGIN
    SELECT b.tokens, b.refilled_at, b.locked_until INTO tokens, v_refilled, locked_until
    FROM unlock_budget b WHERE b.user_id = p_user FOR NO KEY UPDATE;
    counted_at := clock_timestamp();
    IF NOT FOUND THEN
        RETURN; -- and not least(capacity, NULL), which is the capacity
    END IF;
    IF v_refilled > counted_at THEN
        -- The clock was ahead. Nothing would come back until it is as late again.
        UPDATE unlock_budget b SET refilled_at = counted_at WHERE b.user_id = p_user;
    END IF;
    tokens := least(p_capacity, tokens + p_rate * greatest(0, extract(epoch FROM counted_at - v_refilled)));
END $$;

-- For how long a session is locked out by a guess that leaves it this many unproven ones beyond half the bucket; NULL for
-- not at all. What has decayed in part counts as whole.
CREATE FUNCTION hushtag_guess_lockout(p_excess double precision, p_most interval) RETURNS interval
    LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN ceil(p_excess) > 0
        THEN least(p_most, interval '1 minute' * 2 ^ least(20, ceil(p_excess) - 1)) END
$$;

-- Takes p_guesses or nothing. Returns NULL when taken, otherwise the seconds until this session may ask again.
-- Locks the account session before the budget, as everything else does. What a session did not prove is forgotten at half
-- the rate at which guesses come back, whether or not it ever proves anything.
CREATE FUNCTION hushtag_charge_guesses(
        p_user uuid, p_session uuid, p_guesses integer, p_capacity double precision, p_rate double precision,
        p_lockout interval)
    RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_reserve double precision := hushtag_guess_reserve(p_capacity);
    v_session user_sessions%ROWTYPE;
    v_budget record;
    v_share double precision;
    v_needed double precision;
    v_unproven double precision;
    v_excess double precision;
    v_until timestamptz;
    v_now timestamptz;
BEGIN
    SELECT * INTO v_session FROM user_sessions s WHERE s.user_id = p_user AND s.id = p_session FOR NO KEY UPDATE;
    v_now := clock_timestamp();
    -- Nobody is told to wait longer than this, unless by a clock that was ahead: that ends as if it were told now, or,
    -- for want of guesses, is told anew.
    IF v_session.guesses_locked_until > v_now + p_lockout THEN
        v_session.guesses_locked_until := v_now + p_lockout;
        UPDATE user_sessions s SET guesses_locked_until = v_session.guesses_locked_until
        WHERE s.user_id = p_user AND s.id = p_session;
    END IF;
    IF v_session.guesses_refused_until > v_now + greatest(p_lockout, interval '1 second' * CASE
            WHEN p_rate > 0 THEN least(31622400, (p_capacity + v_session.guesses_refused + v_reserve) / p_rate)
            ELSE 86400 END) THEN
        v_session.guesses_refused_until := NULL;
    END IF;
    IF v_session.guesses_locked_until > v_now THEN
        v_until := v_session.guesses_locked_until;
        -- Told once, a lock-out lasts also when a proof takes back the guess that it is for.
        UPDATE user_sessions s SET guesses_refused = 1, guesses_refused_until = v_until
        WHERE s.user_id = p_user AND s.id = p_session AND s.guesses_refused_until IS DISTINCT FROM v_until;
    ELSIF v_session.guesses_refused_until > v_now AND p_guesses >= v_session.guesses_refused THEN
        -- Told once, it stays told: whoever asks again and again cannot watch the budget of the other sessions.
        v_until := v_session.guesses_refused_until;
    ELSE
        SELECT g.* INTO v_budget FROM hushtag_guesses(p_user, p_capacity, p_rate) g;
        v_now := v_budget.counted_at;
        v_share := greatest(0, v_reserve - v_session.guesses_reserved);
        -- Beyond its share a session must leave what it does not share in.
        v_needed := CASE WHEN p_guesses <= v_share THEN p_guesses ELSE p_guesses + v_reserve - v_share END;
        IF v_budget.tokens >= v_needed AND coalesce(v_budget.locked_until <= v_now, true) THEN
            UPDATE unlock_budget b
            SET tokens = v_budget.tokens - p_guesses, refilled_at = v_now, failures = b.failures + p_guesses,
                failed_before_at = b.failed_at, failed_at = v_now
            WHERE b.user_id = p_user;
            v_unproven := least(1000000, p_guesses + greatest(0, v_session.guesses_unproven
                - p_rate / 2 * greatest(0, coalesce(extract(epoch FROM v_now - v_session.guesses_at), 0))));
            v_excess := v_unproven - floor(p_capacity / 2);
            UPDATE user_sessions s
            SET guesses_unproven = v_unproven, guesses_at = v_now,
                guesses_reserved = s.guesses_reserved
                    + greatest(0, least(p_guesses, v_reserve - v_budget.tokens + p_guesses)),
                guesses_refused = NULL, guesses_refused_until = NULL,
                guesses_locked_until = v_now + hushtag_guess_lockout(v_excess, p_lockout)
            WHERE s.user_id = p_user AND s.id = p_session;
            RETURN NULL;
        END IF;
        -- Nobody without a budget row may guess; where nothing comes back, a day is as good an answer as any.
        v_until := v_now + interval '1 second' * CASE
            WHEN v_budget.tokens >= v_needed THEN 0
            WHEN p_rate > 0 THEN least(31622400, (v_needed - coalesce(v_budget.tokens, 0)) / p_rate)
            ELSE 86400 END;
        UPDATE user_sessions s SET guesses_refused = p_guesses, guesses_refused_until = v_until
        WHERE s.user_id = p_user AND s.id = p_session;
        v_until := greatest(v_until, v_budget.locked_until);
    END IF;
    RETURN ceil(least(31622400, greatest(1, extract(epoch FROM v_until - v_now))));
END $$;

-- A proof: one guess comes back, and count and lock-out of the session are as if its unlock had not been; what its other
-- candidates took of the budget, another session may have taken. Were the count lower than before, whoever holds the same
-- session before and after would see that somebody opened something; were it higher, who speaks a phrase and lets several
-- transcripts be tried would lock themselves out by the right one.
-- What nobody proved is counted anew, for those inside.
-- Returns how many guesses nobody proved since the last proof, without the p_guesses of this one, and when the last was.
-- What lands in the reserve gives the session its share of it back: of the reserve, too, a session loses only what it
-- guessed wrongly, and nobody gains by proving a phrase of their own.
CREATE FUNCTION hushtag_refund_guess(
        p_user uuid, p_session uuid, p_guesses integer, p_capacity double precision, p_rate double precision,
        OUT failed_guesses bigint, OUT last_failed_at timestamptz)
    LANGUAGE plpgsql AS $$
DECLARE
    v_guessed timestamptz;
    v_budget record;
    v_landed double precision;
    v_failed timestamptz;
    v_before timestamptz;
BEGIN
    SELECT s.guesses_at INTO v_guessed FROM user_sessions s
    WHERE s.user_id = p_user AND s.id = p_session FOR NO KEY UPDATE;
    SELECT g.* INTO v_budget FROM hushtag_guesses(p_user, p_capacity, p_rate) g;
    SELECT b.failures - p_guesses, b.failed_at, b.failed_before_at INTO failed_guesses, v_failed, v_before
    FROM unlock_budget b WHERE b.user_id = p_user;
    failed_guesses := least(2147483647, greatest(0, coalesce(failed_guesses, 0)));
    IF failed_guesses > 0 THEN
        -- Is the newest guess this session's own, it is the one that was proved.
        last_failed_at := CASE WHEN v_failed = v_guessed THEN coalesce(v_before, v_failed) ELSE v_failed END;
    END IF;
    v_landed := greatest(0, least(1, hushtag_guess_reserve(p_capacity) - v_budget.tokens));
    UPDATE unlock_budget b
    SET tokens = least(p_capacity, v_budget.tokens + 1), refilled_at = v_budget.counted_at,
        failures = 0, failed_at = NULL, failed_before_at = NULL
    WHERE b.user_id = p_user;
    UPDATE user_sessions s
    SET guesses_unproven = greatest(0, s.guesses_unproven - p_guesses), guesses_locked_until = NULL,
        guesses_reserved = greatest(0, s.guesses_reserved - coalesce(v_landed, 0))
    WHERE s.user_id = p_user AND s.id = p_session;
END $$;

-- The guess of an enrolment that came to its end was nobody's attempt to get in. (It is not given back.)
CREATE FUNCTION hushtag_count_enrolment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE unlock_budget b
    SET failures = b.failures - 1, failed_at = b.failed_before_at, failed_before_at = NULL
    WHERE b.user_id = NEW.user_id AND b.failures > 0;
    RETURN NULL;
END $$;
CREATE TRIGGER secret_tags_enrolled AFTER INSERT ON secret_tags
    FOR EACH ROW EXECUTE FUNCTION hushtag_count_enrolment();

-- Locate, and the first step of an enrolment: authenticate, charge, and only then keep the state.
CREATE FUNCTION hushtag_begin_ceremony(
        p_user uuid, p_token_hash bytea, p_idle interval, p_touch interval,
        p_guesses integer, p_capacity double precision, p_rate double precision, p_lockout interval,
        p_session_id text, p_state text, p_data bytea, p_lifetime interval,
        OUT account_session_id uuid, OUT retry_after integer, OUT credential_id bytea)
    LANGUAGE plpgsql AS $$
BEGIN
    account_session_id := hushtag_account_session(p_user, p_token_hash, p_idle, p_touch);
    IF account_session_id IS NULL THEN
        RETURN;
    END IF;
    retry_after := hushtag_charge_guesses(
        p_user, account_session_id, p_guesses, p_capacity, p_rate, p_lockout);
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
        p_lifetime interval, p_capacity double precision, p_rate double precision,
        p_guesses integer)
    RETURNS TABLE (
        suite text, tag_id uuid, salt bytea, expires_at timestamptz, vault_id uuid, wrapped_key_id uuid,
        wrapped_key bytea, key_purpose text, key_version integer, generation bigint, head bytea,
        failed_guesses bigint, last_failed_at timestamptz)
    LANGUAGE plpgsql AS $$
DECLARE
    v_account_session uuid := hushtag_account_session(p_user, p_token_hash, p_account_idle, p_touch);
    v_taken boolean;
    v_tag secret_tags%ROWTYPE;
    v_end timestamptz;
    v_failed record;
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
            NULL::bytea, NULL::text, NULL::integer, NULL::bigint, NULL::bytea, NULL::bigint, NULL::timestamptz;
        RETURN;
    END IF;
    SELECT least(s.expires_at, now() + p_lifetime) INTO v_end
    FROM user_sessions s WHERE s.user_id = p_user AND s.id = v_account_session;
    SELECT r.* INTO v_failed FROM hushtag_refund_guess(p_user, v_account_session, p_guesses, p_capacity, p_rate) r;
    PERFORM hushtag_forget_ended(p_user);
    INSERT INTO opaque_sessions (user_id, session_id, user_session_id, tag_id, session_state, expires_at)
    VALUES (p_user, p_session_id, v_account_session, v_tag.id, 'unlocked', v_end);
    RETURN QUERY
        SELECT DISTINCT ON (w.vault_id)
            v_tag.suite::text, v_tag.id, v_tag.salt, v_end, w.vault_id, w.id,
            w.wrapped_key, w.key_purpose::text, w.key_version, v.generation, v.head,
            v_failed.failed_guesses, v_failed.last_failed_at
        FROM wrapped_keys w JOIN vaults v ON v.user_id = w.user_id AND v.id = w.vault_id
        WHERE w.user_id = p_user AND w.tag_id = v_tag.id
        ORDER BY w.vault_id, w.key_version DESC LIMIT 1000;
END $$;

REVOKE ALL ON FUNCTION hushtag_guess_reserve, hushtag_guess_lockout, hushtag_guesses, hushtag_charge_guesses,
    hushtag_refund_guess, hushtag_begin_ceremony, hushtag_open_tag, hushtag_count_enrolment FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hushtag_guess_reserve, hushtag_guess_lockout, hushtag_guesses, hushtag_charge_guesses,
    hushtag_refund_guess, hushtag_begin_ceremony, hushtag_open_tag, hushtag_count_enrolment TO hushtag_server;
