-- depends: 0010_security_log
-- Seals: each tag's envelope is stored sealed under a random key of its own, and backups leave the table of these keys
-- out. What is deleted here can therefore not be opened from a backup any more.

CREATE TABLE tag_seals (
    user_id uuid NOT NULL,
    tag_id uuid NOT NULL,
    seal bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT tag_seals_pkey PRIMARY KEY (user_id, tag_id),
    CONSTRAINT tag_seals_seal_length CHECK (octet_length(seal) = 32)
);

-- nonce(12) || envelope(160) || tag(16); tags of earlier versions are sealed by `hushtag-server maintain`.
ALTER TABLE secret_tags DROP CONSTRAINT secret_tags_opaque_envelope_length;
ALTER TABLE secret_tags ADD CONSTRAINT secret_tags_opaque_envelope_length
    CHECK (octet_length(opaque_envelope) IN (160, 188));

-- A step that distributes the tables by user_id fits here; the references follow.

ALTER TABLE tag_seals ADD CONSTRAINT tag_seals_tag_fkey
    FOREIGN KEY (user_id, tag_id) REFERENCES secret_tags (user_id, id) ON DELETE CASCADE;

CREATE TRIGGER tag_seals_touch BEFORE UPDATE ON tag_seals FOR EACH ROW EXECUTE FUNCTION hushtag_touch();

ALTER TABLE tag_seals ENABLE ROW LEVEL SECURITY;
ALTER TABLE tag_seals FORCE ROW LEVEL SECURITY;
CREATE POLICY tag_seals_own ON tag_seals
    USING (user_id = hushtag_current_user()) WITH CHECK (user_id = hushtag_current_user());

-- Destroys what opens a tag; for whatever deletes a tag and goes on (deleting the row does the same by its cascade).
-- Acts within a transaction that names the user already. False: there was none.
CREATE FUNCTION hushtag_shred_tag(p_user uuid, p_tag uuid) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM tag_seals s WHERE s.user_id = p_user AND s.tag_id = p_tag;
    RETURN FOUND;
END $$;

-- An account that gives its credential id up, as a deletion does at once, gives the seals of all its tags up too: a
-- backup still holds the old credential id. Who is storing a tag has its account session (an enrolment) or its
-- registration (a further phrase): they are waited for, and the next statement sees what they stored.
CREATE FUNCTION hushtag_shred_user() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM user_sessions s WHERE s.user_id = NEW.id ORDER BY s.id FOR UPDATE;
    PERFORM FROM opaque_sessions o WHERE o.user_id = NEW.id ORDER BY o.session_id FOR UPDATE;
    DELETE FROM tag_seals s WHERE s.user_id = NEW.id;
    RETURN NULL;
END $$;

CREATE TRIGGER users_shred AFTER UPDATE OF opaque_credential_id ON users FOR EACH ROW
    WHEN (OLD.opaque_credential_id IS DISTINCT FROM NEW.opaque_credential_id) EXECUTE FUNCTION hushtag_shred_user();

-- Keeps the seal of a tag that was stored in this very statement, if it was; passes the outcome on.
CREATE FUNCTION hushtag_keep_seal(p_outcome text, p_user uuid, p_tag uuid, p_seal bytea) RETURNS text
    LANGUAGE plpgsql AS $$
BEGIN
    IF p_outcome = 'enrolled' THEN
        INSERT INTO tag_seals (user_id, tag_id, seal) VALUES (p_user, p_tag, p_seal);
    END IF;
    RETURN p_outcome;
END $$;

-- Gives a tag of an earlier version its seal; false if it has changed meanwhile. For maintenance: acts as that user.
CREATE FUNCTION hushtag_seal_tag(p_user uuid, p_tag uuid, p_plain bytea, p_sealed bytea, p_seal bytea) RETURNS boolean
    LANGUAGE plpgsql AS $$
DECLARE
    v_found boolean;
BEGIN
    PERFORM set_config('app.user_id', p_user::text, true);
    UPDATE secret_tags t SET opaque_envelope = p_sealed
    WHERE t.user_id = p_user AND t.id = p_tag AND t.opaque_envelope = p_plain;
    v_found := FOUND;
    IF v_found THEN
        INSERT INTO tag_seals (user_id, tag_id, seal) VALUES (p_user, p_tag, p_seal);
    END IF;
    PERFORM set_config('app.user_id', '', true);
    RETURN v_found;
END $$;

-- Takes the copies of seals of those tags that are here and have none: user id(16) || tag id(16) || seal(32), repeated.
-- Returns how many. For a restoration: acts as each user in turn.
CREATE FUNCTION hushtag_load_seals(p_seals bytea) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_user uuid;
    v_tag uuid;
    v_one integer;
    v_loaded integer := 0;
