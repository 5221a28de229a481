-- The extensions stay: they may serve others in this database, and hold nothing.
DROP FUNCTION hushtag_journal_json;
DROP TABLE journal_words, journal_tags, tags, journals;
DROP FUNCTION hushtag_reindex_journals, hushtag_purge_journals, hushtag_search_journals, hushtag_rank,
    hushtag_excerpt, hushtag_snippet, hushtag_marked, hushtag_any_word, hushtag_search_text,
    hushtag_update_journal, hushtag_create_journals, hushtag_create_journal, hushtag_list_journals,
    hushtag_get_journal, hushtag_journal_filter, hushtag_renew_tagged, hushtag_set_tags, hushtag_name_tags,
    hushtag_journal_bodies, hushtag_current_search, hushtag_index_journal, hushtag_words, hushtag_user_word,
    hushtag_plain_text, hushtag_plain_signs, hushtag_count_words, hushtag_today, hushtag_language;
DO $$
DECLARE
    v_name text;
BEGIN
    FOR v_name IN
        SELECT c.cfgname FROM pg_ts_config c
        WHERE c.cfgnamespace = current_schema()::regnamespace AND starts_with(c.cfgname, 'hushtag_')
    LOOP
        EXECUTE format('DROP TEXT SEARCH CONFIGURATION %I', v_name);
    END LOOP;
END $$;
