-- depends: 0032_several_objects
-- Several objects deleted in one change.

-- As `hushtag_delete_object`, for revisions of different objects under one new head, all of them or none. Streams that
-- the objects had end with them, which the outcome `deleted_streams` tells.
CREATE FUNCTION hushtag_delete_objects(
        p_user uuid, p_session_id text, p_idle interval, p_touch interval, p_vault uuid, p_generation bigint,
        p_head bytea, p_objects uuid[], p_revisions bigint[])
    RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_tag uuid := hushtag_vault_session(p_user, p_session_id, p_idle, p_touch);
    v_vault vaults%ROWTYPE;
    v_revisions bigint[];
    v_object uuid;
    v_streams uuid[];
    v_stream uuid;
BEGIN
    IF v_tag IS NULL THEN
        RETURN 'unauthenticated';
    END IF;
    SELECT * INTO v_vault FROM vaults v
    WHERE v.user_id = p_user AND v.id = p_vault AND v.destroyed_at IS NULL FOR NO KEY UPDATE;
    IF v_vault.id IS NULL OR hushtag_held_key(p_user, p_session_id, v_tag, p_vault) IS NULL THEN
        RETURN hushtag_not_held(p_user, p_session_id);
    END IF;
    -- The vault is held, so what its objects are now they stay. Each is looked up by itself, as for a put of several.
    SELECT array_agg(b.revision ORDER BY o.place), array_agg(b.stream_id) FILTER (WHERE b.stream_id IS NOT NULL)
    INTO v_revisions, v_streams
    FROM unnest(p_objects) WITH ORDINALITY o (id, place)
    LEFT JOIN LATERAL (
        SELECT v.revision, v.stream_id FROM vault_blobs v
        WHERE v.user_id = p_user AND v.vault_id = p_vault AND v.object_id = o.id OFFSET 0) b ON true;
    IF array_position(v_revisions, NULL) IS NOT NULL THEN
        RETURN 'not_found';
    END IF;
    IF v_revisions <> p_revisions THEN
        RETURN 'revision_conflict';
    END IF;
    IF v_vault.generation <> p_generation - 1 THEN
        RETURN 'generation_conflict';
    END IF;
    FOREACH v_object IN ARRAY p_objects LOOP
        DELETE FROM vault_blobs b WHERE b.user_id = p_user AND b.vault_id = p_vault AND b.object_id = v_object;
    END LOOP;
    FOREACH v_stream IN ARRAY coalesce(v_streams, '{}') LOOP
        UPDATE vault_streams s SET state = 'ended', object_id = NULL
        WHERE s.user_id = p_user AND s.vault_id = p_vault AND s.id = v_stream;
    END LOOP;
    UPDATE vaults v SET generation = p_generation, head = p_head, object_count = v.object_count - cardinality(p_objects)
    WHERE v.user_id = p_user AND v.id = p_vault;
    RETURN CASE WHEN v_streams IS NOT NULL THEN 'deleted_streams' ELSE 'deleted' END;
END $$;

REVOKE ALL ON FUNCTION hushtag_delete_objects FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hushtag_delete_objects TO hushtag_server;
