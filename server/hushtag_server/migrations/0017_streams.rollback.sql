-- Streams and their segments are lost, and objects of stores are left where they are.
DROP FUNCTION hushtag_drain_account, hushtag_remove_segments, hushtag_end_stream, hushtag_read_part, hushtag_measure_stream,
    hushtag_list_segments, hushtag_finish_segment, hushtag_drop_parts, hushtag_put_part, hushtag_begin_segment;
DROP FUNCTION hushtag_get_object;
DROP FUNCTION hushtag_put_object;

ALTER TABLE vault_blobs DROP CONSTRAINT vault_blobs_stream_fkey;
ALTER TABLE vault_blobs DROP CONSTRAINT vault_blobs_stream_key;
ALTER TABLE vaults DROP COLUMN stream_bytes;
DROP TABLE segment_parts, vault_segments, segment_removals, vault_streams, segment_stores;
-- Rows that went on naming their streams could not be migrated again. The owner of the table is bound by its policy, too.
ALTER TABLE vault_blobs NO FORCE ROW LEVEL SECURITY;
UPDATE vault_blobs SET stream_id = NULL WHERE stream_id IS NOT NULL;
ALTER TABLE vault_blobs FORCE ROW LEVEL SECURITY;
DROP FUNCTION hushtag_note_removal;

CREATE TABLE vault_segments (
    user_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    vault_id uuid NOT NULL,
    stream_id uuid NOT NULL,
    seq integer NOT NULL,
    bytes bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT vault_segments_pkey PRIMARY KEY (user_id, id),
    CONSTRAINT vault_segments_stream_seq_key UNIQUE (user_id, stream_id, seq),
    CONSTRAINT vault_segments_seq_range CHECK (seq >= 0),
    CONSTRAINT vault_segments_bytes_length CHECK (octet_length(bytes) BETWEEN 1 AND 16777216)
);

ALTER TABLE vault_segments ALTER COLUMN bytes SET STORAGE EXTERNAL;

ALTER TABLE vault_segments ADD CONSTRAINT vault_segments_user_fkey
    FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE;
ALTER TABLE vault_segments ADD CONSTRAINT vault_segments_vault_fkey
    FOREIGN KEY (user_id, vault_id) REFERENCES vaults (user_id, id) ON DELETE CASCADE;
CREATE INDEX vault_segments_vault_idx ON vault_segments (user_id, vault_id);
CREATE TRIGGER vault_segments_touch BEFORE UPDATE ON vault_segments FOR EACH ROW EXECUTE FUNCTION hushtag_touch();
ALTER TABLE vault_segments ENABLE ROW LEVEL SECURITY;
ALTER TABLE vault_segments FORCE ROW LEVEL SECURITY;
CREATE POLICY vault_segments_own ON vault_segments
    USING (user_id = hushtag_current_user()) WITH CHECK (user_id = hushtag_current_user());
GRANT SELECT, INSERT, DELETE ON vault_segments TO hushtag_server;

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

CREATE OR REPLACE FUNCTION hushtag_delete_object(
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

CREATE OR REPLACE FUNCTION hushtag_remove_destroyed(p_user uuid) RETURNS bigint LANGUAGE plpgsql AS $$
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

REVOKE ALL ON FUNCTION hushtag_put_object, hushtag_get_object FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hushtag_put_object, hushtag_get_object TO hushtag_server;

DO $$ BEGIN PERFORM hushtag_admit_maintainer(); END $$;
