-- depends: 0016_pairings
-- Large objects: streams, their segments, and where the bytes of each segment lie: here, in parts of at most 1 MiB, or in
-- an object store. A segment's bytes are written first, under a fresh id that nobody refers to; the row that names the id
-- comes last and makes the segment, whole and durable, in one short transaction. So no transaction and no connection is
-- held while a body arrives, and what a crash leaves behind is never a half segment but bytes that nothing names.
-- Order of locks: vault, then its streams, then their segments.

-- No row was ever written to the table of that name.
DROP TABLE vault_segments;

-- Object stores that rows may name. The address holds no secret: credentials come from the server's environment.
CREATE TABLE segment_stores (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    url varchar(500) NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT segment_stores_pkey PRIMARY KEY (id),
    CONSTRAINT segment_stores_url_form CHECK (url ~ '^[a-z0-9]+://[^[:space:]]')
);

-- `uploading` until an object's put names it, `committed` from then on, `ended` when its segments are to be removed.
CREATE TABLE vault_streams (
    user_id uuid NOT NULL,
    vault_id uuid NOT NULL,
    id uuid NOT NULL,
    object_id uuid,
    state varchar(10) NOT NULL DEFAULT 'uploading',
    segment_count integer NOT NULL DEFAULT 0,
    byte_count bigint NOT NULL DEFAULT 0,
    last_activity timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT vault_streams_pkey PRIMARY KEY (user_id, vault_id, id),
    CONSTRAINT vault_streams_state_known CHECK (state IN ('uploading', 'committed', 'ended')),
    CONSTRAINT vault_streams_object_named CHECK ((state = 'committed') = (object_id IS NOT NULL)),
    CONSTRAINT vault_streams_segment_count_range CHECK (segment_count BETWEEN 0 AND 65536),
    CONSTRAINT vault_streams_byte_count_range CHECK (byte_count BETWEEN 0 AND 68853694464)
);

-- One row a segment. `id` names its bytes: parts below where `store_id` is NULL, else an object of that store. It is fresh
-- for every upload, so two that race for one place cannot mix their bytes. `digest` is BLAKE3-256 of the bytes.
CREATE TABLE vault_segments (
    user_id uuid NOT NULL,
    vault_id uuid NOT NULL,
    stream_id uuid NOT NULL,
    id uuid NOT NULL,
    seq integer NOT NULL,
    byte_count integer NOT NULL,
    digest bytea NOT NULL,
    store_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT vault_segments_pkey PRIMARY KEY (user_id, vault_id, stream_id, id),
    CONSTRAINT vault_segments_seq_key UNIQUE (user_id, vault_id, stream_id, seq),
    CONSTRAINT vault_segments_seq_range CHECK (seq BETWEEN 0 AND 65535),
    CONSTRAINT vault_segments_byte_count_range CHECK (byte_count BETWEEN 1 AND 16842752),
    CONSTRAINT vault_segments_digest_length CHECK (octet_length(digest) = 32)
);

-- The bytes. Partitions by user: each is vacuumed, and grows, by itself.
CREATE TABLE segment_parts (
    user_id uuid NOT NULL,
    vault_id uuid NOT NULL,
    stream_id uuid NOT NULL,
    segment_id uuid NOT NULL,
    part integer NOT NULL,
    bytes bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT segment_parts_pkey PRIMARY KEY (user_id, vault_id, stream_id, segment_id, part),
    CONSTRAINT segment_parts_part_range CHECK (part BETWEEN 0 AND 16),
    CONSTRAINT segment_parts_bytes_length CHECK (octet_length(bytes) BETWEEN 1 AND 1048576)
) PARTITION BY HASH (user_id);

-- Ciphertext does not compress: store it as it is, outside the row.
ALTER TABLE segment_parts ALTER COLUMN bytes SET STORAGE EXTERNAL;
DO $$
BEGIN
    FOR v_number IN 0..7 LOOP
        EXECUTE format('CREATE TABLE segment_parts_%s PARTITION OF segment_parts'
            ' FOR VALUES WITH (MODULUS 8, REMAINDER %s)', v_number, v_number);
        EXECUTE format('ALTER TABLE segment_parts_%s ALTER COLUMN bytes SET STORAGE EXTERNAL', v_number);
        EXECUTE format('ALTER TABLE segment_parts_%s ENABLE ROW LEVEL SECURITY', v_number);
        EXECUTE format('ALTER TABLE segment_parts_%s FORCE ROW LEVEL SECURITY', v_number);
    END LOOP;
END $$;

-- Objects of stores that no segment names: noted here in the transaction that lets go of them, and, for a crash in
-- between, before an upload writes them, due when no upload can still be under way. The object is removed, then the note;
-- the row of a segment takes the note of its object away. Random ids: the table knows no user.
CREATE TABLE segment_removals (
    id uuid NOT NULL,
    store_id uuid NOT NULL,
    due_at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT segment_removals_pkey PRIMARY KEY (store_id, id)
);

