-- depends: 0027_plans_of_tags
-- The steps of several unlocks in one transaction, for a server that many people unlock at. Each step is made by its own
-- function (0012, 0015, 0019), as its own user, one behind the other in the order given; callers give no session twice and
-- all in one order, so that two calls hardly ever wait for each other. What one user's row waits for, the others would wait for:
-- after a moment the whole call fails, nothing of it is kept, and each step is made by itself.
CREATE FUNCTION hushtag_begin_ceremonies(
        p_steps json, p_idle interval, p_touch interval, p_capacity double precision, p_rate double precision,
        p_lockout interval, p_state text, p_lifetime interval)
    RETURNS TABLE (place integer, account_session_id uuid, retry_after integer, credential_id bytea)
    LANGUAGE plpgsql ROWS 16 SET lock_timeout = '50ms' AS $$
DECLARE
    v_step record;
    v_begun record;
BEGIN
    FOR v_step IN SELECT s.*, row_number() OVER () AS place FROM json_to_recordset(p_steps)
        s (user_id uuid, token_hash bytea, guesses integer, session_id text, kept bytea)
    LOOP
        v_begun := hushtag_begin_ceremony(v_step.user_id, v_step.token_hash, p_idle, p_touch, v_step.guesses, p_capacity,
            p_rate, p_lockout, v_step.session_id, p_state, v_step.kept, p_lifetime);
        place := v_step.place;
        account_session_id := v_begun.account_session_id;
        retry_after := v_begun.retry_after;
        credential_id := v_begun.credential_id;
        RETURN NEXT;
    END LOOP;
    PERFORM set_config('app.user_id', '', true);
END $$;

CREATE FUNCTION hushtag_advance_ceremonies(p_steps json, p_idle interval, p_touch interval, p_lifetime interval)
    RETURNS TABLE (place integer, account_session_id uuid, session_data bytea, credential_id bytea, records bytea)
    LANGUAGE plpgsql ROWS 16 SET lock_timeout = '50ms' AS $$
DECLARE
    v_step record;
    v_taken record;
BEGIN
    FOR v_step IN SELECT s.*, row_number() OVER () AS place FROM json_to_recordset(p_steps)
        s (user_id uuid, token_hash bytea, session_id text, hashes bytea, next_id text)
    LOOP
        v_taken := hushtag_advance_ceremony(v_step.user_id, v_step.token_hash, p_idle, p_touch, v_step.session_id,
            v_step.hashes, v_step.next_id, p_lifetime);
        place := v_step.place;
        account_session_id := v_taken.account_session_id;
        session_data := v_taken.session_data;
        credential_id := v_taken.credential_id;
        records := v_taken.records;
        RETURN NEXT;
    END LOOP;
    PERFORM set_config('app.user_id', '', true);
END $$;

-- p_tickets holds those of all releases, 2048 bytes each, in the order of the steps.
CREATE FUNCTION hushtag_open_tags(
        p_steps json, p_tickets bytea, p_account_idle interval, p_touch interval, p_lifetime interval,
        p_capacity double precision, p_rate double precision)
    RETURNS TABLE (
        place integer, suite text, tag_id uuid, salt bytea, expires_at timestamptz, vault_id uuid, wrapped_key_id uuid,
        wrapped_key bytea, key_purpose text, key_version integer, generation bigint, head bytea,
        ring bytea, steps bytea, failed_guesses bigint, last_failed_at timestamptz)
    LANGUAGE plpgsql ROWS 16 SET lock_timeout = '50ms' AS $$
DECLARE
    v_step record;
BEGIN
    IF octet_length(p_tickets) <> 2048 * json_array_length(p_steps) THEN
        RAISE 'tickets of % steps', json_array_length(p_steps); -- they would be somebody else's
    END IF;
    FOR v_step IN SELECT s.*, row_number() OVER ()::integer AS place FROM json_to_recordset(p_steps)
        s (user_id uuid, token_hash bytea, step_id text, session_id text, phrase_hash bytea, key_id uuid,
           guesses integer, release_check bytea)
    LOOP
        RETURN QUERY SELECT v_step.place, o.* FROM hushtag_open_tag(
            v_step.user_id, v_step.token_hash, p_account_idle, p_touch, v_step.step_id, v_step.session_id,
            v_step.phrase_hash, v_step.key_id, p_lifetime, p_capacity, p_rate, v_step.guesses, v_step.release_check,
            substring(p_tickets FROM 2048 * (v_step.place - 1) + 1 FOR 2048)) o;
    END LOOP;
    PERFORM set_config('app.user_id', '', true);
END $$;

REVOKE ALL ON FUNCTION hushtag_begin_ceremonies, hushtag_advance_ceremonies, hushtag_open_tags FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hushtag_begin_ceremonies, hushtag_advance_ceremonies, hushtag_open_tags TO hushtag_server;
