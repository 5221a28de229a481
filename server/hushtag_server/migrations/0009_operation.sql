-- depends: 0008_transfers
-- Running a server: who may see everybody's rows to keep the tables and to back them up, when the last backup was made,
-- audit partitions by month, and what a monitor may read.

-- The owner of the tables is bound by row-level security like everybody. What has to see all rows (maintenance, backup)
-- steps into this role, for as long as it needs to. Roles belong to the cluster: another database may make them too.
DO $$
DECLARE
    v_role text;
    v_may text := CASE WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER' END;
BEGIN
    FOREACH v_role IN ARRAY ARRAY['hushtag_maintainer', 'hushtag_monitor'] LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = v_role) THEN
                EXECUTE format('CREATE ROLE %I NOLOGIN NOBYPASSRLS', v_role);
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL; -- another database made it at this moment
        END;
    END LOOP;
    -- From version 16 on, making a role gives the right to grant it, and not yet the one to step into it.
    IF NOT pg_has_role(current_user, 'hushtag_maintainer', v_may) THEN
        EXECUTE 'GRANT hushtag_maintainer TO CURRENT_USER';
    END IF;
END $$;

CREATE TABLE backups (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    version varchar(50) NOT NULL,
    bytes bigint NOT NULL,
    row_count bigint NOT NULL,
    started_at timestamptz NOT NULL,
    finished_at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT backups_pkey PRIMARY KEY (id),
    CONSTRAINT backups_version_length CHECK (length(version) >= 1),
    CONSTRAINT backups_bytes_range CHECK (bytes > 0),
    CONSTRAINT backups_row_count_range CHECK (row_count >= 0),
    CONSTRAINT backups_finished_after_start CHECK (finished_at >= started_at)
);

CREATE INDEX backups_finished_at_idx ON backups (finished_at);
CREATE TRIGGER backups_touch BEFORE UPDATE ON backups FOR EACH ROW EXECUTE FUNCTION hushtag_touch();

-- Lets the maintainer read every table of this schema, as far as it may not yet; every later migration that makes a
-- table calls it at its end. The policy asks for the role of the moment: a member that has not stepped into it, as the
-- owner is, sees nothing by it. It is a policy of that role alone, so it is no part of the server's queries.
CREATE FUNCTION hushtag_admit_maintainer() RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_table record;
    v_made integer := 0;
BEGIN
    FOR v_table IN
        SELECT c.oid, c.relname, c.relrowsecurity FROM pg_class c
        WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
          AND c.relname NOT LIKE '%yoyo%' -- the table of migrations, which `migrate` looks after
        ORDER BY c.relname
    LOOP
        EXECUTE format('GRANT SELECT ON %s TO hushtag_maintainer', v_table.oid::regclass);
        IF v_table.relrowsecurity AND NOT EXISTS (
            SELECT FROM pg_policy p WHERE p.polrelid = v_table.oid AND p.polname = v_table.relname || '_maintained'
        ) THEN
            EXECUTE format('CREATE POLICY %I ON %s TO hushtag_maintainer USING (current_user = %L)',
                v_table.relname || '_maintained', v_table.oid::regclass, 'hushtag_maintainer');
            v_made := v_made + 1;
        END IF;
    END LOOP;
    EXECUTE format('GRANT SELECT ON ALL SEQUENCES IN SCHEMA %I TO hushtag_maintainer', current_schema());
    RETURN v_made;
END $$;

-- Makes the audit partition of one month if it is missing. Rows of that month that lie in the default partition already
-- are moved into it: while they are there, PostgreSQL refuses the partition.
CREATE FUNCTION hushtag_open_audit_month(p_month timestamptz) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_month timestamp := date_trunc('month', p_month AT TIME ZONE 'UTC');
    v_from timestamptz := v_month AT TIME ZONE 'UTC';
    v_to timestamptz := (v_month + interval '1 month') AT TIME ZONE 'UTC';
    v_name text := 'audit_logs_' || to_char(v_month, 'YYYY_MM');
BEGIN
    IF to_regclass(v_name) IS NOT NULL THEN
        RETURN false;
    END IF;
    -- Nobody may add a row of this month to the default partition while they are moved.
    LOCK TABLE ONLY audit_logs IN SHARE UPDATE EXCLUSIVE MODE;
    LOCK TABLE audit_logs_default IN ACCESS EXCLUSIVE MODE;
    EXECUTE format('CREATE TABLE %I (LIKE audit_logs)', v_name || '_moved');
    EXECUTE format('WITH moved AS (DELETE FROM audit_logs_default WHERE created_at >= $1 AND created_at < $2 RETURNING *)'
        ' INSERT INTO %I SELECT * FROM moved', v_name || '_moved') USING v_from, v_to;
    -- Made empty and filled then: attaching a filled table would look for its users under their row-level security.
    EXECUTE format('CREATE TABLE %I PARTITION OF audit_logs FOR VALUES FROM (%L) TO (%L)', v_name, v_from, v_to);
    EXECUTE format('INSERT INTO %I SELECT * FROM %I', v_name, v_name || '_moved');
    EXECUTE format('DROP TABLE %I', v_name || '_moved');
    EXECUTE format('GRANT SELECT ON %I TO hushtag_maintainer', v_name);
    RETURN true;
END $$;