ALTER TABLE vaults ADD COLUMN stream_bytes bigint NOT NULL DEFAULT 0;
ALTER TABLE vaults ADD CONSTRAINT vaults_stream_bytes_range CHECK (stream_bytes >= 0);
-- A stream is one object's alone.
ALTER TABLE vault_blobs ADD CONSTRAINT vault_blobs_stream_key UNIQUE (user_id, vault_id, stream_id);

-- A step that distributes the tables by user_id fits here; the references follow.

ALTER TABLE vault_streams ADD CONSTRAINT vault_streams_user_fkey
    FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE;
ALTER TABLE vault_streams ADD CONSTRAINT vault_streams_vault_fkey
    FOREIGN KEY (user_id, vault_id) REFERENCES vaults (user_id, id) ON DELETE CASCADE;
ALTER TABLE vault_segments ADD CONSTRAINT vault_segments_stream_fkey
    FOREIGN KEY (user_id, vault_id, stream_id) REFERENCES vault_streams (user_id, vault_id, id) ON DELETE CASCADE;
ALTER TABLE vault_segments ADD CONSTRAINT vault_segments_store_fkey
    FOREIGN KEY (store_id) REFERENCES segment_stores (id) ON DELETE RESTRICT;
ALTER TABLE segment_removals ADD CONSTRAINT segment_removals_store_fkey
    FOREIGN KEY (store_id) REFERENCES segment_stores (id) ON DELETE RESTRICT;
-- To the stream and not to the segment, whose row comes after its parts.
ALTER TABLE segment_parts ADD CONSTRAINT segment_parts_stream_fkey
    FOREIGN KEY (user_id, vault_id, stream_id) REFERENCES vault_streams (user_id, vault_id, id) ON DELETE CASCADE;
-- NO ACTION: the stream of an object cannot go before the object does.
ALTER TABLE vault_blobs ADD CONSTRAINT vault_blobs_stream_fkey
    FOREIGN KEY (user_id, vault_id, stream_id) REFERENCES vault_streams (user_id, vault_id, id) ON DELETE NO ACTION;

CREATE UNIQUE INDEX segment_stores_url_key ON segment_stores (url);
CREATE INDEX vault_streams_state_idx ON vault_streams (user_id, state, last_activity) WHERE state <> 'committed';
CREATE INDEX vault_segments_store_idx ON vault_segments (store_id, id);
CREATE INDEX segment_removals_due_at_idx ON segment_removals (due_at);

CREATE TRIGGER segment_stores_touch BEFORE UPDATE ON segment_stores FOR EACH ROW EXECUTE FUNCTION hushtag_touch();
CREATE TRIGGER vault_streams_touch BEFORE UPDATE ON vault_streams FOR EACH ROW EXECUTE FUNCTION hushtag_touch();
CREATE TRIGGER vault_segments_touch BEFORE UPDATE ON vault_segments FOR EACH ROW EXECUTE FUNCTION hushtag_touch();
CREATE TRIGGER segment_parts_touch BEFORE UPDATE ON segment_parts FOR EACH ROW EXECUTE FUNCTION hushtag_touch();
CREATE TRIGGER segment_removals_touch BEFORE UPDATE ON segment_removals FOR EACH ROW EXECUTE FUNCTION hushtag_touch();

ALTER TABLE vault_streams ENABLE ROW LEVEL SECURITY;
ALTER TABLE vault_streams FORCE ROW LEVEL SECURITY;
ALTER TABLE vault_segments ENABLE ROW LEVEL SECURITY;
ALTER TABLE vault_segments FORCE ROW LEVEL SECURITY;
ALTER TABLE segment_parts ENABLE ROW LEVEL SECURITY;
ALTER TABLE segment_parts FORCE ROW LEVEL SECURITY;
CREATE POLICY vault_streams_own ON vault_streams
    USING (user_id = hushtag_current_user()) WITH CHECK (user_id = hushtag_current_user());
CREATE POLICY vault_segments_own ON vault_segments
    USING (user_id = hushtag_current_user()) WITH CHECK (user_id = hushtag_current_user());
CREATE POLICY segment_parts_own ON segment_parts
    USING (user_id = hushtag_current_user()) WITH CHECK (user_id = hushtag_current_user());

-- However a segment goes, by itself, with its stream, vault or account, or to another store: its object is noted.
CREATE FUNCTION hushtag_note_removal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.store_id IS NOT NULL AND (TG_OP = 'DELETE' OR (OLD.store_id, OLD.id) IS DISTINCT FROM (NEW.store_id, NEW.id)) THEN
        INSERT INTO segment_removals (id, store_id) VALUES (OLD.id, OLD.store_id) ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER vault_segments_removed AFTER DELETE OR UPDATE ON vault_segments
    FOR EACH ROW EXECUTE FUNCTION hushtag_note_removal();

