-- depends: 0024_listed_rows
-- As in 0012, but a time stays as long as there is a guess that it is of: two enrolments within an unlock took both times
-- away from a guess that was counted, and an answer that counts one without a time is none.
CREATE OR REPLACE FUNCTION hushtag_count_enrolment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE unlock_budget b
    SET failures = b.failures - 1, failed_at = coalesce(b.failed_before_at, b.failed_at), failed_before_at = NULL
    WHERE b.user_id = NEW.user_id AND b.failures > 0;
    RETURN NULL;
END $$;
