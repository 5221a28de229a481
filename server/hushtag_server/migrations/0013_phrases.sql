-- depends: 0012_budget
-- Several phrases for one vault: the ring its head vouches for, the rotations of its data key, and that key on its way to
-- each phrase. A tag has one wrapped key per vault, the newest it has wrapped for itself, and a sealed key for every
-- rotation since.

ALTER TABLE vaults ADD COLUMN ring bytea;
ALTER TABLE vaults ADD COLUMN destroyed_at timestamptz;
ALTER TABLE vaults ADD CONSTRAINT vaults_ring_length CHECK (octet_length(ring) = 32);

-- `key_version` is the one the rotation led to; `old_key` the key before it, sealed under it, until all is re-sealed.
CREATE TABLE key_rotations (
    user_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    vault_id uuid NOT NULL,
    key_version integer NOT NULL,
    proof bytea NOT NULL,
    old_key bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT key_rotations_pkey PRIMARY KEY (user_id, id),
    CONSTRAINT key_rotations_vault_version_key UNIQUE (user_id, vault_id, key_version),
    CONSTRAINT key_rotations_key_version_range CHECK (key_version >= 2),
    CONSTRAINT key_rotations_proof_length CHECK (octet_length(proof) = 32),
    CONSTRAINT key_rotations_old_key_length CHECK (octet_length(old_key) = 92)
);

CREATE TABLE sealed_keys (
    user_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    tag_id uuid NOT NULL,
    vault_id uuid NOT NULL,
    key_version integer NOT NULL,
    sealed_key bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT sealed_keys_pkey PRIMARY KEY (user_id, id),
    CONSTRAINT sealed_keys_tag_vault_version_key UNIQUE (user_id, tag_id, vault_id, key_version),
    CONSTRAINT sealed_keys_key_version_range CHECK (key_version >= 2),
    CONSTRAINT sealed_keys_sealed_key_length CHECK (octet_length(sealed_key) = 80)
);

-- A step that distributes the tables by user_id fits here; the references follow.

ALTER TABLE key_rotations ADD CONSTRAINT key_rotations_user_fkey
    FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE;
ALTER TABLE key_rotations ADD CONSTRAINT key_rotations_vault_fkey
    FOREIGN KEY (user_id, vault_id) REFERENCES vaults (user_id, id) ON DELETE CASCADE;
ALTER TABLE sealed_keys ADD CONSTRAINT sealed_keys_user_fkey
    FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE;
ALTER TABLE sealed_keys ADD CONSTRAINT sealed_keys_tag_fkey
    FOREIGN KEY (user_id, tag_id) REFERENCES secret_tags (user_id, id) ON DELETE CASCADE;
ALTER TABLE sealed_keys ADD CONSTRAINT sealed_keys_rotation_fkey
    FOREIGN KEY (user_id, vault_id, key_version) REFERENCES key_rotations (user_id, vault_id, key_version)
    ON DELETE CASCADE;

CREATE INDEX sealed_keys_rotation_idx ON sealed_keys (user_id, vault_id, key_version);

CREATE TRIGGER key_rotations_touch BEFORE UPDATE ON key_rotations FOR EACH ROW EXECUTE FUNCTION hushtag_touch();
CREATE TRIGGER sealed_keys_touch BEFORE UPDATE ON sealed_keys FOR EACH ROW EXECUTE FUNCTION hushtag_touch();

ALTER TABLE key_rotations ENABLE ROW LEVEL SECURITY;
ALTER TABLE key_rotations FORCE ROW LEVEL SECURITY;
ALTER TABLE sealed_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE sealed_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY key_rotations_own ON key_rotations
    USING (user_id = hushtag_current_user()) WITH CHECK (user_id = hushtag_current_user());
CREATE POLICY sealed_keys_own ON sealed_keys
    USING (user_id = hushtag_current_user()) WITH CHECK (user_id = hushtag_current_user());

