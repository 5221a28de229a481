CREATE OR REPLACE FUNCTION hushtag_count_enrolment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE unlock_budget b
    SET failures = b.failures - 1, failed_at = b.failed_before_at, failed_before_at = NULL
    WHERE b.user_id = NEW.user_id AND b.failures > 0;
    RETURN NULL;
END $$;
