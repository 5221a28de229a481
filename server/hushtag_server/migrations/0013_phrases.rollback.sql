DROP FUNCTION hushtag_remove_destroyed;
DROP FUNCTION hushtag_destroy_vault;
DROP FUNCTION hushtag_forget_old_keys;
DROP FUNCTION hushtag_rewrap_key;
DROP FUNCTION hushtag_forget_rotations;
DROP FUNCTION hushtag_rotate_vault;
DROP FUNCTION hushtag_add_tag;
DROP FUNCTION hushtag_hold_vault;
DROP FUNCTION hushtag_not_held;
DROP FUNCTION hushtag_held_key;
DROP FUNCTION hushtag_join_tag;
DROP FUNCTION hushtag_delete_object;
DROP FUNCTION hushtag_open_tag;
DROP FUNCTION hushtag_move_tag;
DROP TABLE sealed_keys;
DROP TABLE key_rotations;
ALTER TABLE vaults DROP COLUMN destroyed_at;
ALTER TABLE vaults DROP COLUMN ring;

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

CREATE FUNCTION hushtag_move_tag(
        p_user uuid, p_session_id text, p_idle interval, p_touch interval, p_from uuid, p_to uuid, p_old_hash bytea,
        p_phrase_hash bytea, p_salt bytea, p_verifier bytea, p_envelope bytea, p_seal bytea, p_label bytea,
        p_public_key bytea, p_vaults uuid[], p_keys uuid[], p_wrapped bytea[], p_versions integer[],
        p_generations bigint[], p_heads bytea[])
    RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_tag uuid := hushtag_vault_session(p_user, p_session_id, p_idle, p_touch);
    v_found bigint;
BEGIN
    IF v_tag IS NULL THEN
        RETURN 'unauthenticated';
    END IF;
    PERFORM FROM vaults v WHERE v.user_id = p_user AND v.id = ANY (p_vaults) ORDER BY v.id FOR NO KEY UPDATE;
    -- Exactly the keys it has: one that was left out would open nothing afterwards.
    SELECT count(*) INTO v_found
    FROM unnest(p_vaults, p_keys, p_versions, p_generations) m (vault, key, version, generation)
    JOIN wrapped_keys w ON w.user_id = p_user AND w.tag_id = v_tag AND w.id = m.key AND w.vault_id = m.vault
        AND w.key_version = m.version
    JOIN vaults v ON v.user_id = p_user AND v.id = m.vault AND v.generation = m.generation - 1
        AND v.key_version = m.version;
    IF v_found <> cardinality(p_keys)
            OR v_found <> (SELECT count(*) FROM wrapped_keys w WHERE w.user_id = p_user AND w.tag_id = v_tag) THEN
        RETURN 'generation_conflict';
    END IF;
    BEGIN
        UPDATE secret_tags t
        SET phrase_hash = p_phrase_hash, salt = p_salt, verifier_kv = p_verifier, opaque_envelope = p_envelope,
            sealed_label = p_label, public_key = p_public_key, server_key_id = p_to
        WHERE t.user_id = p_user AND t.id = v_tag AND t.server_key_id = p_from AND t.phrase_hash = p_old_hash
          -- The seal stays the tag's own; only a tag of an earlier version has none yet. A shredded one has none more.
          AND (octet_length(t.opaque_envelope) = 160 OR EXISTS (
            SELECT FROM tag_seals s WHERE s.user_id = p_user AND s.tag_id = v_tag AND s.seal = p_seal));
        IF NOT FOUND THEN
            RETURN 'ceremony_failed';
        END IF;
    EXCEPTION WHEN unique_violation THEN
        RETURN 'already_exists';
    END;
    INSERT INTO tag_seals (user_id, tag_id, seal) VALUES (p_user, v_tag, p_seal) ON CONFLICT DO NOTHING;
    UPDATE wrapped_keys w SET wrapped_key = m.wrapped FROM unnest(p_keys, p_wrapped) m (key, wrapped)
    WHERE w.user_id = p_user AND w.id = m.key;
    UPDATE vaults v SET generation = m.generation, head = m.head
    FROM unnest(p_vaults, p_generations, p_heads) m (vault, generation, head)
    WHERE v.user_id = p_user AND v.id = m.vault;
    RETURN 'moved';
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

REVOKE ALL ON FUNCTION hushtag_open_tag, hushtag_move_tag, hushtag_delete_object FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hushtag_open_tag, hushtag_move_tag, hushtag_delete_object TO hushtag_server;
