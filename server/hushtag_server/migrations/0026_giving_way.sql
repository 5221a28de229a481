-- depends: 0025_last_failures
-- As in 0017, but where as many uploads are under way as there may be, the one that was idle longest gives its place to a
-- new one: a device that lost its power cannot give up what it began, and after sixteen of those a vault took no large
-- object for a day. Three hours: the largest segment at the least rate of a body, which is activity at its ends alone.
CREATE OR REPLACE FUNCTION hushtag_begin_segment(
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
            UPDATE vault_streams s SET state = 'ended'
            WHERE s.user_id = p_user AND s.vault_id = p_vault AND s.id = (
                SELECT o.id FROM vault_streams o WHERE o.user_id = p_user AND o.vault_id = p_vault
                  AND o.state = 'uploading' AND o.last_activity < now() - least(p_age, '3 hours')
                ORDER BY o.last_activity, o.id LIMIT 1);
            IF NOT FOUND THEN
                outcome := 'limit_reached';
                RETURN;
            END IF;
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