-- Before a body is read: may it be stored, and is it there already? Makes the stream's row with its first segment.
-- `known` is what is stored under that number.
CREATE FUNCTION hushtag_begin_segment(
        p_user uuid, p_session_id text, p_idle interval, p_touch interval, p_vault uuid, p_stream uuid, p_seq integer,
        p_size bigint, p_segment uuid, p_store uuid, p_age interval,
        p_most_streams integer, p_most_bytes bigint, p_most_stream_bytes bigint,
        OUT outcome text, OUT known_size integer, OUT known_digest bytea)
    LANGUAGE plpgsql AS $$
DECLARE
    v_tag uuid := hushtag_vault_session(p_user, p_session_id, p_idle, p_touch);
    v_stream vault_streams%ROWTYPE;
BEGIN
    IF v_tag IS NULL THEN
        outcome := 'unauthenticated';
        RETURN;
    END IF;
    IF hushtag_key_of(p_user, v_tag, p_vault) IS NULL THEN
        outcome := 'not_found';
        RETURN;
    END IF;
    SELECT * INTO v_stream FROM vault_streams s WHERE s.user_id = p_user AND s.vault_id = p_vault AND s.id = p_stream;
    IF v_stream.id IS NULL THEN
        -- The lock makes beginnings queue up: what one of them began, the next one counts. Per vault, as all of these limits:
        -- one over the account would tell in a vault what goes on in its others.
        PERFORM FROM vaults v
        WHERE v.user_id = p_user AND v.id = p_vault AND v.destroyed_at IS NULL FOR NO KEY UPDATE;
        IF NOT FOUND THEN
            outcome := 'not_found';
            RETURN;
        END IF;
        IF (SELECT count(*) FROM vault_streams s WHERE s.user_id = p_user AND s.vault_id = p_vault
                AND s.state = 'uploading') >= p_most_streams THEN
            outcome := 'limit_reached';
            RETURN;
        END IF;
        INSERT INTO vault_streams (user_id, vault_id, id) VALUES (p_user, p_vault, p_stream) ON CONFLICT DO NOTHING;
        SELECT * INTO v_stream FROM vault_streams s
        WHERE s.user_id = p_user AND s.vault_id = p_vault AND s.id = p_stream;
    END IF;
    IF v_stream.state IS DISTINCT FROM 'uploading' THEN
        outcome := 'stream_committed';
        RETURN;
    END IF;
    SELECT s.byte_count, s.digest INTO known_size, known_digest FROM vault_segments s
    WHERE s.user_id = p_user AND s.vault_id = p_vault AND s.stream_id = p_stream AND s.seq = p_seq;
    outcome := CASE
        WHEN known_size IS NOT NULL THEN 'known'
        WHEN v_stream.byte_count + p_size > p_most_stream_bytes THEN 'limit_reached'
        WHEN p_most_bytes > 0 AND p_size + (
            SELECT v.stream_bytes FROM vaults v WHERE v.user_id = p_user AND v.id = p_vault) > p_most_bytes THEN 'vault_full'
        ELSE 'begun' END;
    IF outcome = 'begun' AND p_store IS NOT NULL THEN
        INSERT INTO segment_removals (id, store_id, due_at) VALUES (p_segment, p_store, now() + p_age);
    END IF;
    UPDATE vault_streams s SET last_activity = now()
    WHERE s.user_id = p_user AND s.vault_id = p_vault AND s.id = p_stream AND s.last_activity < now() - p_touch;
END $$;

-- One part of bytes that no segment names yet. It need not be on disk before the next: the commit of the segment's row,
-- which waits for the disk, makes everything before it durable as well.
CREATE FUNCTION hushtag_put_part(
        p_user uuid, p_vault uuid, p_stream uuid, p_segment uuid, p_part integer, p_bytes bytea)
    RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('app.user_id', p_user::text, true), set_config('synchronous_commit', 'off', true);
    INSERT INTO segment_parts (user_id, vault_id, stream_id, segment_id, part, bytes)
    VALUES (p_user, p_vault, p_stream, p_segment, p_part, p_bytes);
END $$;

-- Parts of an upload that came to nothing. Never called once the segment's row may have been written.
CREATE FUNCTION hushtag_drop_parts(p_user uuid, p_vault uuid, p_stream uuid, p_segment uuid)
    RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('app.user_id', p_user::text, true);
    DELETE FROM segment_parts p
    WHERE p.user_id = p_user AND p.vault_id = p_vault AND p.stream_id = p_stream AND p.segment_id = p_segment;
END $$;

-- The bytes are there: from here on the segment is. The session is asked for again, for bodies may take minutes.
CREATE FUNCTION hushtag_finish_segment(
        p_user uuid, p_session_id text, p_idle interval, p_touch interval, p_vault uuid, p_stream uuid, p_seq integer,
        p_segment uuid, p_store uuid, p_size integer, p_digest bytea, p_most_bytes bigint, p_most_stream_bytes bigint)
    RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_tag uuid := hushtag_vault_session(p_user, p_session_id, p_idle, p_touch);
    v_stream vault_streams%ROWTYPE;
    v_digest bytea;
    v_bytes bigint;
