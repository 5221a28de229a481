-- depends: 0005_accounts
-- Reminders, which session has been told of which, and the secret address of a user's calendar feed.

-- A repeating reminder is one occurrence of its series. `occurrence_time` is the wall clock in `time_zone` that the
-- rule gave, before daylight saving moved it; `series_start` is that of the first. `follows` is the reminder whose
-- completion made this one; it is no reference, because that one may be deleted and this one stays.
CREATE TABLE reminders (
    user_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    title varchar(255) NOT NULL,
    description text,
    reminder_time timestamptz NOT NULL,
    snoozed_until timestamptz,
    due_at timestamptz NOT NULL GENERATED ALWAYS AS (coalesce(snoozed_until, reminder_time)) STORED,
    is_completed boolean NOT NULL DEFAULT false,
    completed_at timestamptz,
    priority integer NOT NULL DEFAULT 2,
    repeat_pattern varchar(500),
    time_zone varchar(64) NOT NULL,
    series_id uuid NOT NULL,
    series_start timestamp NOT NULL,
    occurrence_time timestamp NOT NULL,
    occurrence_number integer NOT NULL DEFAULT 1,
    follows uuid,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT reminders_pkey PRIMARY KEY (user_id, id),
    -- However many complete one reminder at once: one successor.
    CONSTRAINT reminders_follows_key UNIQUE (user_id, follows),
    CONSTRAINT reminders_title_length CHECK (length(title) >= 1),
    CONSTRAINT reminders_description_length CHECK (length(description) <= 10000),
    CONSTRAINT reminders_completion_logic CHECK (is_completed = (completed_at IS NOT NULL)),
    CONSTRAINT reminders_priority_range CHECK (priority BETWEEN 1 AND 5),
    CONSTRAINT reminders_repeat_pattern_length CHECK (length(repeat_pattern) >= 1),
    CONSTRAINT reminders_time_zone_length CHECK (length(time_zone) >= 1),
    CONSTRAINT reminders_occurrence_number_positive CHECK (occurrence_number >= 1),
    CONSTRAINT reminders_occurrence_in_series CHECK (occurrence_time >= series_start),
    CONSTRAINT reminders_version_positive CHECK (version >= 1)
);

CREATE INDEX reminders_user_due_idx ON reminders (user_id, due_at, id);
CREATE INDEX reminders_user_open_idx ON reminders (user_id, due_at, id) WHERE NOT is_completed;

-- Written before the event is sent. A snoozed reminder becomes due again, so the time belongs to the key.
CREATE TABLE reminder_deliveries (
    user_id uuid NOT NULL,
    session_id uuid NOT NULL,
    reminder_id uuid NOT NULL,
    due_at timestamptz NOT NULL,
    position bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT reminder_deliveries_pkey PRIMARY KEY (user_id, session_id, reminder_id, due_at),
    CONSTRAINT reminder_deliveries_position_key UNIQUE (user_id, session_id, position),
    CONSTRAINT reminder_deliveries_position_positive CHECK (position >= 1)
);

CREATE INDEX reminder_deliveries_reminder_idx ON reminder_deliveries (user_id, reminder_id);

CREATE TABLE reminder_feeds (
    user_id uuid NOT NULL,
    secret_hash bytea NOT NULL,
    last_used timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT reminder_feeds_pkey PRIMARY KEY (user_id),
    CONSTRAINT reminder_feeds_secret_hash_length CHECK (octet_length(secret_hash) = 32)
);

-- Wakes the event streams of the user at every worker; the payload is the user's id and nothing else.
CREATE FUNCTION hushtag_ring_reminders() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('hushtag_reminders', NEW.user_id::text);
    RETURN NULL;
END $$;

-- A step that distributes the tables by user_id fits here; the references follow.

ALTER TABLE reminders ADD CONSTRAINT reminders_user_fkey
    FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE;
ALTER TABLE reminder_deliveries ADD CONSTRAINT reminder_deliveries_session_fkey
    FOREIGN KEY (user_id, session_id) REFERENCES user_sessions (user_id, id) ON DELETE CASCADE;
ALTER TABLE reminder_deliveries ADD CONSTRAINT reminder_deliveries_reminder_fkey
    FOREIGN KEY (user_id, reminder_id) REFERENCES reminders (user_id, id) ON DELETE CASCADE;
ALTER TABLE reminder_feeds ADD CONSTRAINT reminder_feeds_user_fkey
    FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE;

CREATE TRIGGER reminders_touch BEFORE UPDATE ON reminders FOR EACH ROW EXECUTE FUNCTION hushtag_touch();
CREATE TRIGGER reminder_deliveries_touch BEFORE UPDATE ON reminder_deliveries
    FOR EACH ROW EXECUTE FUNCTION hushtag_touch();
CREATE TRIGGER reminder_feeds_touch BEFORE UPDATE ON reminder_feeds FOR EACH ROW EXECUTE FUNCTION hushtag_touch();
CREATE TRIGGER reminders_audit AFTER INSERT OR UPDATE OR DELETE ON reminders
    FOR EACH ROW EXECUTE FUNCTION hushtag_audit('due_at', 'description');
CREATE TRIGGER reminder_feeds_audit AFTER INSERT OR UPDATE OR DELETE ON reminder_feeds
    FOR EACH ROW EXECUTE FUNCTION hushtag_audit('secret_hash,last_used');
CREATE TRIGGER reminders_ring AFTER INSERT OR UPDATE OF reminder_time, snoozed_until, is_completed ON reminders
    FOR EACH ROW WHEN (NOT NEW.is_completed) EXECUTE FUNCTION hushtag_ring_reminders();

ALTER TABLE reminders ENABLE ROW LEVEL SECURITY;
ALTER TABLE reminders FORCE ROW LEVEL SECURITY;
ALTER TABLE reminder_deliveries ENABLE ROW LEVEL SECURITY;
ALTER TABLE reminder_deliveries FORCE ROW LEVEL SECURITY;
ALTER TABLE reminder_feeds ENABLE ROW LEVEL SECURITY;
ALTER TABLE reminder_feeds FORCE ROW LEVEL SECURITY;
CREATE POLICY reminders_own ON reminders
    USING (user_id = hushtag_current_user()) WITH CHECK (user_id = hushtag_current_user());
CREATE POLICY reminder_deliveries_own ON reminder_deliveries
    USING (user_id = hushtag_current_user()) WITH CHECK (user_id = hushtag_current_user());
CREATE POLICY reminder_feeds_own ON reminder_feeds
    USING (user_id = hushtag_current_user()) WITH CHECK (user_id = hushtag_current_user());

GRANT SELECT, INSERT, UPDATE, DELETE ON reminders, reminder_feeds TO hushtag_server;
-- What has been told is never told otherwise.
GRANT SELECT, INSERT ON reminder_deliveries TO hushtag_server;
REVOKE ALL ON FUNCTION hushtag_ring_reminders FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hushtag_ring_reminders TO hushtag_server;