-- The slowest statements of the server's own roles; nothing where pg_stat_statements is not there or not loaded. Their
-- texts hold parameters, no values: that extension replaces the constants of these four kinds of statements.
CREATE FUNCTION hushtag_slow_statements(p_mean_ms double precision, p_most integer)
    RETURNS TABLE (queryid bigint, calls bigint, mean_ms double precision, total_ms double precision, statement text)
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF to_regclass('pg_stat_statements') IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY EXECUTE
        'SELECT s.queryid, s.calls, s.mean_exec_time, s.total_exec_time, left(s.query, 500)'
        ' FROM pg_stat_statements s JOIN pg_roles r ON r.oid = s.userid'
        ' WHERE s.dbid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())'
        ' AND NOT r.rolsuper AND pg_has_role(r.oid, ''hushtag_server'', ''MEMBER'')'
        ' AND s.query ~* ''^\s*(select|insert|update|delete|with)\M'' AND s.mean_exec_time > $1'
        ' ORDER BY s.mean_exec_time DESC LIMIT $2' USING p_mean_ms, p_most;
EXCEPTION WHEN object_not_in_prerequisite_state OR insufficient_privilege THEN
    RETURN;
END $$;

-- What the alerts ask, in one cheap call. NULL is unknown: no backup yet, no replica, no pg_stat_statements. The lag of
-- replicas and the texts of statements are seen by members of pg_monitor only.
CREATE FUNCTION hushtag_database_state(
        OUT connections bigint, OUT max_connections integer, OUT database_bytes bigint, OUT backup_age double precision,
        OUT replicas bigint, OUT replication_lag double precision, OUT statement_seconds double precision)
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    SELECT sum(d.numbackends) INTO connections FROM pg_stat_database d;
    max_connections := current_setting('max_connections')::integer;
    database_bytes := pg_database_size(current_database());
    SELECT extract(epoch FROM clock_timestamp() - max(b.finished_at)) INTO backup_age FROM backups b
    WHERE b.finished_at <= clock_timestamp();  -- a clock that was ahead would hide for as long that no more are made
    IF pg_is_in_recovery() THEN
        replication_lag := CASE WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
            ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END;
    ELSE
        -- A replica that has nothing to replay has no lag; one whose figures are hidden has no state either.
        SELECT count(*), max(CASE WHEN r.state IS NOT NULL THEN coalesce(extract(epoch FROM r.replay_lag), 0) END)
        INTO replicas, replication_lag FROM pg_stat_replication r;
    END IF;
    IF to_regclass('pg_stat_statements') IS NOT NULL THEN
        BEGIN
            EXECUTE 'SELECT sum(s.total_exec_time) / nullif(sum(s.calls), 0) / 1000 FROM pg_stat_statements(false) s'
                ' JOIN pg_roles r ON r.oid = s.userid'
                ' WHERE s.dbid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())'
                ' AND NOT r.rolsuper AND pg_has_role(r.oid, ''hushtag_server'', ''MEMBER'')' INTO statement_seconds;
        EXCEPTION WHEN object_not_in_prerequisite_state OR insufficient_privilege OR undefined_function THEN
            NULL;
        END;
    END IF;
END $$;

-- Figures about tables; not one row of anybody.
CREATE VIEW monitoring_summary AS SELECT s.* FROM hushtag_database_state() s;
CREATE VIEW monitoring_slow_statements AS SELECT s.* FROM hushtag_slow_statements(100, 50) s;
CREATE VIEW monitoring_connections AS
    SELECT coalesce(a.state, 'not shown') AS state, count(*) AS connections, max(clock_timestamp() - a.state_change) AS longest
    FROM pg_stat_activity a WHERE a.datname = current_database() GROUP BY 1;
CREATE VIEW monitoring_sizes AS
    SELECT c.relname::text AS table_name, pg_table_size(c.oid) AS table_bytes, pg_indexes_size(c.oid) AS index_bytes,
        pg_total_relation_size(c.oid) AS total_bytes, greatest(c.reltuples, 0)::bigint AS estimated_rows
    FROM pg_class c
    WHERE c.relkind = 'r' AND c.relnamespace = (SELECT b.relnamespace FROM pg_class b WHERE b.oid = 'backups'::regclass);
CREATE VIEW monitoring_tables AS
    SELECT s.relname::text AS table_name, s.seq_scan, s.idx_scan, s.n_tup_ins, s.n_tup_upd, s.n_tup_del, s.n_live_tup,
        s.n_dead_tup, s.last_vacuum, s.last_autovacuum, s.last_analyze, s.last_autoanalyze
    FROM pg_stat_user_tables s;
CREATE VIEW monitoring_indexes AS
    SELECT s.relname::text AS table_name, s.indexrelname::text AS index_name, s.idx_scan, s.idx_tup_read,
        s.idx_tup_fetch, pg_relation_size(s.indexrelid) AS index_bytes, i.indisunique AS is_unique
    FROM pg_stat_user_indexes s JOIN pg_index i ON i.indexrelid = s.indexrelid;

GRANT SELECT ON backups TO hushtag_server, hushtag_monitor;
GRANT SELECT ON monitoring_summary, monitoring_slow_statements, monitoring_connections, monitoring_sizes,
    monitoring_tables, monitoring_indexes TO hushtag_monitor;
REVOKE ALL ON FUNCTION hushtag_admit_maintainer, hushtag_open_audit_month, hushtag_slow_statements,
    hushtag_database_state FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hushtag_slow_statements, hushtag_database_state TO hushtag_monitor;
GRANT EXECUTE ON FUNCTION hushtag_database_state TO hushtag_server;

-- The policy of journal_words asks this whoever reads it.
GRANT EXECUTE ON FUNCTION hushtag_current_search TO hushtag_maintainer;
-- What maintenance removes itself; everything else it leaves to functions that act as the user of the rows.
GRANT DELETE ON user_sessions, opaque_sessions, login_attempts, security_audit_logs TO hushtag_maintainer;
DO $$ BEGIN PERFORM hushtag_admit_maintainer(); END $$;
