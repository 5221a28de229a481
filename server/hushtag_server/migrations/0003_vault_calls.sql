-- depends: 0002_access
-- The vault side's hot steps, one call each: authenticate, check and change in one statement and one round trip.
-- Every function runs with the rights of its caller and names its tenant first, for its own transaction only, so that
-- forced row-level security holds inside it. The tenant comes from the token and is nothing until the token's hash
-- is found under it.
-- Order of locks, everywhere: account session, guess budget, ceremony rows; or vault, then its objects.

CREATE FUNCTION hushtag_account_session(p_user uuid, p_token_hash bytea, p_idle interval, p_touch interval)
    RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    v_id uuid;
    v_activity timestamptz;
BEGIN
    PERFORM set_config('app.user_id', p_user::text, true);
    -- The lock holds off a log-out until the step is done: it then ends whatever the step made.
    SELECT s.id, s.last_activity INTO v_id, v_activity
    FROM user_sessions s JOIN users u ON u.id = s.user_id AND u.is_active AND u.deleted_at IS NULL
    WHERE s.user_id = p_user AND s.token_hash = p_token_hash
      AND s.expires_at > now() AND s.last_activity > now() - p_idle
    FOR KEY SHARE OF s;
    IF v_activity < now() - p_touch THEN
        UPDATE user_sessions s SET last_activity = now() WHERE s.user_id = p_user AND s.id = v_id;
    END IF;
    RETURN v_id;
END $$;

CREATE FUNCTION hushtag_vault_session(p_user uuid, p_session_id text, p_idle interval, p_touch interval)
    RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    v_tag uuid;
    v_activity timestamptz;
BEGIN
    PERFORM set_config('app.user_id', p_user::text, true);
    SELECT o.tag_id, o.last_activity INTO v_tag, v_activity
    FROM opaque_sessions o
    JOIN user_sessions s ON s.user_id = o.user_id AND s.id = o.user_session_id AND s.expires_at > now()
    JOIN users u ON u.id = o.user_id AND u.is_active AND u.deleted_at IS NULL
    WHERE o.user_id = p_user AND o.session_id = p_session_id AND o.session_state = 'unlocked'
      AND o.expires_at > now() AND o.last_activity > now() - p_idle;
    IF v_activity < now() - p_touch THEN
        UPDATE opaque_sessions o SET last_activity = now() WHERE o.user_id = p_user AND o.session_id = p_session_id;
    END IF;
    RETURN v_tag;
END $$;

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

-- Forgets what has expired. Others may be doing the same: skip theirs. Vault sessions that merely lie unused are refused
-- wherever they are used, and maintenance removes them.
CREATE FUNCTION hushtag_forget_ended(p_user uuid) RETURNS void LANGUAGE sql AS $$
    DELETE FROM opaque_sessions o WHERE o.user_id = p_user AND o.session_id = ANY (ARRAY(
        SELECT e.session_id FROM opaque_sessions e WHERE e.user_id = p_user AND e.expires_at <= now()
        LIMIT 100 FOR UPDATE SKIP LOCKED
    ))
$$;

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

-- The middle of an unlock: takes what locate kept away as it reads it, so whoever comes second, late, from another
-- session or out of order finds nothing, and in the same breath begins the next step under its own id.
-- p_hashes is phrase hash(16), repeated; `records` holds, for each of them that is enrolled under p_key,
-- phrase hash(16) || verifier(32) || envelope(160).
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

-- The end of an enrolment: tag, vault, key, all or nothing; the state is used either way.
CREATE FUNCTION hushtag_enrol_tag(
        p_user uuid, p_token_hash bytea, p_idle interval, p_touch interval, p_session_id text, p_key uuid,
        p_tag uuid, p_phrase_hash bytea, p_salt bytea, p_verifier bytea, p_envelope bytea, p_suite text,
        p_tag_name text, p_label bytea, p_public_key bytea, p_vault uuid, p_head bytea,
        p_wrapped_key_id uuid, p_wrapped_key bytea, p_purpose text, p_key_version integer)
    RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_session uuid := hushtag_account_session(p_user, p_token_hash, p_idle, p_touch);
