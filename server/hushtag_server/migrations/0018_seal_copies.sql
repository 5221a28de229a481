-- depends: 0017_streams
-- When the one copy of the seals was last replaced: one row, so that doctor and monitors can say how far deletions have
-- reached the backups.
CREATE TABLE seal_copies (
    id boolean NOT NULL DEFAULT true,
    seals bigint NOT NULL,
    taken_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT seal_copies_pkey PRIMARY KEY (id),
    CONSTRAINT seal_copies_one_row CHECK (id),
    CONSTRAINT seal_copies_seals_range CHECK (seals >= 0)
);

CREATE TRIGGER seal_copies_touch BEFORE UPDATE ON seal_copies FOR EACH ROW EXECUTE FUNCTION hushtag_touch();
GRANT SELECT ON seal_copies TO hushtag_server, hushtag_monitor;
DO $$ BEGIN PERFORM hushtag_admit_maintainer(); END $$;