BEGIN
    IF v_tag IS NULL THEN
        RETURN 'unauthenticated';
    END IF;
    PERFORM FROM vaults v WHERE v.user_id = p_user AND v.id = p_vault AND v.destroyed_at IS NULL FOR NO KEY UPDATE;
    IF NOT FOUND OR hushtag_key_of(p_user, v_tag, p_vault) IS NULL THEN
        RETURN 'not_found';
    END IF;
    SELECT * INTO v_stream FROM vault_streams s
    WHERE s.user_id = p_user AND s.vault_id = p_vault AND s.id = p_stream FOR NO KEY UPDATE;
    IF v_stream.state IS DISTINCT FROM 'uploading' THEN
        RETURN 'stream_committed';
    END IF;
    SELECT s.digest INTO v_digest FROM vault_segments s
    WHERE s.user_id = p_user AND s.vault_id = p_vault AND s.stream_id = p_stream AND s.seq = p_seq;
    IF v_digest IS NOT NULL THEN
        RETURN CASE WHEN v_digest = p_digest THEN 'known' ELSE 'segment_exists' END;
    END IF;
    IF v_stream.byte_count + p_size > p_most_stream_bytes THEN
        RETURN 'limit_reached';
    END IF;
    IF p_most_bytes > 0 AND p_size + (
            SELECT v.stream_bytes FROM vaults v WHERE v.user_id = p_user AND v.id = p_vault) > p_most_bytes THEN
        RETURN 'vault_full';
    END IF;
    -- What a row names must be there. The length of bytes that lie outside their row is known without reading them.
    IF p_store IS NULL THEN
        SELECT sum(octet_length(p.bytes)) INTO v_bytes FROM segment_parts p WHERE p.user_id = p_user
          AND p.vault_id = p_vault AND p.stream_id = p_stream AND p.segment_id = p_segment;
    ELSE
        DELETE FROM segment_removals r WHERE r.store_id = p_store AND r.id = p_segment RETURNING p_size INTO v_bytes;
    END IF;
    IF v_bytes IS DISTINCT FROM p_size THEN
        RETURN 'lost'; -- to maintenance, which took the upload for one that was given up
    END IF;
    INSERT INTO vault_segments (user_id, vault_id, stream_id, id, seq, byte_count, digest, store_id)
    VALUES (p_user, p_vault, p_stream, p_segment, p_seq, p_size, p_digest, p_store);
    UPDATE vault_streams s
    SET segment_count = s.segment_count + 1, byte_count = s.byte_count + p_size, last_activity = now()
    WHERE s.user_id = p_user AND s.vault_id = p_vault AND s.id = p_stream;
    UPDATE vaults v SET stream_bytes = v.stream_bytes + p_size WHERE v.user_id = p_user AND v.id = p_vault;
    RETURN 'stored';
END $$;

-- Which segments there are after a number, for those inside the vault. No tag: not authenticated; no state: no such stream.
CREATE FUNCTION hushtag_list_segments(
        p_user uuid, p_session_id text, p_idle interval, p_touch interval, p_vault uuid, p_stream uuid,
        p_after integer, p_limit integer)
    RETURNS TABLE (tag_id uuid, state text, seq integer, byte_count integer, digest bytea, segment_id uuid, store_id uuid)
    LANGUAGE plpgsql AS $$
DECLARE
    v_tag uuid := hushtag_vault_session(p_user, p_session_id, p_idle, p_touch);
    v_state text;
BEGIN
    IF v_tag IS NOT NULL AND hushtag_key_of(p_user, v_tag, p_vault) IS NOT NULL THEN
        SELECT s.state INTO v_state FROM vault_streams s
        WHERE s.user_id = p_user AND s.vault_id = p_vault AND s.id = p_stream AND s.state <> 'ended';
    END IF;
    RETURN QUERY
        SELECT v_tag, v_state, g.seq, g.byte_count, g.digest, g.id, g.store_id
        FROM (SELECT) one LEFT JOIN LATERAL (
            SELECT * FROM vault_segments s
            WHERE s.user_id = p_user AND s.vault_id = p_vault AND s.stream_id = p_stream AND s.seq > p_after
              AND v_state IS NOT NULL
            ORDER BY s.seq LIMIT p_limit) g ON true
        ORDER BY g.seq;
END $$;

-- How many segments from `p_first` on follow each other without a gap up to `p_count`, and their bytes together.
CREATE FUNCTION hushtag_measure_stream(
        p_user uuid, p_session_id text, p_idle interval, p_touch interval, p_vault uuid, p_stream uuid,
        p_first integer, p_count integer, OUT tag_id uuid, OUT state text, OUT segments integer, OUT bytes bigint)
    LANGUAGE plpgsql AS $$