BEGIN
    FOR i IN 0 .. octet_length(p_seals) / 64 - 1 LOOP
        v_user := encode(substring(p_seals FROM 64 * i + 1 FOR 16), 'hex')::uuid;
        v_tag := encode(substring(p_seals FROM 64 * i + 17 FOR 16), 'hex')::uuid;
        PERFORM set_config('app.user_id', v_user::text, true);
        INSERT INTO tag_seals (user_id, tag_id, seal)
        SELECT t.user_id, t.id, substring(p_seals FROM 64 * i + 33 FOR 32) FROM secret_tags t
        WHERE t.user_id = v_user AND t.id = v_tag AND octet_length(t.opaque_envelope) = 188
        ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS v_one = ROW_COUNT;
        v_loaded := v_loaded + v_one;
    END LOOP;
    PERFORM set_config('app.user_id', '', true);
    RETURN v_loaded;
END $$;

-- As in 0003, but `records` names the key set of each and brings the seal along, in entries of one width:
-- key set(16) || phrase hash(16) || seal(32) || verifier(32) || envelope(188). A tag of an earlier version has 32 zeros
-- for a seal and 28 behind its envelope; one whose seal is gone is none.
DROP FUNCTION hushtag_advance_ceremony;
CREATE FUNCTION hushtag_advance_ceremony(
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

-- Before an enrolment is stored: the key sets its phrase was evaluated under (16 bytes each, the first is the one it is
-- enrolled under), and whether the phrase is enrolled already under another of them, by its phrase hashes(16, repeated)
-- there. If it is, the step is used up. No key sets: no such step, or not a phrase hash for each of the others.
CREATE FUNCTION hushtag_check_registration(
        p_user uuid, p_token_hash bytea, p_idle interval, p_touch interval, p_session_id text, p_earlier bytea,
        OUT account_session_id uuid, OUT key_ids bytea, OUT enrolled boolean)
    LANGUAGE plpgsql AS $$
BEGIN
    account_session_id := hushtag_account_session(p_user, p_token_hash, p_idle, p_touch);
    IF account_session_id IS NULL THEN
        RETURN;
    END IF;
    SELECT o.session_data INTO key_ids FROM opaque_sessions o
    WHERE o.user_id = p_user AND o.session_id = p_session_id AND o.session_state = 'registration_started'
      AND o.user_session_id IS NOT DISTINCT FROM account_session_id AND o.expires_at > now()
      AND octet_length(o.session_data) = 16 + octet_length(p_earlier);
    enrolled := key_ids IS NOT NULL AND EXISTS (
        SELECT FROM secret_tags t WHERE t.user_id = p_user AND t.phrase_hash = ANY (ARRAY(
            SELECT substring(p_earlier FROM 16 * i + 1 FOR 16)
            FROM generate_series(0, octet_length(p_earlier) / 16 - 1) i)));
    IF enrolled THEN
        DELETE FROM opaque_sessions o WHERE o.user_id = p_user AND o.session_id = p_session_id;
    END IF;
END $$;

-- The seal of the tag that a vault session opened. No tag: not authenticated.
CREATE FUNCTION hushtag_seal_of(
        p_user uuid, p_session_id text, p_idle interval, p_touch interval, OUT tag_id uuid, OUT seal bytea)
    LANGUAGE plpgsql AS $$
DECLARE
    v_tag uuid := hushtag_vault_session(p_user, p_session_id, p_idle, p_touch);
BEGIN
    tag_id := v_tag;
    SELECT s.seal INTO seal FROM tag_seals s WHERE s.user_id = p_user AND s.tag_id = v_tag;
END $$;

-- Moves the tag of a vault session from one key set to another: its record, its label and every data key it has, all
-- or nothing. Each vault goes on by one generation, so whoever read the tag's old public key cannot write by it.
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

-- How far a change of keys is: the tags under each key set, as maintenance last counted them, and when a set was retired.
ALTER TABLE server_keys ADD COLUMN tag_count bigint;
ALTER TABLE server_keys ADD COLUMN counted_at timestamptz;
ALTER TABLE server_keys ADD COLUMN retired_at timestamptz;
ALTER TABLE server_keys ADD CONSTRAINT server_keys_tag_count_range CHECK (tag_count >= 0);

GRANT SELECT, INSERT, DELETE ON tag_seals TO hushtag_server;
REVOKE ALL ON FUNCTION hushtag_shred_tag, hushtag_shred_user, hushtag_keep_seal, hushtag_seal_tag, hushtag_load_seals,
    hushtag_advance_ceremony, hushtag_check_registration, hushtag_seal_of, hushtag_move_tag FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hushtag_shred_tag, hushtag_shred_user, hushtag_keep_seal, hushtag_advance_ceremony,
    hushtag_check_registration, hushtag_seal_of, hushtag_move_tag TO hushtag_server;
DO $$ BEGIN PERFORM hushtag_admit_maintainer(); END $$;
