-- The roles stay: they belong to the cluster, and other databases may use them.
DO $$
DECLARE
    v_policy record;
BEGIN
    FOR v_policy IN
        SELECT p.polname, p.polrelid::regclass AS table_name FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
        WHERE p.polname = c.relname || '_maintained' AND c.relnamespace = current_schema()::regnamespace
    LOOP
        EXECUTE format('DROP POLICY %I ON %s', v_policy.polname, v_policy.table_name);
    END LOOP;
    EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM hushtag_maintainer, hushtag_monitor', current_schema());
    EXECUTE format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA %I FROM hushtag_maintainer', current_schema());
END $$;
DROP VIEW monitoring_indexes, monitoring_tables, monitoring_sizes, monitoring_connections, monitoring_slow_statements,
    monitoring_summary;
REVOKE EXECUTE ON FUNCTION hushtag_current_search FROM hushtag_maintainer;
DROP FUNCTION hushtag_database_state;
DROP FUNCTION hushtag_slow_statements;
DROP FUNCTION hushtag_open_audit_month;
DROP FUNCTION hushtag_admit_maintainer;
DROP TABLE backups;