GRANT SELECT, INSERT, UPDATE, DELETE ON key_rotations TO hushtag_server;
GRANT SELECT, INSERT, DELETE ON sealed_keys TO hushtag_server;

-- As in 0012, with the ring, and in `steps` sealed key(80) || proof(32) of every rotation since the wrapped key.
DROP FUNCTION hushtag_open_tag;
CREATE FUNCTION hushtag_open_tag(
        p_user uuid, p_token_hash bytea, p_account_idle interval, p_touch interval,
        p_step_id text, p_session_id text, p_phrase_hash bytea, p_key uuid,
        p_lifetime interval, p_capacity double precision, p_rate double precision,
        p_guesses integer)
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
        FROM wrapped_keys w JOIN vaults v ON v.user_id = w.user_id AND v.id = w.vault_id
        WHERE w.user_id = p_user AND w.tag_id = v_tag.id
        ORDER BY w.vault_id, w.key_version DESC LIMIT 1000;
END $$;

-- As in 0011, with the rings in which the tag has its new public key: each vault has one before and after, or neither.
-- What was sealed to the old public key would open nothing: while a data key waits for the tag, its wrapped key is of an
-- older version than the vault's, and so refused.
DROP FUNCTION hushtag_move_tag;
CREATE FUNCTION hushtag_move_tag(
        p_user uuid, p_session_id text, p_idle interval, p_touch interval, p_from uuid, p_to uuid, p_old_hash bytea,
        p_phrase_hash bytea, p_salt bytea, p_verifier bytea, p_envelope bytea, p_seal bytea, p_label bytea,
        p_public_key bytea, p_vaults uuid[], p_keys uuid[], p_wrapped bytea[], p_versions integer[],
        p_generations bigint[], p_heads bytea[], p_rings bytea[])
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
    FROM unnest(p_vaults, p_keys, p_versions, p_generations, p_rings) m (vault, key, version, generation, ring)
    JOIN wrapped_keys w ON w.user_id = p_user AND w.tag_id = v_tag AND w.id = m.key AND w.vault_id = m.vault
        AND w.key_version = m.version
    JOIN vaults v ON v.user_id = p_user AND v.id = m.vault AND v.generation = m.generation - 1
        AND v.destroyed_at IS NULL AND v.key_version = m.version AND (v.ring IS NULL) = (m.ring IS NULL);
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
    UPDATE vaults v SET generation = m.generation, head = m.head, ring = m.ring
    FROM unnest(p_vaults, p_generations, p_heads, p_rings) m (vault, generation, head, ring)
    WHERE v.user_id = p_user AND v.id = m.vault;
    RETURN 'moved';
END $$;

-- As in 0003, with the ring.
DROP FUNCTION hushtag_delete_object;
CREATE FUNCTION hushtag_delete_object(
        p_user uuid, p_session_id text, p_idle interval, p_touch interval, p_vault uuid, p_object uuid,
        p_revision bigint, p_generation bigint, p_head bytea, OUT outcome text, OUT key_version integer,
        OUT ring bytea)
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
    ring := v_vault.ring;
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

-- A further tag of a vault, at the end of the registration `p_registration` that the account session of the vault
-- session began. Returns NULL when it is there; otherwise why not. The caller holds the vault's lock. The key set is the
-- first that the registration was evaluated under, if it is one of `p_keys`, those in use; under the others the phrase
-- must not be enrolled (`p_earlier`: its phrase hashes there, as in `hushtag_check_registration`).
CREATE FUNCTION hushtag_join_tag(
        p_user uuid, p_session_id text, p_vault uuid, p_key_version integer, p_registration text, p_keys uuid[],
        p_earlier bytea, p_tag uuid, p_phrase_hash bytea, p_salt bytea, p_verifier bytea, p_envelope bytea, p_seal bytea,
        p_suite text, p_tag_name text, p_label bytea, p_public_key bytea, p_wrapped_key_id uuid, p_wrapped_key bytea)
    RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_sets bytea;
    v_key uuid;
