-- depends: 0029_nothing_ended
-- How many entries and reminders an account may have. The server says it where it connects (app.most_journals and
-- app.most_reminders); who says nothing, as an owner or a restoration, is not held to anything.

-- Going through a million rows for each new one would cost more than all else of it. So it is looked now and then: every
-- time where there may be at most a thousand, and otherwise about a thousand times while that many come.
CREATE FUNCTION hushtag_hold_to_limit() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_most bigint := nullif(current_setting('app.most_' || TG_TABLE_NAME, true), '');
    v_more boolean;
BEGIN
    IF random() * v_most < 1000 THEN
        EXECUTE format(
            'SELECT EXISTS (SELECT FROM %I t WHERE t.user_id = hushtag_current_user() OFFSET $1)', TG_TABLE_NAME
        ) INTO v_more USING v_most;
        IF v_more THEN
            RAISE EXCEPTION 'more % than an account may have', TG_TABLE_NAME USING
                ERRCODE = 'check_violation', CONSTRAINT = TG_TABLE_NAME || '_most', DETAIL = v_most;
        END IF;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER journals_most AFTER INSERT ON journals FOR EACH STATEMENT EXECUTE FUNCTION hushtag_hold_to_limit();
CREATE TRIGGER reminders_most AFTER INSERT ON reminders FOR EACH STATEMENT EXECUTE FUNCTION hushtag_hold_to_limit();

REVOKE ALL ON FUNCTION hushtag_hold_to_limit FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hushtag_hold_to_limit TO hushtag_server;