BEGIN
    tag_id := hushtag_vault_session(p_user, p_session_id, p_idle, p_touch);
    IF tag_id IS NULL OR hushtag_key_of(p_user, tag_id, p_vault) IS NULL THEN
        RETURN;
    END IF;
    SELECT s.state INTO state FROM vault_streams s
    WHERE s.user_id = p_user AND s.vault_id = p_vault AND s.id = p_stream AND s.state <> 'ended';
    SELECT count(*), coalesce(sum(g.byte_count), 0) INTO segments, bytes FROM (
        SELECT s.byte_count, s.seq = p_first + row_number() OVER (ORDER BY s.seq) - 1 AS follows
        FROM vault_segments s
        WHERE s.user_id = p_user AND s.vault_id = p_vault AND s.stream_id = p_stream
          AND s.seq >= p_first AND s.seq < p_first::bigint + p_count) g
    WHERE g.follows;
END $$;

-- Bytes of a segment that a call above named to this user; NULL where it was moved or removed meanwhile.
CREATE FUNCTION hushtag_read_part(p_user uuid, p_vault uuid, p_stream uuid, p_segment uuid, p_part integer)
    RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE
    v_bytes bytea;
BEGIN
    PERFORM set_config('app.user_id', p_user::text, true);
    SELECT p.bytes INTO v_bytes FROM segment_parts p
    WHERE p.user_id = p_user AND p.vault_id = p_vault AND p.stream_id = p_stream AND p.segment_id = p_segment
      AND p.part = p_part;
    RETURN v_bytes;
END $$;

-- An upload is given up. Its segments go in batches, afterwards.
CREATE FUNCTION hushtag_end_stream(
        p_user uuid, p_session_id text, p_idle interval, p_touch interval, p_vault uuid, p_stream uuid)
    RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_tag uuid := hushtag_vault_session(p_user, p_session_id, p_idle, p_touch);
    v_state text;
BEGIN
    IF v_tag IS NULL THEN
        RETURN 'unauthenticated';
    END IF;
    IF hushtag_key_of(p_user, v_tag, p_vault) IS NULL THEN
        RETURN 'not_found';
    END IF;
    SELECT s.state INTO v_state FROM vault_streams s
    WHERE s.user_id = p_user AND s.vault_id = p_vault AND s.id = p_stream FOR NO KEY UPDATE;
    IF v_state IS NULL OR v_state = 'ended' THEN
        RETURN 'not_found';
    END IF;
    IF v_state = 'committed' THEN
        RETURN 'stream_committed';
    END IF;
    UPDATE vault_streams s SET state = 'ended' WHERE s.user_id = p_user AND s.vault_id = p_vault AND s.id = p_stream;
    RETURN 'ended';
END $$;

-- One batch of what is to go of a user: uploads that lay idle for `p_age` end; up to `p_most` segments, with their bytes,
-- of streams that ended and of vaults that were destroyed; the rows of streams without segments; at last, with `p_orphans`,
-- which reads as many rows as the user has, parts older than `p_age` that no segment names. Returns how much went: 0 is
-- the end. What goes is told from the rows, not from the counts, which may be wrong.
CREATE FUNCTION hushtag_remove_segments(p_user uuid, p_age interval, p_most integer, p_orphans boolean)
    RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_vault uuid;
    v_gone bigint := 0;
    v_rows bigint;
    v_vaults uuid[];
    v_streams uuid[];
    v_segments uuid[];
    v_parts integer[];
