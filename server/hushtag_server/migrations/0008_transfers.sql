-- depends: 0007_journals
-- Exports and imports under way: one of each kind and user at a time, at whatever worker.

-- A lease: who holds it renews `until`, and a transfer whose worker was killed ends with it.
CREATE TABLE transfers (
    user_id uuid NOT NULL,
    kind varchar(10) NOT NULL,
    lease_id uuid NOT NULL,
    until timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT transfers_pkey PRIMARY KEY (user_id, kind),
    CONSTRAINT transfers_kind_known CHECK (kind IN ('export', 'import'))
);

-- A step that distributes the tables by user_id fits here; the references follow.

ALTER TABLE transfers ADD CONSTRAINT transfers_user_fkey
    FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE;

CREATE TRIGGER transfers_touch BEFORE UPDATE ON transfers FOR EACH ROW EXECUTE FUNCTION hushtag_touch();
-- Whoever takes everything along shows in the trail; a renewed lease does not.
CREATE TRIGGER transfers_audit AFTER INSERT OR UPDATE OR DELETE ON transfers
    FOR EACH ROW EXECUTE FUNCTION hushtag_audit('lease_id,until');

ALTER TABLE transfers ENABLE ROW LEVEL SECURITY;
ALTER TABLE transfers FORCE ROW LEVEL SECURITY;
CREATE POLICY transfers_own ON transfers
    USING (user_id = hushtag_current_user()) WITH CHECK (user_id = hushtag_current_user());

GRANT SELECT, INSERT, UPDATE, DELETE ON transfers TO hushtag_server;