BEGIN
    DELETE FROM opaque_sessions o
    WHERE o.user_id = p_user AND o.session_id = p_registration AND o.session_state = 'registration_started'
      AND o.expires_at > now() AND o.user_session_id = (
          SELECT i.user_session_id FROM opaque_sessions i WHERE i.user_id = p_user AND i.session_id = p_session_id)
    RETURNING o.session_data INTO v_sets;
    IF v_sets IS NULL OR octet_length(v_sets) <> 16 + octet_length(p_earlier) THEN
        RETURN 'ceremony_failed';
    END IF;
    v_key := encode(substring(v_sets FROM 1 FOR 16), 'hex')::uuid;
    IF v_key <> ALL (p_keys) THEN
        RETURN 'ceremony_failed';
    END IF;
    IF EXISTS (SELECT FROM secret_tags t WHERE t.user_id = p_user AND t.phrase_hash = ANY (ARRAY(
            SELECT substring(p_earlier FROM 16 * i + 1 FOR 16)
            FROM generate_series(0, octet_length(p_earlier) / 16 - 1) i))) THEN
        RETURN 'already_exists';
    END IF;
    BEGIN
        INSERT INTO secret_tags (user_id, id, phrase_hash, salt, verifier_kv, opaque_envelope, suite, tag_name,
            sealed_label, public_key, server_key_id)
        VALUES (p_user, p_tag, p_phrase_hash, p_salt, p_verifier, p_envelope, p_suite, p_tag_name,
            p_label, p_public_key, v_key);
        INSERT INTO tag_seals (user_id, tag_id, seal) VALUES (p_user, p_tag, p_seal);
        INSERT INTO wrapped_keys (user_id, id, tag_id, vault_id, wrapped_key, key_version)
        VALUES (p_user, p_wrapped_key_id, p_tag, p_vault, p_wrapped_key, p_key_version);
    EXCEPTION WHEN unique_violation THEN
        RETURN 'already_exists';
    END;
    RETURN NULL;
END $$;

-- The key with which an open session's tag opens a vault, asked for under the vault's lock: none any more if the session
-- ended, or its tag was replaced, while the call waited for the lock. No lock keeps the session from ending after that: it
-- would be taken before the vault's, and whoever destroys or rotates a vault ends its sessions while they hold the vault.
CREATE FUNCTION hushtag_held_key(p_user uuid, p_session_id text, p_tag uuid, p_vault uuid) RETURNS uuid
    LANGUAGE sql VOLATILE AS $$
    SELECT w.id FROM opaque_sessions o JOIN wrapped_keys w ON w.user_id = o.user_id AND w.tag_id = o.tag_id
    WHERE o.user_id = p_user AND o.session_id = p_session_id AND o.tag_id = p_tag AND w.vault_id = p_vault
    ORDER BY w.key_version DESC LIMIT 1
$$;

-- Why there is none.
CREATE FUNCTION hushtag_not_held(p_user uuid, p_session_id text) RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT CASE WHEN EXISTS (SELECT FROM opaque_sessions o WHERE o.user_id = p_user AND o.session_id = p_session_id)
        THEN 'not_found' ELSE 'unauthenticated' END
$$;

-- The vault under its lock, if the session is open and its tag opens it; `outcome` says otherwise.
CREATE FUNCTION hushtag_hold_vault(
        p_user uuid, p_session_id text, p_idle interval, p_touch interval, p_vault uuid,
        OUT outcome text, OUT tag_id uuid, OUT generation bigint, OUT key_version integer)
    LANGUAGE plpgsql AS $$