BEGIN
    IF v_session IS NULL THEN
        RETURN 'unauthenticated';
    END IF;
    DELETE FROM opaque_sessions o
    WHERE o.user_id = p_user AND o.session_id = p_session_id AND o.session_state = 'registration_started'
      AND o.user_session_id IS NOT DISTINCT FROM v_session AND o.expires_at > now();
    IF NOT FOUND THEN
        RETURN 'ceremony_failed';
    END IF;
    BEGIN
        INSERT INTO secret_tags (user_id, id, phrase_hash, salt, verifier_kv, opaque_envelope, suite, tag_name,
            sealed_label, public_key, server_key_id)
        VALUES (p_user, p_tag, p_phrase_hash, p_salt, p_verifier, p_envelope, p_suite, p_tag_name,
            p_label, p_public_key, p_key);
        INSERT INTO vaults (user_id, id, generation, head, key_version)
        VALUES (p_user, p_vault, 1, p_head, p_key_version);
        INSERT INTO wrapped_keys (user_id, id, tag_id, vault_id, wrapped_key, key_purpose, key_version)
        VALUES (p_user, p_wrapped_key_id, p_tag, p_vault, p_wrapped_key, p_purpose, p_key_version);
    EXCEPTION WHEN unique_violation THEN
        RETURN 'already_exists';
    END;
    RETURN 'enrolled';
END $$;

-- Whether a tag opens a vault: its newest wrapped key of it, or NULL.
CREATE FUNCTION hushtag_key_of(p_user uuid, p_tag uuid, p_vault uuid) RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT w.id FROM wrapped_keys w
    WHERE w.user_id = p_user AND w.tag_id = p_tag AND w.vault_id = p_vault
    ORDER BY w.key_version DESC LIMIT 1
$$;

-- Compare and swap, revision first, then generation. The vault's row lock makes writers queue up, so what is compared
-- still holds when it is written.
CREATE FUNCTION hushtag_put_object(
        p_user uuid, p_session_id text, p_idle interval, p_touch interval, p_vault uuid, p_object uuid,
        p_revision bigint, p_key_version integer, p_generation bigint, p_head bytea,
        p_iv bytea, p_ciphertext bytea, p_auth_tag bytea, p_size integer, p_digest bytea, p_max_objects bigint)
    RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_tag uuid := hushtag_vault_session(p_user, p_session_id, p_idle, p_touch);
    v_key uuid;
    v_vault vaults%ROWTYPE;
    v_revision bigint;
BEGIN
    IF v_tag IS NULL THEN
        RETURN 'unauthenticated';
    END IF;
    SELECT * INTO v_vault FROM vaults v WHERE v.user_id = p_user AND v.id = p_vault FOR NO KEY UPDATE;
    v_key := hushtag_key_of(p_user, v_tag, p_vault);
    IF v_vault.id IS NULL OR v_key IS NULL THEN
        RETURN 'not_found';
    END IF;
    SELECT b.revision INTO v_revision FROM vault_blobs b
    WHERE b.user_id = p_user AND b.vault_id = p_vault AND b.object_id = p_object;
    IF coalesce(v_revision, 0) <> p_revision - 1 THEN
        RETURN 'revision_conflict';
    END IF;
    -- A row under another key version than the vault's was sealed before, or for, another generation.
    IF v_vault.generation <> p_generation - 1 OR v_vault.key_version <> p_key_version THEN
        RETURN 'generation_conflict';
    END IF;
    IF v_revision IS NULL AND v_vault.object_count >= p_max_objects THEN
        RETURN 'limit_reached';
    END IF;
    IF v_revision IS NULL THEN
        INSERT INTO vault_blobs (user_id, vault_id, object_id, wrapped_key_id, iv, ciphertext, auth_tag, content_size,
            key_version, revision, row_digest)
        VALUES (p_user, p_vault, p_object, v_key, p_iv, p_ciphertext, p_auth_tag, p_size,
            p_key_version, p_revision, p_digest);
    ELSE
        UPDATE vault_blobs b
        SET wrapped_key_id = v_key, iv = p_iv, ciphertext = p_ciphertext, auth_tag = p_auth_tag,
            content_size = p_size, key_version = p_key_version, revision = p_revision, row_digest = p_digest
        WHERE b.user_id = p_user AND b.vault_id = p_vault AND b.object_id = p_object;
    END IF;
    UPDATE vaults v
    SET generation = p_generation, head = p_head, object_count = v.object_count + (v_revision IS NULL)::integer
    WHERE v.user_id = p_user AND v.id = p_vault;
    RETURN CASE WHEN v_revision IS NULL THEN 'created' ELSE 'replaced' END;