BEGIN
    PERFORM set_config('app.user_id', p_user::text, true);
    -- One vault a batch, and its row first: the order of locks of everybody.
    v_vault := least((
        SELECT s.vault_id FROM vault_streams s
        WHERE s.user_id = p_user AND (s.state = 'ended' OR (s.state = 'uploading' AND s.last_activity < now() - p_age))
        ORDER BY s.vault_id LIMIT 1), (
        SELECT v.id FROM vaults v WHERE v.user_id = p_user AND v.destroyed_at IS NOT NULL
          AND EXISTS (SELECT FROM vault_segments g WHERE g.user_id = p_user AND g.vault_id = v.id)
        ORDER BY v.id LIMIT 1));
    IF v_vault IS NOT NULL THEN
        PERFORM FROM vaults v WHERE v.user_id = p_user AND v.id = v_vault FOR NO KEY UPDATE;
        UPDATE vault_streams s SET state = 'ended'
        WHERE s.user_id = p_user AND s.vault_id = v_vault AND s.state = 'uploading' AND s.last_activity < now() - p_age;
        WITH gone AS (
            DELETE FROM vault_segments g USING (
                SELECT c.ctid FROM vault_streams s
                JOIN vaults v ON v.user_id = s.user_id AND v.id = s.vault_id
                JOIN vault_segments c ON c.user_id = s.user_id AND c.vault_id = s.vault_id AND c.stream_id = s.id
                WHERE s.user_id = p_user AND s.vault_id = v_vault AND (s.state = 'ended' OR v.destroyed_at IS NOT NULL)
                LIMIT p_most) batch
            WHERE g.user_id = p_user AND g.ctid = batch.ctid
            RETURNING g.stream_id, g.id, g.byte_count
        ), parts AS (
            DELETE FROM segment_parts p USING gone
            WHERE p.user_id = p_user AND p.vault_id = v_vault AND p.stream_id = gone.stream_id AND p.segment_id = gone.id
        ), counted AS (
            UPDATE vault_streams s SET segment_count = greatest(s.segment_count - c.segments, 0),
                byte_count = greatest(s.byte_count - c.bytes, 0)
            FROM (SELECT stream_id, count(*) AS segments, sum(byte_count) AS bytes FROM gone GROUP BY 1) c
            WHERE s.user_id = p_user AND s.vault_id = v_vault AND s.id = c.stream_id
        ), freed AS (
            UPDATE vaults v SET stream_bytes = greatest(v.stream_bytes - f.bytes, 0)
            FROM (SELECT coalesce(sum(byte_count), 0) AS bytes FROM gone) f
            WHERE v.user_id = p_user AND v.id = v_vault AND f.bytes > 0
        )
        SELECT count(*) INTO v_gone FROM gone;
        -- Parts that no segment named go with their stream; an upload that is still under way is then refused.
        DELETE FROM vault_streams s
        WHERE s.user_id = p_user AND s.vault_id = v_vault AND s.state = 'ended' AND v_gone < p_most AND NOT EXISTS (
            SELECT FROM vault_segments g WHERE g.user_id = p_user AND g.vault_id = v_vault AND g.stream_id = s.id);
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        v_gone := v_gone + v_rows;
    END IF;
    IF v_gone = 0 AND p_orphans THEN
        SELECT array_agg(o.vault_id), array_agg(o.stream_id), array_agg(o.segment_id), array_agg(o.part)
        INTO v_vaults, v_streams, v_segments, v_parts FROM (
            SELECT o.vault_id, o.stream_id, o.segment_id, o.part FROM segment_parts o
            WHERE o.user_id = p_user AND o.created_at < now() - p_age AND NOT EXISTS (
                SELECT FROM vault_segments g
                WHERE g.user_id = p_user AND g.vault_id = o.vault_id AND g.stream_id = o.stream_id AND g.id = o.segment_id)
            LIMIT p_most * 16) o;
        -- Once more, under the vaults' locks: a slow upload may be making a segment of them at this moment.
        PERFORM FROM vaults v WHERE v.user_id = p_user AND v.id = ANY (v_vaults) ORDER BY v.id FOR NO KEY UPDATE;
        DELETE FROM segment_parts p USING unnest(v_vaults, v_streams, v_segments, v_parts) batch (vault, stream, segment, part)
        WHERE p.user_id = p_user AND p.vault_id = batch.vault AND p.stream_id = batch.stream
          AND p.segment_id = batch.segment AND p.part = batch.part AND NOT EXISTS (
            SELECT FROM vault_segments g
            WHERE g.user_id = p_user AND g.vault_id = p.vault_id AND g.stream_id = p.stream_id AND g.id = p.segment_id);
        GET DIAGNOSTICS v_gone = ROW_COUNT;
    END IF;
    RETURN v_gone;
END $$;

-- One batch of the bytes of an account whose grace has ended, which nobody can restore: up to 16 times `p_most` parts, then
-- as many segments. Returns how many went; 0 is the end, and what erasing the account then cascades over is little. For
-- maintenance, not for the server's role.
CREATE FUNCTION hushtag_drain_account(p_user uuid, p_most integer) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_gone bigint;
BEGIN
    PERFORM set_config('app.user_id', p_user::text, true);
    -- The lock settles who comes first, a restoration or this.
    PERFORM FROM users u WHERE u.id = p_user AND u.deletion_at <= now() FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    DELETE FROM segment_parts p USING (
        SELECT o.vault_id, o.stream_id, o.segment_id, o.part FROM segment_parts o WHERE o.user_id = p_user
        LIMIT p_most * 16) batch
    WHERE p.user_id = p_user AND p.vault_id = batch.vault_id AND p.stream_id = batch.stream_id
      AND p.segment_id = batch.segment_id AND p.part = batch.part;
    GET DIAGNOSTICS v_gone = ROW_COUNT;
    IF v_gone = 0 THEN
        DELETE FROM vault_segments g USING (
            SELECT o.vault_id, o.stream_id, o.id FROM vault_segments o WHERE o.user_id = p_user LIMIT p_most * 16) batch
        WHERE g.user_id = p_user AND g.vault_id = batch.vault_id AND g.stream_id = batch.stream_id AND g.id = batch.id;
        GET DIAGNOSTICS v_gone = ROW_COUNT;
    END IF;
    RETURN v_gone;
END $$;

