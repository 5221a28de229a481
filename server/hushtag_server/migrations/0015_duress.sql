-- depends: 0014_known_addresses
-- Duress: a phrase that opens its vault may lock or shred other tags of its user. Every tag bears four orders, each a
-- ticket of 16 bytes: drawn at random, or one of those that the release of some phrase expands to. Only whoever has the
-- release, as the server has it in the moment of a finish, can tell which. SPEC.md, section 24, argues it.

ALTER TABLE secret_tags ADD COLUMN release_check bytea;
ALTER TABLE secret_tags ADD CONSTRAINT secret_tags_release_check_length CHECK (octet_length(release_check) = 32);

-- Both times are those of the tag: when a ticket was put into its place must not be seen here.
CREATE TABLE tag_orders (
    user_id uuid NOT NULL,
    tag_id uuid NOT NULL,
    place smallint NOT NULL,
    ticket bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT tag_orders_pkey PRIMARY KEY (user_id, tag_id, place),
    CONSTRAINT tag_orders_place_range CHECK (place >= 1 AND place <= 4),
    CONSTRAINT tag_orders_ticket_length CHECK (octet_length(ticket) = 16)
);

-- Tags that are locked: the phrase hash by which they are found again after that time, which is the end of a day. The other
-- times are those of the tag, so that none tells at which unlock it was.
CREATE TABLE locked_tags (
    user_id uuid NOT NULL,
    tag_id uuid NOT NULL,
    phrase_hash bytea NOT NULL,
    locked_until timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT locked_tags_pkey PRIMARY KEY (user_id, tag_id),
    CONSTRAINT locked_tags_phrase_hash_length CHECK (octet_length(phrase_hash) = 16)
);

-- Bytes that nobody knows, uniform as a hash is: the fixed bits of UUIDs would tell them from tickets and keys.
CREATE FUNCTION hushtag_noise(p_bytes integer) RETURNS bytea LANGUAGE sql VOLATILE AS $$
    SELECT substring(string_agg(sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), ''::bytea)
        FROM 1 FOR p_bytes)
    FROM generate_series(1, (p_bytes + 31) / 32)
$$;

-- Tags of earlier versions bear orders too. The owner sees rows only while no policy is forced on it.
ALTER TABLE secret_tags NO FORCE ROW LEVEL SECURITY;
INSERT INTO tag_orders (user_id, tag_id, place, ticket, created_at, updated_at)
SELECT t.user_id, t.id, p.place, hushtag_noise(16), t.created_at, t.created_at
FROM secret_tags t CROSS JOIN generate_series(1, 4) p (place);

-- A step that distributes the tables by user_id fits here; the references follow, which are checked as the owner too.

-- Not unique: whether a ticket stands elsewhere already would tell of what else there is, and of whose it is.
CREATE INDEX tag_orders_ticket_idx ON tag_orders (user_id, ticket);
ALTER TABLE tag_orders ADD CONSTRAINT tag_orders_tag_fkey
    FOREIGN KEY (user_id, tag_id) REFERENCES secret_tags (user_id, id) ON DELETE CASCADE;
ALTER TABLE locked_tags ADD CONSTRAINT locked_tags_tag_fkey
    FOREIGN KEY (user_id, tag_id) REFERENCES secret_tags (user_id, id) ON DELETE CASCADE;
ALTER TABLE secret_tags FORCE ROW LEVEL SECURITY;

CREATE TRIGGER tag_orders_touch BEFORE UPDATE ON tag_orders FOR EACH ROW EXECUTE FUNCTION hushtag_touch();
CREATE TRIGGER locked_tags_touch BEFORE UPDATE ON locked_tags FOR EACH ROW EXECUTE FUNCTION hushtag_touch();

ALTER TABLE tag_orders ENABLE ROW LEVEL SECURITY;
ALTER TABLE tag_orders FORCE ROW LEVEL SECURITY;
ALTER TABLE locked_tags ENABLE ROW LEVEL SECURITY;
ALTER TABLE locked_tags FORCE ROW LEVEL SECURITY;
CREATE POLICY tag_orders_own ON tag_orders
    USING (user_id = hushtag_current_user()) WITH CHECK (user_id = hushtag_current_user());
CREATE POLICY locked_tags_own ON locked_tags
    USING (user_id = hushtag_current_user()) WITH CHECK (user_id = hushtag_current_user());

GRANT SELECT, INSERT, UPDATE, DELETE ON tag_orders TO hushtag_server;
GRANT SELECT, INSERT, UPDATE, DELETE ON locked_tags TO hushtag_server;
GRANT UPDATE (seal) ON tag_seals TO hushtag_server;

