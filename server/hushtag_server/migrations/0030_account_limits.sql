-- depends: 0029_nothing_ended
-- How many entries and reminders an account may have. The server says it where it connects (app.most_…); who says
-- nothing, as an owner or a restoration, is not held to anything.

-- Going through a million entries for each new one would cost more than all else of it. So it is looked now and then:
-- every time where there may be at most a thousand, and otherwise about a thousand times while that many come.
CREATE FUNCTION hushtag_limit_journals() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_most bigint := nullif(current_setting('app.most_journals', true), '');
BEGIN
    IF random() * v_most < 1000 AND EXISTS (
            SELECT FROM journals j WHERE j.user_id = hushtag_current_user() OFFSET v_most) THEN
        RAISE EXCEPTION 'more entries than an account may have' USING
            ERRCODE = 'check_violation', CONSTRAINT = 'journals_most', DETAIL = v_most;
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION hushtag_limit_reminders() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_most bigint := nullif(current_setting('app.most_reminders', true), '');
BEGIN
    IF v_most IS NOT NULL AND EXISTS (
            SELECT FROM reminders r WHERE r.user_id = hushtag_current_user() OFFSET v_most) THEN
        RAISE EXCEPTION 'more reminders than an account may have' USING
            ERRCODE = 'check_violation', CONSTRAINT = 'reminders_most', DETAIL = v_most;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER journals_most AFTER INSERT ON journals FOR EACH STATEMENT EXECUTE FUNCTION hushtag_limit_journals();
CREATE TRIGGER reminders_most AFTER INSERT ON reminders FOR EACH STATEMENT EXECUTE FUNCTION hushtag_limit_reminders();

REVOKE ALL ON FUNCTION hushtag_limit_journals, hushtag_limit_reminders FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hushtag_limit_journals, hushtag_limit_reminders TO hushtag_server;
