-- depends: 0020_ended_sessions
-- Which installation this is: object stores are marked with it, so that no other installation takes what lies there for
-- its own leftovers. It goes with the database, into its backups too. One row.
CREATE TABLE installations (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT installations_pkey PRIMARY KEY (id)
);
CREATE UNIQUE INDEX installations_one_key ON installations ((true));
CREATE TRIGGER installations_touch BEFORE UPDATE ON installations FOR EACH ROW EXECUTE FUNCTION hushtag_touch();
INSERT INTO installations DEFAULT VALUES;

-- When the mark was written: from then on a store without it is not the one it was.
ALTER TABLE segment_stores ADD COLUMN marked_at timestamptz;

-- Removals in two steps: claimed, which is committed, then removed from the store, then the row goes. A claim is never
-- taken back, for the object may be gone; `due_at` says when somebody else may claim the removal again.
ALTER TABLE segment_removals ADD COLUMN claimed_at timestamptz;

-- As in 0017, but of an object whose removal is claimed no segment is made.
CREATE OR REPLACE FUNCTION hushtag_finish_segment(
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
        DELETE FROM segment_removals r WHERE r.store_id = p_store AND r.id = p_segment AND r.claimed_at IS NULL
        RETURNING p_size INTO v_bytes;
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

GRANT SELECT ON installations TO hushtag_server;
GRANT UPDATE (marked_at) ON segment_stores TO hushtag_server;

DO $$ BEGIN PERFORM hushtag_admit_maintainer(); END $$;
