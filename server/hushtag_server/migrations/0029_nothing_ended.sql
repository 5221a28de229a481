-- depends: 0028_steps_together
-- As in 0020, but nothing is deleted where nothing has expired, which is nearly always: the planner would rather read all
-- of the user's rows, those of the last minutes that were taken already too, than look up the few that were found.
CREATE OR REPLACE FUNCTION hushtag_forget_ended(p_user uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM opaque_sessions e WHERE e.user_id = p_user AND e.expires_at <= now()) THEN
        DELETE FROM opaque_sessions o WHERE o.user_id = p_user AND o.session_id = ANY (ARRAY(
            SELECT e.session_id FROM opaque_sessions e WHERE e.user_id = p_user AND e.expires_at <= now()
            ORDER BY e.expires_at LIMIT 100 FOR UPDATE SKIP LOCKED
        ));
    END IF;
END $$;