BEGIN
    tag_id := hushtag_vault_session(p_user, p_session_id, p_idle, p_touch);
    IF tag_id IS NULL THEN
        outcome := 'unauthenticated';
        RETURN;
    END IF;
    SELECT v.generation, v.key_version INTO generation, key_version
    FROM vaults v WHERE v.user_id = p_user AND v.id = p_vault AND v.destroyed_at IS NULL FOR NO KEY UPDATE;
    IF generation IS NULL OR hushtag_held_key(p_user, p_session_id, tag_id, p_vault) IS NULL THEN
        outcome := hushtag_not_held(p_user, p_session_id);
    END IF;
END $$;

-- One more phrase, with the head and ring that count it. A generation that is taken leaves the registration as it is.
CREATE FUNCTION hushtag_add_tag(
        p_user uuid, p_session_id text, p_idle interval, p_touch interval, p_vault uuid,
        p_generation bigint, p_head bytea, p_ring bytea, p_most integer,
        p_key_version integer, p_registration text, p_keys uuid[], p_earlier bytea, p_tag uuid, p_phrase_hash bytea,
        p_salt bytea, p_verifier bytea, p_envelope bytea, p_seal bytea, p_suite text, p_tag_name text, p_label bytea, p_public_key bytea,
        p_wrapped_key_id uuid, p_wrapped_key bytea)
    RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_held record;
    v_outcome text;
BEGIN
    SELECT * INTO v_held FROM hushtag_hold_vault(p_user, p_session_id, p_idle, p_touch, p_vault);
    IF v_held.outcome IS NOT NULL THEN
        RETURN v_held.outcome;
    END IF;
    IF v_held.generation <> p_generation - 1 OR v_held.key_version <> p_key_version THEN
        RETURN 'generation_conflict';
    END IF;
    IF (SELECT count(DISTINCT w.tag_id) FROM wrapped_keys w WHERE w.user_id = p_user AND w.vault_id = p_vault) >= p_most
    THEN
        RETURN 'limit_reached';
    END IF;
    v_outcome := hushtag_join_tag(p_user, p_session_id, p_vault, p_key_version, p_registration, p_keys, p_earlier,
        p_tag, p_phrase_hash, p_salt, p_verifier, p_envelope, p_seal, p_suite, p_tag_name, p_label, p_public_key,
        p_wrapped_key_id, p_wrapped_key);
    IF v_outcome IS NOT NULL THEN
        RETURN v_outcome;
    END IF;
    UPDATE vaults v SET generation = p_generation, head = p_head, ring = p_ring
    WHERE v.user_id = p_user AND v.id = p_vault;
    RETURN 'added';
END $$;

-- A phrase is revoked and the data key replaced, in one transaction. `p_members` is tag id(16) || sealed key(80) ||
-- sealed label(316) of every tag that stays; with `p_tag`, another one takes the revoked one's place.
CREATE FUNCTION hushtag_rotate_vault(
        p_user uuid, p_session_id text, p_idle interval, p_touch interval, p_vault uuid,
        p_generation bigint, p_head bytea, p_ring bytea, p_revoked uuid, p_proof bytea, p_old_key bytea,
        p_members bytea, p_most_steps integer,
        p_key_version integer, p_registration text, p_keys uuid[], p_earlier bytea, p_tag uuid, p_phrase_hash bytea,
        p_salt bytea, p_verifier bytea, p_envelope bytea, p_seal bytea, p_suite text, p_tag_name text, p_label bytea, p_public_key bytea,
        p_wrapped_key_id uuid, p_wrapped_key bytea)
    RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_held record;
    v_stay uuid[];
    v_oldest integer;
    v_outcome text;
