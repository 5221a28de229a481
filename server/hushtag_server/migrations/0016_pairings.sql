-- depends: 0015_duress
-- The mailbox of pairings: three messages between two sessions of an account, each kept until it is read, all of them for
-- five minutes at the most. The server cannot read them (SPAKE2), nor does anything here depend on secret tags.

-- A row stays until its time is over, whatever was read of it: its place is what bounds how often anybody may begin.
CREATE TABLE pairings (
    user_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    place smallint NOT NULL,
    offering_session_id uuid NOT NULL,
    accepting_session_id uuid,
    offer varchar(256),
    answer varchar(256),
    delivery varchar(256),
    delivered boolean NOT NULL DEFAULT false,
    expires_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pairings_pkey PRIMARY KEY (user_id, id),
    CONSTRAINT pairings_place_key UNIQUE (user_id, place),
    CONSTRAINT pairings_place_range CHECK (place >= 1 AND place <= 4)
);

-- A step that distributes the tables by user_id fits here; the references follow.

ALTER TABLE pairings ADD CONSTRAINT pairings_offering_fkey
    FOREIGN KEY (user_id, offering_session_id) REFERENCES user_sessions (user_id, id) ON DELETE CASCADE;
ALTER TABLE pairings ADD CONSTRAINT pairings_accepting_fkey
    FOREIGN KEY (user_id, accepting_session_id) REFERENCES user_sessions (user_id, id) ON DELETE CASCADE;

CREATE INDEX pairings_offering_idx ON pairings (user_id, offering_session_id);
CREATE INDEX pairings_accepting_idx ON pairings (user_id, accepting_session_id);

CREATE TRIGGER pairings_touch BEFORE UPDATE ON pairings FOR EACH ROW EXECUTE FUNCTION hushtag_touch();

ALTER TABLE pairings ENABLE ROW LEVEL SECURITY;
ALTER TABLE pairings FORCE ROW LEVEL SECURITY;
CREATE POLICY pairings_own ON pairings
    USING (user_id = hushtag_current_user()) WITH CHECK (user_id = hushtag_current_user());

GRANT SELECT, INSERT, UPDATE, DELETE ON pairings TO hushtag_server;
GRANT DELETE ON pairings TO hushtag_maintainer;
DO $$ BEGIN PERFORM hushtag_admit_maintainer(); END $$;
