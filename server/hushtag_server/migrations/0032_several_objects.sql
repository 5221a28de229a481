-- depends: 0031_vault_session_limit
-- Several objects in one change: small ones, each row whole in its message.

-- As `hushtag_put_object`, for revisions of different objects under one new head, all of them or none. A row is
-- iv(12) || ciphertext || auth_tag(16), and none is the descriptor of a stream: those that the objects had before end,
-- which the outcome `stored_streams` tells.
CREATE FUNCTION hushtag_put_objects(
        p_user uuid, p_session_id text, p_idle interval, p_touch interval, p_vault uuid, p_key_version integer,
        p_generation bigint, p_head bytea, p_max_objects bigint, p_objects uuid[], p_revisions bigint[],
        p_rows bytea[], p_digests bytea[])
    RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_tag uuid := hushtag_vault_session(p_user, p_session_id, p_idle, p_touch);
    v_key uuid;
    v_vault vaults%ROWTYPE;
    v_before bigint[];
    v_streams uuid[];
    v_stream uuid;
    v_new bigint;
    v_encoded bytea;
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
    -- The vault is held, so what its objects are now they stay. One look-up for each object: of a vault's size the
    -- planner knows nothing, and would rather read all of it (OFFSET 0 keeps it from that).
    SELECT array_agg(coalesce(b.revision, 0) ORDER BY o.place),
        array_agg(b.stream_id) FILTER (WHERE b.stream_id IS NOT NULL)
    INTO v_before, v_streams
    FROM unnest(p_objects) WITH ORDINALITY o (id, place)
    LEFT JOIN LATERAL (
        SELECT v.revision, v.stream_id FROM vault_blobs v
        WHERE v.user_id = p_user AND v.vault_id = p_vault AND v.object_id = o.id OFFSET 0) b ON true;
    IF EXISTS (SELECT FROM unnest(v_before, p_revisions) r (before, revision) WHERE r.before <> r.revision - 1) THEN
        RETURN 'revision_conflict';
    END IF;
    IF v_vault.generation <> p_generation - 1 OR v_vault.key_version <> p_key_version THEN
        RETURN 'generation_conflict';
    END IF;
    v_new := (SELECT count(*) FROM unnest(p_revisions) r (revision) WHERE r.revision = 1);
    IF v_new > 0 AND v_vault.object_count + v_new > p_max_objects THEN
        RETURN 'limit_reached';
    END IF;
    FOR i IN 1 .. cardinality(p_objects) LOOP
        CONTINUE WHEN p_revisions[i] = 1;
        v_encoded := p_rows[i];
        UPDATE vault_blobs b
        SET wrapped_key_id = v_key, iv = substring(v_encoded FROM 1 FOR 12),
            ciphertext = substring(v_encoded FROM 13 FOR octet_length(v_encoded) - 28),
            auth_tag = substring(v_encoded FROM octet_length(v_encoded) - 15),
            content_size = octet_length(v_encoded) - 60, key_version = p_key_version, revision = p_revisions[i],
            row_digest = p_digests[i], stream_id = NULL
        WHERE b.user_id = p_user AND b.vault_id = p_vault AND b.object_id = p_objects[i];
    END LOOP;
    INSERT INTO vault_blobs (user_id, vault_id, object_id, wrapped_key_id, iv, ciphertext, auth_tag, content_size,
        key_version, revision, row_digest)
    SELECT p_user, p_vault, o.id, v_key, substring(o.encoded FROM 1 FOR 12),
        substring(o.encoded FROM 13 FOR octet_length(o.encoded) - 28), substring(o.encoded FROM octet_length(o.encoded) - 15),
        octet_length(o.encoded) - 60, p_key_version, o.revision, o.digest
    FROM unnest(p_objects, p_revisions, p_rows, p_digests) o (id, revision, encoded, digest)
    WHERE o.revision = 1;
    FOREACH v_stream IN ARRAY coalesce(v_streams, '{}') LOOP
        UPDATE vault_streams s SET state = 'ended', object_id = NULL
        WHERE s.user_id = p_user AND s.vault_id = p_vault AND s.id = v_stream;
    END LOOP;
    UPDATE vaults v SET generation = p_generation, head = p_head, object_count = v.object_count + v_new
    WHERE v.user_id = p_user AND v.id = p_vault;
    RETURN CASE WHEN v_streams IS NOT NULL THEN 'stored_streams' ELSE 'stored' END;
END $$;

REVOKE ALL ON FUNCTION hushtag_put_objects FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hushtag_put_objects TO hushtag_server;
