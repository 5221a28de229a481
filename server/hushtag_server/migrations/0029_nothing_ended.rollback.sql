CREATE OR REPLACE FUNCTION hushtag_forget_ended(p_user uuid) RETURNS void LANGUAGE sql AS $$
    DELETE FROM opaque_sessions o WHERE o.user_id = p_user AND o.session_id = ANY (ARRAY(
        SELECT e.session_id FROM opaque_sessions e WHERE e.user_id = p_user AND e.expires_at <= now()
        ORDER BY e.expires_at LIMIT 100 FOR UPDATE SKIP LOCKED
    ))
$$;
