-- depends: 0019_even_starts
-- What has expired is found at the low end of its index. Before, every ceremony read all rows of the user, those of the
-- last minutes that were taken already too, so that each was slower than the one before.
CREATE OR REPLACE FUNCTION hushtag_forget_ended(p_user uuid) RETURNS void LANGUAGE sql AS $$
    DELETE FROM opaque_sessions o WHERE o.user_id = p_user AND o.session_id = ANY (ARRAY(
        SELECT e.session_id FROM opaque_sessions e WHERE e.user_id = p_user AND e.expires_at <= now()
        ORDER BY e.expires_at LIMIT 100 FOR UPDATE SKIP LOCKED
    ))
$$;