-- As in 0003, and not in a vault that was destroyed, nor in a session that ended, while this waited for the vault: those who
-- did that were answered. With `p_stream` the row is the descriptor of that stream, whose segments must all be there. The stream the
-- object had before, if it is another, ends, which the outcome `replaced_stream` tells.
DROP FUNCTION hushtag_put_object;
CREATE FUNCTION hushtag_put_object(
        p_user uuid, p_session_id text, p_idle interval, p_touch interval, p_vault uuid, p_object uuid,
        p_revision bigint, p_key_version integer, p_generation bigint, p_head bytea,
        p_iv bytea, p_ciphertext bytea, p_auth_tag bytea, p_size integer, p_digest bytea, p_max_objects bigint,
        p_stream uuid, p_stream_segments integer, p_stream_size bigint)
    RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_tag uuid := hushtag_vault_session(p_user, p_session_id, p_idle, p_touch);
    v_key uuid;
    v_vault vaults%ROWTYPE;
    v_revision bigint;
    v_before uuid;
    v_stream vault_streams%ROWTYPE;
BEGIN
    IF v_tag IS NULL THEN
        RETURN 'unauthenticated';
    END IF;
    SELECT * INTO v_vault FROM vaults v
    WHERE v.user_id = p_user AND v.id = p_vault AND v.destroyed_at IS NULL FOR NO KEY UPDATE;
    v_key := hushtag_held_key(p_user, p_session_id, v_tag, p_vault);
    IF v_vault.id IS NULL OR v_key IS NULL THEN
        RETURN hushtag_not_held(p_user, p_session_id);
    END IF;
    SELECT b.revision, b.stream_id INTO v_revision, v_before FROM vault_blobs b
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
    IF p_stream IS NOT NULL THEN
        SELECT * INTO v_stream FROM vault_streams s
        WHERE s.user_id = p_user AND s.vault_id = p_vault AND s.id = p_stream FOR NO KEY UPDATE;
        IF v_stream.state = 'committed' AND v_stream.object_id <> p_object THEN
            RETURN 'stream_committed';
        END IF;
        -- Numbers are unique: as many as there should be, and none above, are all of them.
        IF v_stream.id IS NULL OR v_stream.state = 'ended' OR v_stream.segment_count <> p_stream_segments
                OR v_stream.byte_count <> p_stream_size OR EXISTS (
                    SELECT FROM vault_segments g WHERE g.user_id = p_user AND g.vault_id = p_vault
                      AND g.stream_id = p_stream AND g.seq >= p_stream_segments) THEN
            RETURN 'stream_incomplete';
        END IF;
        UPDATE vault_streams s SET state = 'committed', object_id = p_object, last_activity = now()
        WHERE s.user_id = p_user AND s.vault_id = p_vault AND s.id = p_stream AND s.state = 'uploading';
    END IF;
    IF v_revision IS NULL THEN
        INSERT INTO vault_blobs (user_id, vault_id, object_id, wrapped_key_id, iv, ciphertext, auth_tag, content_size,
            key_version, revision, row_digest, stream_id)
        VALUES (p_user, p_vault, p_object, v_key, p_iv, p_ciphertext, p_auth_tag, p_size,
            p_key_version, p_revision, p_digest, p_stream);
    ELSE
        UPDATE vault_blobs b
        SET wrapped_key_id = v_key, iv = p_iv, ciphertext = p_ciphertext, auth_tag = p_auth_tag,
            content_size = p_size, key_version = p_key_version, revision = p_revision, row_digest = p_digest,
            stream_id = p_stream
        WHERE b.user_id = p_user AND b.vault_id = p_vault AND b.object_id = p_object;
    END IF;
    IF v_before IS DISTINCT FROM p_stream AND v_before IS NOT NULL THEN
        UPDATE vault_streams s SET state = 'ended', object_id = NULL
        WHERE s.user_id = p_user AND s.vault_id = p_vault AND s.id = v_before;
    END IF;
    UPDATE vaults v
    SET generation = p_generation, head = p_head, object_count = v.object_count + (v_revision IS NULL)::integer
    WHERE v.user_id = p_user AND v.id = p_vault;
    RETURN CASE WHEN v_revision IS NULL THEN 'created'
        WHEN v_before IS DISTINCT FROM p_stream AND v_before IS NOT NULL THEN 'replaced_stream' ELSE 'replaced' END;
END $$;

-- As in 0013, under the conditions of a put; the object's stream ends with it, which the outcome `deleted_stream` tells.
CREATE OR REPLACE FUNCTION hushtag_delete_object(
        p_user uuid, p_session_id text, p_idle interval, p_touch interval, p_vault uuid, p_object uuid,
        p_revision bigint, p_generation bigint, p_head bytea, OUT outcome text, OUT key_version integer,
        OUT ring bytea)
    LANGUAGE plpgsql AS $$
DECLARE
    v_tag uuid := hushtag_vault_session(p_user, p_session_id, p_idle, p_touch);
    v_vault vaults%ROWTYPE;
    v_revision bigint;
    v_stream uuid;