END $$;

CREATE FUNCTION hushtag_delete_object(
        p_user uuid, p_session_id text, p_idle interval, p_touch interval, p_vault uuid, p_object uuid,
        p_revision bigint, p_generation bigint, p_head bytea, OUT outcome text, OUT key_version integer)
    LANGUAGE plpgsql AS $$
DECLARE
    v_tag uuid := hushtag_vault_session(p_user, p_session_id, p_idle, p_touch);
    v_vault vaults%ROWTYPE;
    v_revision bigint;
BEGIN
    IF v_tag IS NULL THEN
        outcome := 'unauthenticated';
        RETURN;
    END IF;
    SELECT * INTO v_vault FROM vaults v WHERE v.user_id = p_user AND v.id = p_vault FOR NO KEY UPDATE;
    key_version := v_vault.key_version;
    SELECT b.revision INTO v_revision FROM vault_blobs b
    WHERE b.user_id = p_user AND b.vault_id = p_vault AND b.object_id = p_object;
    outcome := CASE
        WHEN v_revision IS NULL OR hushtag_key_of(p_user, v_tag, p_vault) IS NULL THEN 'not_found'
        WHEN v_revision <> p_revision THEN 'revision_conflict'
        WHEN v_vault.generation <> p_generation - 1 THEN 'generation_conflict'
        ELSE 'deleted' END;
    IF outcome <> 'deleted' THEN
        RETURN;
    END IF;
    DELETE FROM vault_blobs b WHERE b.user_id = p_user AND b.vault_id = p_vault AND b.object_id = p_object;
    UPDATE vaults v SET generation = p_generation, head = p_head, object_count = v.object_count - 1
    WHERE v.user_id = p_user AND v.id = p_vault;
END $$;

-- `body` is iv || ciphertext || auth_tag, put together here so that the server passes it on as it comes.
CREATE FUNCTION hushtag_get_object(
        p_user uuid, p_session_id text, p_idle interval, p_touch interval, p_vault uuid, p_object uuid,
        OUT tag_id uuid, OUT revision bigint, OUT key_version integer, OUT body bytea)
    LANGUAGE plpgsql AS $$
BEGIN
    tag_id := hushtag_vault_session(p_user, p_session_id, p_idle, p_touch);
    IF tag_id IS NULL OR hushtag_key_of(p_user, tag_id, p_vault) IS NULL THEN
        RETURN;
    END IF;
    SELECT b.revision, b.key_version, b.iv || b.ciphertext || b.auth_tag INTO revision, key_version, body
    FROM vault_blobs b WHERE b.user_id = p_user AND b.vault_id = p_vault AND b.object_id = p_object;
END $$;

DO $$
DECLARE
    v_function regprocedure;
BEGIN
    FOR v_function IN
        SELECT p.oid FROM pg_proc p
        WHERE p.pronamespace = current_schema()::regnamespace AND p.proname LIKE 'hushtag\_%'
          AND p.proname NOT IN ('hushtag_current_user', 'hushtag_touch')
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', v_function);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO hushtag_server', v_function);
    END LOOP;
END $$;