BEGIN
    SELECT * INTO v_held FROM hushtag_hold_vault(p_user, p_session_id, p_idle, p_touch, p_vault);
    IF v_held.outcome IS NOT NULL THEN
        RETURN v_held.outcome;
    END IF;
    IF v_held.generation <> p_generation - 1 OR v_held.key_version <> p_key_version - 1 THEN
        RETURN 'generation_conflict';
    END IF;
    SELECT coalesce(array_agg(w.tag_id ORDER BY w.tag_id), '{}'), min(w.key_version) INTO v_stay, v_oldest
    FROM wrapped_keys w WHERE w.user_id = p_user AND w.vault_id = p_vault AND w.tag_id <> p_revoked;
    -- Whoever stays must be given the new key, or would be locked out for good; somebody has to stay.
    IF hushtag_key_of(p_user, p_revoked, p_vault) IS NULL OR (v_stay = '{}' AND p_tag IS NULL)
            OR v_stay <> ARRAY(
                SELECT encode(substring(p_members FROM 412 * i + 1 FOR 16), 'hex')::uuid
                FROM generate_series(0, octet_length(p_members) / 412 - 1) i ORDER BY 1) THEN
        RETURN 'malformed';
    END IF;
    IF p_key_version - v_oldest > p_most_steps OR (
            SELECT count(*) >= p_most_steps FROM key_rotations r
            WHERE r.user_id = p_user AND r.vault_id = p_vault AND r.old_key IS NOT NULL) THEN
        RETURN 'limit_reached';
    END IF;
    -- Before the guess budget, which a tag that is stored changes: the end of an unlock takes the two in this order.
    PERFORM FROM secret_tags t WHERE t.user_id = p_user AND t.id = p_revoked FOR UPDATE;
    IF p_tag IS NOT NULL THEN
        v_outcome := hushtag_join_tag(p_user, p_session_id, p_vault, p_key_version, p_registration, p_keys, p_earlier,
            p_tag, p_phrase_hash, p_salt, p_verifier, p_envelope, p_seal, p_suite, p_tag_name, p_label, p_public_key,
            p_wrapped_key_id, p_wrapped_key);
        IF v_outcome IS NOT NULL THEN
            RETURN v_outcome;
        END IF;
    END IF;
    INSERT INTO key_rotations (user_id, vault_id, key_version, proof, old_key)
    VALUES (p_user, p_vault, p_key_version, p_proof, p_old_key);
    INSERT INTO sealed_keys (user_id, tag_id, vault_id, key_version, sealed_key)
    SELECT p_user, encode(substring(p_members FROM 412 * i + 1 FOR 16), 'hex')::uuid, p_vault, p_key_version,
        substring(p_members FROM 412 * i + 17 FOR 80)
    FROM generate_series(0, octet_length(p_members) / 412 - 1) i;
    UPDATE secret_tags t SET sealed_label = m.label
    FROM (SELECT encode(substring(p_members FROM 412 * i + 1 FOR 16), 'hex')::uuid AS tag_id,
              substring(p_members FROM 412 * i + 97 FOR 316) AS label
          FROM generate_series(0, octet_length(p_members) / 412 - 1) i) m
    WHERE t.user_id = p_user AND t.id = m.tag_id;
    -- Objects are nobody's: those that were written with the revoked phrase go on with one that stays.
    UPDATE vault_blobs b SET wrapped_key_id = hushtag_key_of(p_user, coalesce(p_tag, v_stay[1]), p_vault)
    WHERE b.user_id = p_user AND b.vault_id = p_vault AND b.wrapped_key_id IN (
        SELECT w.id FROM wrapped_keys w
        WHERE w.user_id = p_user AND w.tag_id = p_revoked AND w.vault_id = p_vault);
    IF p_tag IS NOT NULL AND v_held.tag_id = p_revoked THEN
        UPDATE opaque_sessions o SET tag_id = p_tag WHERE o.user_id = p_user AND o.session_id = p_session_id;
    END IF;
    DELETE FROM sealed_keys s WHERE s.user_id = p_user AND s.tag_id = p_revoked AND s.vault_id = p_vault;
    DELETE FROM wrapped_keys w WHERE w.user_id = p_user AND w.tag_id = p_revoked AND w.vault_id = p_vault;
    -- Its other sessions go with it, and its seal: no backup opens it any more.
    DELETE FROM secret_tags t WHERE t.user_id = p_user AND t.id = p_revoked
        AND NOT EXISTS (SELECT FROM wrapped_keys w WHERE w.user_id = p_user AND w.tag_id = p_revoked);
    UPDATE vaults v SET generation = p_generation, head = p_head, ring = p_ring, key_version = p_key_version
    WHERE v.user_id = p_user AND v.id = p_vault;
    RETURN 'rotated';