-- Four orders that nobody knows for each of these tags, in place of what they bear, with the times of the tag. Whoever
-- replaces orders has the tag's row, for the phrase that put them may move in another vault at this moment.
CREATE FUNCTION hushtag_draw_orders(p_user uuid, p_tags uuid[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM secret_tags t WHERE t.user_id = p_user AND t.id = ANY (p_tags) ORDER BY t.id FOR NO KEY UPDATE;
    DELETE FROM tag_orders o WHERE o.user_id = p_user AND o.tag_id = ANY (p_tags);
    INSERT INTO tag_orders (user_id, tag_id, place, ticket, created_at, updated_at)
    SELECT p_user, t.id, p.place, hushtag_noise(16), t.created_at, t.created_at
    FROM secret_tags t CROSS JOIN generate_series(1, 4) p (place)
    WHERE t.user_id = p_user AND t.id = ANY (p_tags);
END $$;

-- Beside a tag that was stored in this very statement: its check value and four orders that nobody knows. Passes the
-- outcome on.
CREATE FUNCTION hushtag_keep_orders(p_outcome text, p_user uuid, p_tag uuid, p_check bytea) RETURNS text
    LANGUAGE plpgsql AS $$
BEGIN
    IF p_tag IS NOT NULL AND p_outcome IN ('enrolled', 'added', 'rotated') THEN
        UPDATE secret_tags t SET release_check = p_check WHERE t.user_id = p_user AND t.id = p_tag;
        PERFORM hushtag_draw_orders(p_user, ARRAY[p_tag]);
    END IF;
    RETURN p_outcome;
END $$;

-- Beside a rotation in this very statement: nobody knows any more who put the orders of the tags that stay, so the ones
-- that the revoked phrase put end with it, and with them all others.
CREATE FUNCTION hushtag_end_orders(p_outcome text, p_user uuid, p_vault uuid) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    IF p_outcome = 'rotated' THEN
        PERFORM hushtag_draw_orders(p_user, ARRAY(
            SELECT w.tag_id FROM wrapped_keys w WHERE w.user_id = p_user AND w.vault_id = p_vault));
    END IF;
    RETURN p_outcome;
END $$;

-- Beside a tag that moved in this very statement: its release is another one, so its check value and its tickets are.
CREATE FUNCTION hushtag_follow_orders(
        p_outcome text, p_user uuid, p_tag uuid, p_check bytea, p_old bytea[], p_new bytea[])
    RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    IF p_outcome = 'moved' THEN
        UPDATE secret_tags t SET release_check = p_check WHERE t.user_id = p_user AND t.id = p_tag;
        PERFORM FROM secret_tags t WHERE t.user_id = p_user AND t.id = ANY (ARRAY(
            SELECT o.tag_id FROM tag_orders o WHERE o.user_id = p_user AND o.ticket = ANY (p_old)))
        ORDER BY t.id FOR NO KEY UPDATE;
        WITH gone AS (DELETE FROM tag_orders o WHERE o.user_id = p_user AND o.ticket = ANY (p_old) RETURNING o.*)
        INSERT INTO tag_orders (user_id, tag_id, place, ticket, created_at, updated_at)
        SELECT g.user_id, g.tag_id, g.place, p_new[array_position(p_old, g.ticket)], g.created_at, g.updated_at
        FROM gone g;
    END IF;
    RETURN p_outcome;
END $$;

-- What stands in these places of a tag of an open vault is replaced.
CREATE FUNCTION hushtag_put_orders(
        p_user uuid, p_session_id text, p_idle interval, p_touch interval, p_vault uuid, p_tag uuid,
        p_places integer[], p_tickets bytea[])
    RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_held record;
BEGIN
    SELECT * INTO v_held FROM hushtag_hold_vault(p_user, p_session_id, p_idle, p_touch, p_vault);
    IF v_held.outcome IS NOT NULL THEN
        RETURN v_held.outcome;
    END IF;
    IF hushtag_key_of(p_user, p_tag, p_vault) IS NULL THEN
        RETURN 'not_found';
    END IF;
    PERFORM FROM secret_tags t WHERE t.user_id = p_user AND t.id = p_tag FOR NO KEY UPDATE;
    DELETE FROM tag_orders o WHERE o.user_id = p_user AND o.tag_id = p_tag AND o.place = ANY (p_places);
    INSERT INTO tag_orders (user_id, tag_id, place, ticket, created_at, updated_at)
    SELECT p_user, p_tag, n.place, n.ticket, t.created_at, t.created_at
    FROM unnest(p_places, p_tickets) n (place, ticket), secret_tags t
    WHERE t.user_id = p_user AND t.id = p_tag;
    RETURN 'put';
END $$;

-- What the release of the tag that opens has ordered: of the tickets, sixteen each say shred the phrase, shred its vaults,
-- lock the phrase for 1 day, its vaults for 1 day, and both for 7 and for 30. The tag that opens, and what it opens, is spared.
-- Destroyed are seal and envelope, as when a tag is deleted; the rows of whole vaults go with the next maintenance. Locks are
-- taken in the order in which work in a vault takes them: sessions, vaults, and then, as the end of locks does, locks and tags.
-- What is written has no time of its own: a lock ends with a day, and has the times of its tag as orders have.
CREATE FUNCTION hushtag_carry_out(p_user uuid, p_opened uuid, p_tickets bytea[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_spared uuid[] := ARRAY(SELECT w.vault_id FROM wrapped_keys w WHERE w.user_id = p_user AND w.tag_id = p_opened);
    v_near uuid[] := ARRAY(SELECT DISTINCT w.vault_id FROM tag_orders o
        JOIN wrapped_keys w ON w.user_id = o.user_id AND w.tag_id = o.tag_id
        WHERE o.user_id = p_user AND o.ticket = ANY (p_tickets) AND o.tag_id <> p_opened);
    v_reached uuid[] := ARRAY(SELECT DISTINCT w.tag_id FROM wrapped_keys w
        WHERE w.user_id = p_user AND w.vault_id = ANY (v_near) AND w.tag_id <> p_opened);
    v_order record;
    v_vaults uuid[];
    v_tags uuid[];
    v_end timestamptz;
BEGIN
    PERFORM FROM opaque_sessions s WHERE s.user_id = p_user AND s.tag_id = ANY (v_reached) ORDER BY s.session_id FOR UPDATE;
    PERFORM FROM vaults v WHERE v.user_id = p_user AND v.id = ANY (v_near) ORDER BY v.id FOR NO KEY UPDATE;
    PERFORM FROM locked_tags l WHERE l.user_id = p_user AND l.tag_id = ANY (v_reached) ORDER BY l.tag_id FOR UPDATE;
    FOR v_order IN
        SELECT o.tag_id, (array_position(p_tickets, o.ticket) - 1) / 16 AS verdict FROM tag_orders o
        WHERE o.user_id = p_user AND o.ticket = ANY (p_tickets) AND o.tag_id <> p_opened ORDER BY 2, 1
    LOOP
        v_vaults := '{}';
        v_tags := ARRAY[v_order.tag_id];
        IF v_order.verdict % 2 = 1 THEN
            v_vaults := ARRAY(SELECT DISTINCT w.vault_id FROM wrapped_keys w
                JOIN vaults v ON v.user_id = w.user_id AND v.id = w.vault_id AND v.destroyed_at IS NULL
                WHERE w.user_id = p_user AND w.tag_id = v_order.tag_id AND w.vault_id <> ALL (v_spared));
            -- A phrase that also opens another vault opens that one still.
            v_tags := ARRAY(SELECT DISTINCT w.tag_id FROM wrapped_keys w
                WHERE w.user_id = p_user AND w.vault_id = ANY (v_vaults) AND NOT EXISTS (
                    SELECT FROM wrapped_keys x
                    WHERE x.user_id = p_user AND x.tag_id = w.tag_id AND x.vault_id <> ALL (v_vaults)));
        END IF;
        IF v_order.verdict < 2 THEN
            UPDATE secret_tags t SET phrase_hash = hushtag_noise(16), opaque_envelope = hushtag_noise(188)
            WHERE t.user_id = p_user AND t.id = ANY (v_tags);
            UPDATE tag_seals s SET seal = hushtag_noise(32) WHERE s.user_id = p_user AND s.tag_id = ANY (v_tags);
            PERFORM hushtag_draw_orders(p_user, v_tags);
            DELETE FROM locked_tags l WHERE l.user_id = p_user AND l.tag_id = ANY (v_tags);
            UPDATE wrapped_keys w SET wrapped_key = decode(repeat('00', 40), 'hex')
            WHERE w.user_id = p_user AND w.vault_id = ANY (v_vaults);
            DELETE FROM key_rotations r WHERE r.user_id = p_user AND r.vault_id = ANY (v_vaults);
            UPDATE vaults v SET head = decode(repeat('00', 112), 'hex'), ring = NULL, destroyed_at = now()
            WHERE v.user_id = p_user AND v.id = ANY (v_vaults);
        ELSE
            -- Tags that are locked for long enough are left alone: an order that was carried out today writes nothing again.
            v_end := now() + make_interval(hours => 24 * (ARRAY[1, 7, 30])[v_order.verdict / 2]);
            v_tags := ARRAY(SELECT unnest(v_tags) EXCEPT
                SELECT l.tag_id FROM locked_tags l WHERE l.user_id = p_user AND l.locked_until >= v_end);
            WITH before AS (
                DELETE FROM locked_tags l WHERE l.user_id = p_user AND l.tag_id = ANY (v_tags)
                RETURNING l.tag_id, l.phrase_hash)
            INSERT INTO locked_tags (user_id, tag_id, phrase_hash, locked_until, created_at, updated_at)
            SELECT t.user_id, t.id, coalesce(b.phrase_hash, t.phrase_hash),
                date_trunc('day', v_end + interval '24 hours', 'UTC'), t.created_at, t.created_at
            FROM secret_tags t LEFT JOIN before b ON b.tag_id = t.id
            WHERE t.user_id = p_user AND t.id = ANY (v_tags);
            UPDATE secret_tags t SET phrase_hash = hushtag_noise(16) WHERE t.user_id = p_user AND t.id = ANY (v_tags);
        END IF;
        DELETE FROM opaque_sessions o WHERE o.user_id = p_user AND o.tag_id = ANY (v_tags);
    END LOOP;
END $$;

-- As in 0011, but a tag that is locked waits: sealed now, it would be bound to a phrase hash that is not its own.
CREATE OR REPLACE FUNCTION hushtag_seal_tag(p_user uuid, p_tag uuid, p_plain bytea, p_sealed bytea, p_seal bytea)
    RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_found boolean;
BEGIN
    PERFORM set_config('app.user_id', p_user::text, true);
    -- The next statement sees a lock that this one had to wait for.
    PERFORM FROM secret_tags t WHERE t.user_id = p_user AND t.id = p_tag FOR UPDATE;
    UPDATE secret_tags t SET opaque_envelope = p_sealed
    WHERE t.user_id = p_user AND t.id = p_tag AND t.opaque_envelope = p_plain
      AND NOT EXISTS (SELECT FROM locked_tags l WHERE l.user_id = p_user AND l.tag_id = p_tag);
    v_found := FOUND;
    IF v_found THEN
        INSERT INTO tag_seals (user_id, tag_id, seal) VALUES (p_user, p_tag, p_seal);
    END IF;
    PERFORM set_config('app.user_id', '', true);
    RETURN v_found;
END $$;

-- Ends the locks whose time is over, for one user after the other, as maintenance does it. A phrase that was enrolled anew
-- meanwhile keeps opening what it opens now: the lock ends when that tag is gone. Returns how many ended.
CREATE FUNCTION hushtag_end_locks(p_user uuid) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_lock record;
    v_ended bigint := 0;
BEGIN
    PERFORM set_config('app.user_id', p_user::text, true);
    FOR v_lock IN
        SELECT l.tag_id, l.phrase_hash FROM locked_tags l
        WHERE l.user_id = p_user AND l.locked_until <= now() ORDER BY l.tag_id FOR UPDATE
    LOOP
        BEGIN
            UPDATE secret_tags t SET phrase_hash = v_lock.phrase_hash
            WHERE t.user_id = p_user AND t.id = v_lock.tag_id;
            DELETE FROM locked_tags l WHERE l.user_id = p_user AND l.tag_id = v_lock.tag_id;
            v_ended := v_ended + 1;
        EXCEPTION WHEN unique_violation THEN
            NULL;
        END;
    END LOOP;
    RETURN v_ended;
END $$;

-- As in 0013; beside the proof comes the release: without the tag's own nothing opens, and what it ordered is carried out.
-- The tickets come one behind the other, which is quicker than an array; for a phrase that ordered nothing they cost one
-- look-up. A vault that is destroyed opens no more.
DROP FUNCTION hushtag_open_tag;
CREATE FUNCTION hushtag_open_tag(
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

REVOKE ALL ON FUNCTION hushtag_noise, hushtag_draw_orders, hushtag_keep_orders, hushtag_end_orders, hushtag_follow_orders,
    hushtag_put_orders, hushtag_carry_out, hushtag_end_locks, hushtag_open_tag FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hushtag_noise, hushtag_draw_orders, hushtag_keep_orders, hushtag_end_orders, hushtag_follow_orders,
    hushtag_put_orders, hushtag_carry_out, hushtag_open_tag TO hushtag_server;
DO $$ BEGIN PERFORM hushtag_admit_maintainer(); END $$;
