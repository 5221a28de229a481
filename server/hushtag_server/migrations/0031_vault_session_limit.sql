-- depends: 0030_account_limits
-- How many vault sessions a phrase may have. The server says it where it connects (app.most_vault_sessions); who says
-- nothing is held to nothing. Those that idled out count, as long as they are there.

-- Ends those of a tag that were unused longest, beyond as many as there may be, and never the one that was just begun
-- (p_session_id). Of one tag, not of the account: else a vault would tell by its end what goes on in the others. What
-- somebody works with at this moment is left for the next time, so nobody waits for anybody.
CREATE FUNCTION hushtag_end_unused(p_user uuid, p_tag uuid, p_session_id text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_most CONSTANT integer := current_setting('app.most_vault_sessions');
    v_beyond text[] := ARRAY(
        SELECT o.session_id FROM opaque_sessions o
        WHERE o.user_id = p_user AND o.tag_id = p_tag AND o.session_id <> p_session_id
        ORDER BY o.last_activity DESC, o.session_id LIMIT 1000 OFFSET v_most - 1);
BEGIN
    IF v_beyond <> '{}' THEN
        DELETE FROM opaque_sessions o WHERE o.user_id = p_user AND o.tag_id = p_tag AND o.session_id = ANY (ARRAY(
            SELECT e.session_id FROM opaque_sessions e
            WHERE e.user_id = p_user AND e.tag_id = p_tag AND e.session_id = ANY (v_beyond) FOR UPDATE SKIP LOCKED));
    END IF;
END $$;

-- As in 0015; but now and then it is looked how many sessions the tag has. To count them at every unlock would cost each
-- of them what they hardly ever find: about five times while as many begin as there may be, and every time where there
-- may be at most five.
CREATE OR REPLACE FUNCTION hushtag_open_tag(
        p_user uuid, p_token_hash bytea, p_account_idle interval, p_touch interval,
        p_step_id text, p_session_id text, p_phrase_hash bytea, p_key uuid,
        p_lifetime interval, p_capacity double precision, p_rate double precision,
        p_guesses integer, p_release_check bytea, p_tickets bytea)
    RETURNS TABLE (
        suite text, tag_id uuid, salt bytea, expires_at timestamptz, vault_id uuid, wrapped_key_id uuid,
        wrapped_key bytea, key_purpose text, key_version integer, generation bigint, head bytea,
        ring bytea, steps bytea, failed_guesses bigint, last_failed_at timestamptz)
    LANGUAGE plpgsql AS $$
DECLARE
    v_account_session uuid := hushtag_account_session(p_user, p_token_hash, p_account_idle, p_touch);
    v_taken boolean;
    v_tag secret_tags%ROWTYPE;
    v_end timestamptz;
    v_failed record;
    v_tickets bytea[];
BEGIN
    IF v_account_session IS NULL THEN
        RETURN;
    END IF;
    DELETE FROM opaque_sessions o
    WHERE o.user_id = p_user AND o.session_id = p_step_id AND o.session_state = 'login_started'
      AND o.user_session_id IS NOT DISTINCT FROM v_account_session AND o.expires_at > now();
    v_taken := FOUND;
    SELECT * INTO v_tag FROM secret_tags t
    WHERE t.user_id = p_user AND t.phrase_hash = p_phrase_hash AND t.server_key_id = p_key FOR KEY SHARE;
    IF NOT v_taken OR v_tag.id IS NULL
            OR NOT EXISTS (SELECT FROM wrapped_keys w
                JOIN vaults v ON v.user_id = w.user_id AND v.id = w.vault_id AND v.destroyed_at IS NULL
                WHERE w.user_id = p_user AND w.tag_id = v_tag.id)
            OR v_tag.release_check <> p_release_check THEN
        RETURN QUERY SELECT NULL::text, NULL::uuid, NULL::bytea, NULL::timestamptz, NULL::uuid, NULL::uuid,
            NULL::bytea, NULL::text, NULL::integer, NULL::bigint, NULL::bytea, NULL::bytea, NULL::bytea,
            NULL::bigint, NULL::timestamptz;
        RETURN;
    END IF;
    SELECT least(s.expires_at, now() + p_lifetime) INTO v_end
    FROM user_sessions s WHERE s.user_id = p_user AND s.id = v_account_session;
    SELECT r.* INTO v_failed FROM hushtag_refund_guess(p_user, v_account_session, p_guesses, p_capacity, p_rate) r;
    PERFORM hushtag_forget_ended(p_user);
    INSERT INTO opaque_sessions (user_id, session_id, user_session_id, tag_id, session_state, expires_at)
    VALUES (p_user, p_session_id, v_account_session, v_tag.id, 'unlocked', v_end);
    IF random() * nullif(current_setting('app.most_vault_sessions', true), '')::integer < 5 THEN
        PERFORM hushtag_end_unused(p_user, v_tag.id, p_session_id);
    END IF;
    v_tickets := ARRAY(SELECT substring(p_tickets FROM 16 * i + 1 FOR 16) FROM generate_series(0, 127) i);
    IF EXISTS (SELECT FROM tag_orders o
               WHERE o.user_id = p_user AND o.ticket = ANY (v_tickets) AND o.tag_id <> v_tag.id) THEN
        PERFORM hushtag_carry_out(p_user, v_tag.id, v_tickets);
    END IF;
    IF v_tag.release_check IS NULL THEN -- of an earlier version: the first unlock since says what it is
        UPDATE secret_tags t SET release_check = p_release_check WHERE t.user_id = p_user AND t.id = v_tag.id;
    END IF;
    RETURN QUERY
        SELECT DISTINCT ON (w.vault_id)
            v_tag.suite::text, v_tag.id, v_tag.salt, v_end, w.vault_id, w.id,
            w.wrapped_key, w.key_purpose::text, w.key_version, v.generation, v.head, v.ring,
            (SELECT string_agg(s.sealed_key || r.proof, ''::bytea ORDER BY s.key_version)
             FROM sealed_keys s JOIN key_rotations r
                 ON r.user_id = s.user_id AND r.vault_id = s.vault_id AND r.key_version = s.key_version
             WHERE s.user_id = w.user_id AND s.tag_id = w.tag_id AND s.vault_id = w.vault_id
               AND s.key_version > w.key_version),
            v_failed.failed_guesses, v_failed.last_failed_at
        FROM wrapped_keys w JOIN vaults v ON v.user_id = w.user_id AND v.id = w.vault_id AND v.destroyed_at IS NULL
        WHERE w.user_id = p_user AND w.tag_id = v_tag.id
        ORDER BY w.vault_id, w.key_version DESC LIMIT 1000;
END $$;

REVOKE ALL ON FUNCTION hushtag_end_unused FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hushtag_end_unused TO hushtag_server;