BEGIN
    IF v_tag IS NULL THEN
        outcome := 'unauthenticated';
        RETURN;
    END IF;
    SELECT * INTO v_vault FROM vaults v
    WHERE v.user_id = p_user AND v.id = p_vault AND v.destroyed_at IS NULL FOR NO KEY UPDATE;
    IF v_vault.id IS NULL OR hushtag_held_key(p_user, p_session_id, v_tag, p_vault) IS NULL THEN
        outcome := hushtag_not_held(p_user, p_session_id);
        RETURN;
    END IF;
    key_version := v_vault.key_version;
    ring := v_vault.ring;
    SELECT b.revision, b.stream_id INTO v_revision, v_stream FROM vault_blobs b
    WHERE b.user_id = p_user AND b.vault_id = p_vault AND b.object_id = p_object;
    outcome := CASE
        WHEN v_revision IS NULL THEN 'not_found'
        WHEN v_revision <> p_revision THEN 'revision_conflict'
        WHEN v_vault.generation <> p_generation - 1 THEN 'generation_conflict'
        ELSE 'deleted' END;
    IF outcome <> 'deleted' THEN
        RETURN;
    END IF;
    DELETE FROM vault_blobs b WHERE b.user_id = p_user AND b.vault_id = p_vault AND b.object_id = p_object;
    IF v_stream IS NOT NULL THEN
        outcome := 'deleted_stream';
        UPDATE vault_streams s SET state = 'ended', object_id = NULL
        WHERE s.user_id = p_user AND s.vault_id = p_vault AND s.id = v_stream;
    END IF;
    UPDATE vaults v SET generation = p_generation, head = p_head, object_count = v.object_count - 1
    WHERE v.user_id = p_user AND v.id = p_vault;
END $$;

-- As in 0003, with the stream.
DROP FUNCTION hushtag_get_object;
CREATE FUNCTION hushtag_get_object(
        p_user uuid, p_session_id text, p_idle interval, p_touch interval, p_vault uuid, p_object uuid,
        OUT tag_id uuid, OUT revision bigint, OUT key_version integer, OUT body bytea, OUT stream_id uuid)
    LANGUAGE plpgsql AS $$
BEGIN
    tag_id := hushtag_vault_session(p_user, p_session_id, p_idle, p_touch);
    IF tag_id IS NULL OR hushtag_key_of(p_user, tag_id, p_vault) IS NULL THEN
        RETURN;
    END IF;
    SELECT b.revision, b.key_version, b.iv || b.ciphertext || b.auth_tag, b.stream_id
    INTO revision, key_version, body, stream_id
    FROM vault_blobs b WHERE b.user_id = p_user AND b.vault_id = p_vault AND b.object_id = p_object;
END $$;

-- As in 0013, but for vaults whose segments are not gone yet: those go in batches, by `hushtag_remove_segments`, first.
CREATE OR REPLACE FUNCTION hushtag_remove_destroyed(p_user uuid) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_vaults uuid[];
    v_tags uuid[];
BEGIN
    PERFORM set_config('app.user_id', p_user::text, true);
    v_vaults := ARRAY(SELECT v.id FROM vaults v WHERE v.user_id = p_user AND v.destroyed_at IS NOT NULL
                      AND NOT EXISTS (SELECT FROM vault_segments s WHERE s.user_id = p_user AND s.vault_id = v.id)
                      ORDER BY v.id FOR UPDATE);
    v_tags := ARRAY(SELECT DISTINCT w.tag_id FROM wrapped_keys w WHERE w.user_id = p_user AND w.vault_id = ANY (v_vaults));
    DELETE FROM vault_blobs b WHERE b.user_id = p_user AND b.vault_id = ANY (v_vaults);
    DELETE FROM wrapped_keys w WHERE w.user_id = p_user AND w.vault_id = ANY (v_vaults);
    DELETE FROM vaults v WHERE v.user_id = p_user AND v.id = ANY (v_vaults);
    DELETE FROM secret_tags t WHERE t.user_id = p_user AND t.id = ANY (v_tags)
        AND NOT EXISTS (SELECT FROM wrapped_keys w WHERE w.user_id = p_user AND w.tag_id = t.id);
    RETURN cardinality(v_vaults);
END $$;

GRANT SELECT, INSERT ON segment_stores TO hushtag_server;
GRANT SELECT, INSERT, UPDATE, DELETE ON vault_streams TO hushtag_server;
GRANT SELECT, INSERT, DELETE ON vault_segments, segment_parts, segment_removals TO hushtag_server;
GRANT UPDATE ON segment_removals TO hushtag_server; -- for FOR UPDATE, which claims them
REVOKE ALL ON FUNCTION hushtag_note_removal, hushtag_begin_segment, hushtag_put_part, hushtag_drop_parts,
    hushtag_finish_segment, hushtag_list_segments, hushtag_measure_stream, hushtag_read_part, hushtag_end_stream,
    hushtag_remove_segments, hushtag_drain_account, hushtag_put_object, hushtag_get_object FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hushtag_begin_segment, hushtag_put_part, hushtag_drop_parts,
    hushtag_finish_segment, hushtag_list_segments, hushtag_measure_stream, hushtag_read_part, hushtag_end_stream,
    hushtag_remove_segments, hushtag_put_object, hushtag_get_object TO hushtag_server;

DO $$ BEGIN PERFORM hushtag_admit_maintainer(); END $$;