END $$;

-- Proofs that no tag still needs.
CREATE FUNCTION hushtag_forget_rotations(p_user uuid, p_vault uuid) RETURNS void LANGUAGE sql AS $$
    DELETE FROM key_rotations r
    WHERE r.user_id = p_user AND r.vault_id = p_vault AND r.old_key IS NULL AND r.key_version <= (
        SELECT min(w.key_version) FROM wrapped_keys w WHERE w.user_id = p_user AND w.vault_id = p_vault)
$$;

-- The tag has wrapped a newer data key for itself: what was sealed to it until then has served. May come twice.
CREATE FUNCTION hushtag_rewrap_key(
        p_user uuid, p_session_id text, p_idle interval, p_touch interval, p_vault uuid, p_wrapped_key_id uuid,
        p_key_version integer, p_wrapped_key bytea)
    RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_held record;
BEGIN
    SELECT * INTO v_held FROM hushtag_hold_vault(p_user, p_session_id, p_idle, p_touch, p_vault);
    IF v_held.outcome IS NOT NULL THEN
        RETURN v_held.outcome;
    END IF;
    IF hushtag_key_of(p_user, v_held.tag_id, p_vault) <> p_wrapped_key_id THEN
        RETURN 'not_found';
    END IF;
    IF v_held.key_version <> p_key_version THEN
        RETURN 'generation_conflict';
    END IF;
    UPDATE wrapped_keys w SET wrapped_key = p_wrapped_key, key_version = p_key_version
    WHERE w.user_id = p_user AND w.id = p_wrapped_key_id;
    DELETE FROM sealed_keys s WHERE s.user_id = p_user AND s.tag_id = v_held.tag_id AND s.vault_id = p_vault;
    PERFORM hushtag_forget_rotations(p_user, p_vault);
    RETURN 'rewrapped';
END $$;

-- The end of a re-seal: no object needs an old data key any more, so none is kept.
CREATE FUNCTION hushtag_forget_old_keys(
        p_user uuid, p_session_id text, p_idle interval, p_touch interval, p_vault uuid)
    RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_held record;
BEGIN
    SELECT * INTO v_held FROM hushtag_hold_vault(p_user, p_session_id, p_idle, p_touch, p_vault);
    IF v_held.outcome IS NOT NULL THEN
        RETURN v_held.outcome;
    END IF;
    IF EXISTS (SELECT FROM vault_blobs b WHERE b.user_id = p_user AND b.vault_id = p_vault
               AND b.key_version < v_held.key_version) THEN
        RETURN 'reseal_unfinished';
    END IF;
    UPDATE key_rotations r SET old_key = NULL
    WHERE r.user_id = p_user AND r.vault_id = p_vault AND r.old_key IS NOT NULL;
    PERFORM hushtag_forget_rotations(p_user, p_vault);
    RETURN 'forgotten';
END $$;

-- The end of a vault, first half: from here on nothing opens it. The phrase is enrolled no more: its hash is random, its
-- record zeros. What is left are rows without a key, for `hushtag_remove_destroyed`.
CREATE FUNCTION hushtag_destroy_vault(
        p_user uuid, p_session_id text, p_idle interval, p_touch interval, p_vault uuid, p_generation bigint)
    RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_held record;
