-- As in 0022.
DROP FUNCTION hushtag_list_objects;
CREATE FUNCTION hushtag_list_objects(
        p_user uuid, p_session_id text, p_idle interval, p_touch interval, p_vault uuid, p_after uuid, p_limit integer)
    RETURNS TABLE (tag_id uuid, generation bigint, object_id uuid, revision bigint, key_version integer,
        content_size integer, row_digest bytea, created_at timestamptz, updated_at timestamptz, stream_id uuid)
    LANGUAGE plpgsql AS $$
DECLARE
    v_tag uuid := hushtag_vault_session(p_user, p_session_id, p_idle, p_touch);
    v_first uuid := coalesce(p_after, '00000000-0000-0000-0000-000000000000');
BEGIN
    tag_id := v_tag;
    IF v_tag IS NULL OR hushtag_key_of(p_user, v_tag, p_vault) IS NULL THEN
        RETURN NEXT;
        RETURN;
    END IF;
    -- One query, so one snapshot: the page is of exactly the generation it names. The range begins where the index can
    -- be asked for it, whatever plan is kept; the object that the last page ended with is left out.
    RETURN QUERY
        SELECT v_tag, v.generation, b.object_id, b.revision, b.key_version, b.content_size, b.row_digest,
            b.created_at, b.updated_at, b.stream_id
        FROM vaults v LEFT JOIN LATERAL (
            SELECT * FROM vault_blobs o
            WHERE o.user_id = v.user_id AND o.vault_id = v.id AND o.object_id >= v_first
                AND o.object_id IS DISTINCT FROM p_after
            ORDER BY o.object_id LIMIT p_limit
        ) b ON true
        WHERE v.user_id = p_user AND v.id = p_vault
        ORDER BY b.object_id;
    IF NOT FOUND THEN -- the vault went between the two
        RETURN NEXT;
    END IF;
END $$;

REVOKE ALL ON FUNCTION hushtag_list_objects FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hushtag_list_objects TO hushtag_server;