BEGIN
    SELECT * INTO v_held FROM hushtag_hold_vault(p_user, p_session_id, p_idle, p_touch, p_vault);
    IF v_held.outcome IS NOT NULL THEN
        RETURN v_held.outcome;
    END IF;
    IF EXISTS (SELECT FROM wrapped_keys w
               WHERE w.user_id = p_user AND w.vault_id = p_vault AND w.tag_id <> v_held.tag_id) THEN
        RETURN 'phrases_remain';
    END IF;
    IF v_held.generation <> p_generation THEN
        RETURN 'generation_conflict';
    END IF;
    UPDATE wrapped_keys w SET wrapped_key = decode(repeat('00', 40), 'hex')
    WHERE w.user_id = p_user AND w.vault_id = p_vault;
    DELETE FROM key_rotations r WHERE r.user_id = p_user AND r.vault_id = p_vault;
    UPDATE vaults v SET head = decode(repeat('00', 112), 'hex'), ring = NULL, destroyed_at = now()
    WHERE v.user_id = p_user AND v.id = p_vault;
    IF NOT EXISTS (SELECT FROM wrapped_keys w
                   WHERE w.user_id = p_user AND w.tag_id = v_held.tag_id AND w.vault_id <> p_vault) THEN
        UPDATE secret_tags t SET phrase_hash = uuid_send(gen_random_uuid()), verifier_kv = decode(repeat('00', 32), 'hex'),
            opaque_envelope = decode(repeat('00', 188), 'hex')
        WHERE t.user_id = p_user AND t.id = v_held.tag_id;
        PERFORM hushtag_shred_tag(p_user, v_held.tag_id);
        DELETE FROM opaque_sessions o WHERE o.user_id = p_user AND o.tag_id = v_held.tag_id;
    END IF;
    RETURN 'destroyed';
END $$;

-- The second half, for one user or, as maintenance does it, one after the other. Returns how many vaults went.
CREATE FUNCTION hushtag_remove_destroyed(p_user uuid) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_vaults uuid[];
    v_tags uuid[];
BEGIN
    PERFORM set_config('app.user_id', p_user::text, true);
    v_vaults := ARRAY(SELECT v.id FROM vaults v WHERE v.user_id = p_user AND v.destroyed_at IS NOT NULL
                      ORDER BY v.id FOR UPDATE);
    v_tags := ARRAY(SELECT DISTINCT w.tag_id FROM wrapped_keys w WHERE w.user_id = p_user AND w.vault_id = ANY (v_vaults));
    DELETE FROM vault_segments s WHERE s.user_id = p_user AND s.vault_id = ANY (v_vaults);
    DELETE FROM vault_blobs b WHERE b.user_id = p_user AND b.vault_id = ANY (v_vaults);
    DELETE FROM wrapped_keys w WHERE w.user_id = p_user AND w.vault_id = ANY (v_vaults);
    DELETE FROM vaults v WHERE v.user_id = p_user AND v.id = ANY (v_vaults);
    DELETE FROM secret_tags t WHERE t.user_id = p_user AND t.id = ANY (v_tags)
        AND NOT EXISTS (SELECT FROM wrapped_keys w WHERE w.user_id = p_user AND w.tag_id = t.id);
    RETURN cardinality(v_vaults);
END $$;

REVOKE ALL ON FUNCTION hushtag_open_tag, hushtag_move_tag, hushtag_delete_object, hushtag_join_tag, hushtag_held_key,
    hushtag_not_held, hushtag_hold_vault, hushtag_add_tag, hushtag_rotate_vault, hushtag_forget_rotations, hushtag_rewrap_key, hushtag_forget_old_keys, hushtag_destroy_vault,
    hushtag_remove_destroyed FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hushtag_open_tag, hushtag_move_tag, hushtag_delete_object, hushtag_join_tag, hushtag_held_key,
    hushtag_not_held, hushtag_hold_vault, hushtag_add_tag, hushtag_rotate_vault, hushtag_forget_rotations, hushtag_rewrap_key, hushtag_forget_old_keys, hushtag_destroy_vault,
    hushtag_remove_destroyed TO hushtag_server;

DO $$ BEGIN PERFORM hushtag_admit_maintainer(); END $$;
