-- depends: 0006_reminders
-- Journals, their tags, and the words they are found by.

-- Both are trusted: the owner of the database may make them (migrate says what to run where the owner may not).
CREATE EXTENSION IF NOT EXISTS unaccent;
CREATE EXTENSION IF NOT EXISTS pg_trgm;

-- Every text search configuration of PostgreSQL once more, with accents folded before its own dictionaries. The fold
-- is a dictionary and not a function over the text, so that snippets keep the accents their writer wrote.
DO $$
DECLARE
    v_config record;
BEGIN
    FOR v_config IN
        SELECT c.cfgname AS name, string_agg(DISTINCT d.dictname, ', ') AS dictionary
        FROM pg_ts_config c
        JOIN ts_token_type(c.cfgparser) t ON t.alias = 'word'
        JOIN pg_ts_config_map m ON m.mapcfg = c.oid AND m.maptokentype = t.tokid
        JOIN pg_ts_dict d ON d.oid = m.mapdict
        WHERE c.cfgnamespace = 'pg_catalog'::regnamespace
        GROUP BY c.cfgname HAVING count(*) = 1
    LOOP
        EXECUTE format('CREATE TEXT SEARCH CONFIGURATION %I (COPY = pg_catalog.%I)', 'hushtag_' || v_config.name,
            v_config.name);
        EXECUTE format('ALTER TEXT SEARCH CONFIGURATION %I ALTER MAPPING FOR word, hword, hword_part'
            ' WITH unaccent, pg_catalog.%I', 'hushtag_' || v_config.name, v_config.dictionary);
        EXECUTE format('ALTER TEXT SEARCH CONFIGURATION %I ALTER MAPPING FOR numword, numhword, hword_numpart'
            ' WITH unaccent, pg_catalog.simple', 'hushtag_' || v_config.name);
    END LOOP;
END $$;

-- What Unicode calls white space parts words. replace() looks for one character at the speed of memory, unlike
-- translate(); and a function with a body is not taken apart and read anew by every statement, unlike an expression.
CREATE FUNCTION hushtag_count_words(p_text text) RETURNS integer LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    v_text text := coalesce(p_text, '');
BEGIN
    IF octet_length(v_text) > length(v_text) THEN -- it has signs that are not ASCII
        v_text := replace(replace(replace(replace(replace(v_text,
            E'\u0085', ' '), E'\u00a0', ' '), E'\u1680', ' '), E'\u2000', ' '), E'\u2001', ' ');
        v_text := replace(replace(replace(replace(replace(v_text,
            E'\u2002', ' '), E'\u2003', ' '), E'\u2004', ' '), E'\u2005', ' '), E'\u2006', ' ');
        v_text := replace(replace(replace(replace(replace(v_text,
            E'\u2007', ' '), E'\u2008', ' '), E'\u2009', ' '), E'\u200a', ' '), E'\u2028', ' ');
        v_text := replace(replace(replace(replace(v_text,
            E'\u2029', ' '), E'\u202f', ' '), E'\u205f', ' '), E'\u3000', ' ');
    END IF;
    v_text := replace(replace(replace(replace(replace(v_text, E'\t', ' '), E'\n', ' '), E'\u000b', ' '), E'\f', ' '),
        E'\r', ' ');
    RETURN cardinality(array_remove(string_to_array(v_text, ' '), ''));
END $$;

CREATE TABLE journals (
    user_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    title varchar(500) NOT NULL,
    content text,
    mood_rating smallint,
    is_private boolean NOT NULL DEFAULT false,
    entry_date date NOT NULL,
    word_count integer GENERATED ALWAYS AS (hushtag_count_words(content)) STORED,
    title_order text GENERATED ALWAYS AS (lower(substr(title, 1, 64))) STORED,
    mood_order smallint GENERATED ALWAYS AS (coalesce(mood_rating, 0::smallint)) STORED,
    version integer NOT NULL DEFAULT 1,
    published_at timestamptz,
    deleted_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT journals_pkey PRIMARY KEY (user_id, id),
    CONSTRAINT journals_title_length CHECK (length(title) >= 1),
    CONSTRAINT journals_content_length CHECK (length(content) <= 100000),
    CONSTRAINT journals_mood_rating_range CHECK (mood_rating BETWEEN 1 AND 10),
    CONSTRAINT journals_version_range CHECK (version >= 1)
);

CREATE TABLE tags (
    user_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    name varchar(100) NOT NULL,
    color varchar(7),
    folded text GENERATED ALWAYS AS (lower(name)) STORED,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT tags_pkey PRIMARY KEY (user_id, id),
    CONSTRAINT tags_folded_key UNIQUE (user_id, folded),
    CONSTRAINT tags_name_length CHECK (length(name) >= 1),
    CONSTRAINT tags_color_form CHECK (color ~ '^#[0-9a-f]{6}$')
);

CREATE TABLE journal_tags (
    user_id uuid NOT NULL,
    journal_id uuid NOT NULL,
    tag_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT journal_tags_pkey PRIMARY KEY (user_id, journal_id, tag_id)
);

-- What entries are found by; made of them by a trigger, so the trail does not record it. A table of its own because of
-- how it is guarded (below), and so that an edit of a mood does not write the words again.
-- `language` is the configuration it was made with: a name, as pg_upgrade takes no table with a regconfig in it.
CREATE TABLE journal_words (
    user_id uuid NOT NULL,
    journal_id uuid NOT NULL,
    language varchar(32) NOT NULL,
    words tsvector NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT journal_words_pkey PRIMARY KEY (user_id, journal_id)
);

-- One index for each order of a listing; the first also serves the listing nobody filtered, and searches: it holds what
-- they filter by, in bytes that alignment would waste.
CREATE INDEX journals_entry_date_idx ON journals (user_id, entry_date DESC, id DESC)
    INCLUDE (mood_order, is_private) WHERE deleted_at IS NULL;
CREATE INDEX journals_created_idx ON journals (user_id, created_at DESC, id DESC);
CREATE INDEX journals_updated_idx ON journals (user_id, updated_at DESC, id DESC);
CREATE INDEX journals_title_idx ON journals (user_id, title_order, id);
CREATE INDEX journals_mood_idx ON journals (user_id, mood_order, id);
CREATE INDEX journals_deleted_idx ON journals (user_id, deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX journal_tags_tag_idx ON journal_tags (user_id, tag_id, journal_id);
CREATE INDEX journal_words_words_idx ON journal_words USING gin (words) WITH (gin_pending_list_limit = 1024);

-- The configuration of a user's language, or `simple` where the database has none of that name.
CREATE FUNCTION hushtag_language(p_user uuid) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce((
        SELECT s.language::text FROM user_settings s
        WHERE s.user_id = p_user AND EXISTS (
            SELECT FROM pg_ts_config c
            WHERE c.cfgname = 'hushtag_' || s.language AND pg_ts_config_is_visible(c.oid))
    ), 'simple')
$$;

CREATE FUNCTION hushtag_today(p_user uuid) RETURNS date LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_zone text;
BEGIN
    SELECT s.time_zone INTO v_zone FROM user_settings s WHERE s.user_id = p_user;
    RETURN (now() AT TIME ZONE coalesce(v_zone, 'UTC'))::date;
EXCEPTION WHEN invalid_parameter_value THEN -- a zone this database has not heard of
    RETURN (now() AT TIME ZONE 'UTC')::date;
END $$;

-- Text as the parser of PostgreSQL gets it, the same under every locale: composed (NFC), typographic signs as their
-- plain ones, without the two characters that mark a match. U+0004 stands for <, which would begin a tag or a comment:
-- nothing in them is found, and an end that is missing is looked for to the end of the text, from each of them anew.
CREATE FUNCTION hushtag_plain_signs(p_text text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN octet_length(p_text) = length(p_text) THEN -- ASCII
            replace(replace(replace(replace(replace(
                p_text, '_', ' '), E'\u0002', ' '), E'\u0003', ' '), E'\u0004', ' '), '<', E'\u0004')
        ELSE translate(
            normalize(p_text, NFC),
            '‘’‚‛′“”„‟«»‹›–—―‐‑−_…·•、。，！？：；（）「」『』【】' || E'\u00a0\u2009\u202f\u3000\u0002\u0003\u0004<',
            repeat('''', 5) || repeat('"', 8) || repeat('-', 6) || repeat(' ', 26) || E'\u0004'
        )
        END
$$;

-- The same without words so long that parsing them would take time that grows with their square.
CREATE FUNCTION hushtag_plain_text(p_text text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN octet_length(p_text) > 1000
        THEN regexp_replace(hushtag_plain_signs(p_text), '(\S{120})', '\1 ', 'g')
        ELSE hushtag_plain_signs(p_text) END
$$;

-- Every entry has its user as a word: no search needs to look at anybody else's.
CREATE FUNCTION hushtag_user_word(p_user text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT '''@' || p_user || ''''
$$;

-- Title (A) and content (B) in the user's language, then both as they are spelled (D): a language that is changed
-- still finds exact words. A sign that no parser makes keeps phrases from reaching across.
CREATE FUNCTION hushtag_words(p_user uuid, p_language text, p_title text, p_content text) RETURNS tsvector
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_title text := hushtag_plain_text(p_title);
    v_content text := hushtag_plain_text(coalesce(p_content, ''));
    v_language regconfig := 'hushtag_' || p_language;
    v_gap tsvector := '''|'':1';
    v_words tsvector;
BEGIN
    v_words := hushtag_user_word(p_user::text)::tsvector || setweight(to_tsvector(v_language, v_title), 'A')
        || v_gap || setweight(to_tsvector(v_language, v_content), 'B');
    IF p_language <> 'simple' THEN
        v_words := v_words || v_gap || to_tsvector('hushtag_simple', v_title)
            || v_gap || to_tsvector('hushtag_simple', v_content);
    END IF;
    RETURN v_words;
EXCEPTION WHEN program_limit_exceeded THEN -- more than a megabyte of different words: the beginning is found
    RETURN hushtag_words(p_user, p_language, p_title, substr(p_content, 1, 10000));
END $$;

CREATE FUNCTION hushtag_index_journal() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_language text := hushtag_language(NEW.user_id);
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO journal_words (user_id, journal_id, language, words)
        VALUES (NEW.user_id, NEW.id, v_language, hushtag_words(NEW.user_id, v_language, NEW.title, NEW.content));
    ELSIF NEW.title IS DISTINCT FROM OLD.title OR NEW.content IS DISTINCT FROM OLD.content THEN
        UPDATE journal_words w
        SET language = v_language, words = hushtag_words(NEW.user_id, v_language, NEW.title, NEW.content)
        WHERE w.user_id = NEW.user_id AND w.journal_id = NEW.id;
    END IF;
    RETURN NULL;
END $$;

-- Which entries a transaction searches: those that match `app.search`, or all of its user (hushtag_user_word, spelled
-- out: pg_dump asks this with an empty search path).
CREATE FUNCTION hushtag_current_search() RETURNS tsquery LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce(
        nullif(current_setting('app.search', true), ''), '''@' || current_setting('app.user_id', true) || ''''
    )::tsquery
$$;

-- An entry as JSON with its tags. One expression, so that it becomes part of the query around it.
CREATE FUNCTION hushtag_journal_json(j journals, p_tags json) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT json_build_object(
        'id', j.id, 'title', j.title, 'content', j.content, 'mood_rating', j.mood_rating,
        'is_private', j.is_private, 'entry_date', j.entry_date, 'word_count', j.word_count, 'tags', p_tags,
        'version', j.version, 'created_at', j.created_at, 'updated_at', j.updated_at,
        'published_at', j.published_at, 'deleted_at', j.deleted_at)
$$;

-- The entries of `p_ids` in that order as JSON, whole or as summaries. OFFSET 0 keeps the planner from turning look-ups
-- into joins: however little it knows of the tables, an entry costs as many look-ups as it has tags.
CREATE FUNCTION hushtag_journal_bodies(p_user uuid, p_ids uuid[], p_whole boolean) RETURNS text[]
    LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_bodies text[];
BEGIN
    IF p_whole THEN
        SELECT array_agg(hushtag_journal_json(j, (
                SELECT coalesce(json_agg(json_build_object('id', t.id, 'name', t.name, 'color', t.color)
                    ORDER BY t.folded), '[]')
                FROM (SELECT k.tag_id FROM journal_tags k WHERE k.user_id = p_user AND k.journal_id = j.id OFFSET 0) l
                CROSS JOIN LATERAL (
                    SELECT g.id, g.name, g.color, g.folded FROM tags g
                    WHERE g.user_id = p_user AND g.id = l.tag_id OFFSET 0) t))::text ORDER BY i.place)
        INTO v_bodies
        FROM unnest(p_ids) WITH ORDINALITY i (id, place)
        CROSS JOIN LATERAL (SELECT * FROM journals j WHERE j.user_id = p_user AND j.id = i.id OFFSET 0) j;
    ELSE
        SELECT array_agg(json_build_object(
            'id', j.id, 'title', j.title, 'excerpt', substr(j.content, 1, 200), 'mood_rating', j.mood_rating,
            'is_private', j.is_private, 'entry_date', j.entry_date, 'word_count', j.word_count,
            'tags', (
                SELECT coalesce(json_agg(json_build_object('id', t.id, 'name', t.name, 'color', t.color)
                    ORDER BY t.folded), '[]')
                FROM (SELECT k.tag_id FROM journal_tags k WHERE k.user_id = p_user AND k.journal_id = j.id OFFSET 0) l
                CROSS JOIN LATERAL (
                    SELECT g.id, g.name, g.color, g.folded FROM tags g
                    WHERE g.user_id = p_user AND g.id = l.tag_id OFFSET 0) t),
            'version', j.version, 'created_at', j.created_at, 'updated_at', j.updated_at,
            'published_at', j.published_at, 'deleted_at', j.deleted_at)::text ORDER BY i.place)
        INTO v_bodies
        FROM unnest(p_ids) WITH ORDINALITY i (id, place)
        CROSS JOIN LATERAL (SELECT * FROM journals j WHERE j.user_id = p_user AND j.id = i.id OFFSET 0) j;
    END IF;
    RETURN v_bodies;
END $$;

-- The ids of the tags of these names, made where they are missing, and held: until this transaction ends nobody deletes
-- or renames one. NULL: there would be too many.
CREATE FUNCTION hushtag_name_tags(p_user uuid, p_names text[], p_most integer) RETURNS uuid[]
    LANGUAGE plpgsql AS $$
DECLARE
    v_folded text[] := lower(p_names::text)::text[]; -- an array is spelled with signs that have no other case
    v_held text[];
    v_ids uuid[];
    v_missing text[];
BEGIN
    LOOP
        SELECT coalesce(array_agg(t.id), '{}'), coalesce(array_agg(t.folded), '{}') INTO v_ids, v_held
        FROM (SELECT g.id, g.folded FROM tags g
              WHERE g.user_id = p_user AND g.folded = ANY (v_folded) FOR KEY SHARE) t;
        IF cardinality(v_ids) = cardinality(v_folded) THEN
            RETURN v_ids; -- as nearly always
        END IF;
        SELECT array_agg(g.name ORDER BY g.place) INTO v_missing
        FROM (SELECT min(n.place) AS place, (array_agg(n.name ORDER BY n.place))[1] AS name
              FROM unnest(p_names) WITH ORDINALITY n (name, place) GROUP BY lower(n.name)) g
        WHERE NOT lower(g.name) = ANY (v_held);
        IF v_missing IS NULL THEN
            RETURN v_ids; -- a name stood there twice
        END IF;
        -- One maker at a time, so that the count holds; what another has made meanwhile is no longer missing.
        PERFORM pg_advisory_xact_lock(hashtextextended(p_user::text, 5));
        IF (SELECT count(*) FROM tags t WHERE t.user_id = p_user)
            + (SELECT count(*) FROM unnest(v_missing) m (name) WHERE NOT EXISTS (
                SELECT FROM tags t WHERE t.user_id = p_user AND t.folded = lower(m.name))) > p_most THEN
            RETURN NULL;
        END IF;
        INSERT INTO tags (user_id, name) SELECT p_user, m.name FROM unnest(v_missing) m (name)
        ON CONFLICT (user_id, folded) DO NOTHING;
    END LOOP; -- once more: those another made are to be held as well
END $$;

-- Gives an entry exactly the tags `p_tags`; true where that changed something.
CREATE FUNCTION hushtag_set_tags(p_user uuid, p_journal uuid, p_tags uuid[]) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_gone bigint;
    v_new bigint;
BEGIN
    DELETE FROM journal_tags l
    WHERE l.user_id = p_user AND l.journal_id = p_journal AND NOT l.tag_id = ANY (p_tags);
    GET DIAGNOSTICS v_gone = ROW_COUNT;
    INSERT INTO journal_tags (user_id, journal_id, tag_id)
    SELECT p_user, p_journal, t.id FROM unnest(p_tags) t (id) ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS v_new = ROW_COUNT;
    RETURN v_gone + v_new > 0;
END $$;

-- The tags of an entry are part of it: whoever changes them, or what they look like, makes a new version of it.
CREATE FUNCTION hushtag_renew_tagged(p_user uuid, p_tag uuid) RETURNS void LANGUAGE sql AS $$
    UPDATE journals j SET version = j.version + 1
    FROM journal_tags l
    WHERE l.user_id = p_user AND l.tag_id = p_tag AND j.user_id = p_user AND j.id = l.journal_id
$$;

-- What a filter (JSON; NULL for none) asks of journals `j`, as SQL of quoted literals.
CREATE FUNCTION hushtag_journal_filter(p_user uuid, p_filter jsonb) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_where text := format('j.user_id = %L::uuid', p_user);
    v_tags uuid[];
BEGIN
    v_where := v_where || CASE p_filter ->> 'deleted'
        WHEN 'true' THEN ' AND j.deleted_at IS NOT NULL' WHEN 'any' THEN '' ELSE ' AND j.deleted_at IS NULL' END;
    IF p_filter ? 'from' THEN
        v_where := v_where || format(' AND j.entry_date >= %L::date', p_filter ->> 'from');
    END IF;
    IF p_filter ? 'to' THEN
        v_where := v_where || format(' AND j.entry_date <= %L::date', p_filter ->> 'to');
    END IF;
    IF p_filter ?| '{mood_min,mood_max}' THEN -- an entry without a mood has the order 0
        v_where := v_where || format(' AND j.mood_order BETWEEN greatest(%L::integer, 1) AND %L::integer',
            coalesce(p_filter ->> 'mood_min', '1'), coalesce(p_filter ->> 'mood_max', '10'));
    END IF;
    IF p_filter ? 'private' THEN
        v_where := v_where || format(' AND j.is_private = %L::boolean', p_filter ->> 'private');
    END IF;
    IF p_filter ? 'tags' THEN
        SELECT array_agg(t.id) INTO v_tags -- with a NULL for each name no tag has, and NULL finds nothing
        FROM (SELECT DISTINCT lower(n.name) AS folded FROM jsonb_array_elements_text(p_filter -> 'tags') n (name)) g
        LEFT JOIN tags t ON t.user_id = p_user AND t.folded = g.folded;
        SELECT v_where || string_agg(format(' AND EXISTS (SELECT FROM journal_tags l WHERE l.user_id = %L::uuid'
            ' AND l.tag_id = %L::uuid AND l.journal_id = j.id)', p_user, g.id), '') INTO v_where
        FROM unnest(v_tags) g (id);
    END IF;
    RETURN v_where;
END $$;

-- One entry, or nothing: session_id says whether the token was valid, version whether there is such an entry.
CREATE FUNCTION hushtag_get_journal(
        p_user uuid, p_token_hash bytea, p_idle interval, p_touch interval, p_address text, p_agent text, p_id uuid,
        OUT session_id uuid, OUT version integer, OUT body bytea)
    LANGUAGE plpgsql AS $$
BEGIN
    session_id := hushtag_enter(p_user, p_token_hash, p_idle, p_touch, p_address, p_agent);
    IF session_id IS NOT NULL THEN
        SELECT j.version, convert_to((hushtag_journal_bodies(p_user, ARRAY[j.id], true))[1], 'UTF8')
        INTO version, body FROM journals j WHERE j.user_id = p_user AND j.id = p_id;
    END IF;
END $$;

-- A page of entries: `bodies` are JSON objects with `p_between` between them, `last_key` and `last_id` say where the
-- page ends if there is more. `p_sort` is one of five names, with - for descending.
CREATE FUNCTION hushtag_list_journals(
        p_user uuid, p_token_hash bytea, p_idle interval, p_touch interval, p_address text, p_agent text,
        p_filter jsonb, p_sort text, p_after_key text, p_after_id uuid, p_limit integer, p_whole boolean,
        p_between text, OUT session_id uuid, OUT bodies bytea, OUT last_key text, OUT last_id uuid)
    LANGUAGE plpgsql AS $$
DECLARE
    v_ids uuid[];
    v_keys text[];
    v_descending boolean := starts_with(p_sort, '-');
    v_key text := CASE ltrim(p_sort, '-')
        WHEN 'title' THEN 'title_order' WHEN 'mood_rating' THEN 'mood_order'
        WHEN 'created_at' THEN 'created_at' WHEN 'updated_at' THEN 'updated_at' ELSE 'entry_date' END;
    v_kind text := CASE v_key
        WHEN 'title_order' THEN 'text' WHEN 'mood_order' THEN 'smallint' WHEN 'entry_date' THEN 'date'
        ELSE 'timestamptz' END;
BEGIN
    session_id := hushtag_enter(p_user, p_token_hash, p_idle, p_touch, p_address, p_agent);
    IF session_id IS NULL THEN
        RETURN;
    END IF;
    IF p_filter IS NULL AND p_after_id IS NULL AND p_sort = '-entry_date' THEN
        -- The page everybody opens first has a plan that is kept; the others are planned as they come.
        SELECT array_agg(p.id), array_agg(p.entry_date::text) INTO v_ids, v_keys
        FROM (SELECT j.id, j.entry_date FROM journals j WHERE j.user_id = p_user AND j.deleted_at IS NULL
              ORDER BY j.entry_date DESC, j.id DESC LIMIT p_limit + 1) p;
    ELSE
        PERFORM set_config('max_parallel_workers_per_gather', '0', true); -- they take longer to start than this does
        EXECUTE format(
            'SELECT array_agg(p.id), array_agg(p.key::text)'
            ' FROM (SELECT j.id, j.%1$I AS key FROM journals j WHERE %2$s%3$s ORDER BY j.%1$I %4$s, j.id %4$s LIMIT %5$s) p',
            v_key,
            hushtag_journal_filter(p_user, p_filter),
            CASE WHEN p_after_id IS NULL THEN '' ELSE format(' AND (j.%I, j.id) %s (%L::%s, %L::uuid)',
                v_key, CASE WHEN v_descending THEN '<' ELSE '>' END, p_after_key, v_kind, p_after_id) END,
            CASE WHEN v_descending THEN 'DESC' ELSE 'ASC' END,
            p_limit + 1
        ) INTO v_ids, v_keys;
    END IF;
    IF cardinality(v_ids) > p_limit THEN
        last_key := v_keys[p_limit];
        last_id := v_ids[p_limit];
        v_ids := v_ids[1:p_limit];
    END IF;
    bodies := convert_to(coalesce(
        array_to_string(hushtag_journal_bodies(p_user, v_ids, p_whole), p_between), ''), 'UTF8');
END $$;

-- outcome: created, limit_reached (too many tags) or already_exists; session_id NULL: the token is not valid.
CREATE FUNCTION hushtag_create_journal(
        p_user uuid, p_token_hash bytea, p_idle interval, p_touch interval, p_address text, p_agent text,
        p_id uuid, p_chosen boolean, p_title text, p_content text, p_mood integer, p_private boolean,
        p_entry_date date, p_published timestamptz, p_tags text[], p_most_tags integer,
        OUT session_id uuid, OUT outcome text, OUT body bytea)
    LANGUAGE plpgsql AS $$
DECLARE
    v_tags uuid[] := '{}';
BEGIN
    session_id := hushtag_enter(p_user, p_token_hash, p_idle, p_touch, p_address, p_agent);
    IF session_id IS NULL THEN
        RETURN;
    END IF;
    outcome := 'already_exists'; -- which an id that nobody chose does not
    IF p_chosen AND EXISTS (SELECT FROM journals j WHERE j.user_id = p_user AND j.id = p_id) THEN
        RETURN; -- before a tag is made for nothing
    END IF;
    IF cardinality(p_tags) > 0 THEN
        v_tags := hushtag_name_tags(p_user, p_tags, p_most_tags);
        IF v_tags IS NULL THEN
            outcome := 'limit_reached';
            RETURN;
        END IF;
    END IF;
    INSERT INTO journals AS j (user_id, id, title, content, mood_rating, is_private, entry_date, published_at)
    VALUES (p_user, p_id, p_title, p_content, p_mood, p_private, coalesce(p_entry_date, hushtag_today(p_user)),
        p_published)
    RETURNING convert_to(hushtag_journal_json(j, (
        SELECT coalesce(json_agg(json_build_object('id', t.id, 'name', t.name, 'color', t.color) ORDER BY t.folded), '[]')
        FROM tags t WHERE t.user_id = p_user AND t.id = ANY (v_tags)))::text, 'UTF8') INTO body;
    IF cardinality(v_tags) > 0 THEN
        INSERT INTO journal_tags (user_id, journal_id, tag_id) SELECT p_user, p_id, t.id FROM unnest(v_tags) t (id);
    END IF;
    outcome := 'created';
END $$;

-- Many at once, all or nothing; the entries are a JSON array of what hushtag_create_journal takes, each with an id.
-- `taken` is one of these that the user has already.
CREATE FUNCTION hushtag_create_journals(
        p_user uuid, p_token_hash bytea, p_idle interval, p_touch interval, p_address text, p_agent text,
        p_entries jsonb, p_most_tags integer, OUT session_id uuid, OUT outcome text, OUT taken uuid)
    LANGUAGE plpgsql AS $$
DECLARE
    v_today date;
    v_names text[];
BEGIN
    session_id := hushtag_enter(p_user, p_token_hash, p_idle, p_touch, p_address, p_agent);
    IF session_id IS NULL THEN
        RETURN;
    END IF;
    SELECT e.id INTO taken FROM jsonb_to_recordset(p_entries) e (id uuid)
    JOIN journals j ON j.user_id = p_user AND j.id = e.id LIMIT 1;
    IF taken IS NOT NULL THEN
        outcome := 'already_exists';
        RETURN;
    END IF;
    SELECT array_agg(DISTINCT n.name) INTO v_names
    FROM jsonb_to_recordset(p_entries) e (tags jsonb), jsonb_array_elements_text(e.tags) n (name);
    IF v_names IS NOT NULL AND hushtag_name_tags(p_user, v_names, p_most_tags) IS NULL THEN
        outcome := 'limit_reached';
        RETURN;
    END IF;
    v_today := hushtag_today(p_user);
    INSERT INTO journals (user_id, id, title, content, mood_rating, is_private, entry_date, published_at)
    SELECT p_user, e.id, e.title, e.content, e.mood_rating, e.is_private, coalesce(e.entry_date, v_today),
        e.published_at
    FROM jsonb_to_recordset(p_entries) e (id uuid, title text, content text, mood_rating smallint,
        is_private boolean, entry_date date, published_at timestamptz);
    INSERT INTO journal_tags (user_id, journal_id, tag_id)
    SELECT DISTINCT p_user, e.id, t.id
    FROM jsonb_to_recordset(p_entries) e (id uuid, tags jsonb), jsonb_array_elements_text(e.tags) n (name)
    JOIN tags t ON t.user_id = p_user AND t.folded = lower(n.name);
    outcome := 'created';
END $$;

-- Changes what p_changes names (null is a value) and, where p_tags is not NULL, the tags. p_version NULL: any version.
-- outcome: changed, conflict (version is the present one), not_found or limit_reached.
CREATE FUNCTION hushtag_update_journal(
        p_user uuid, p_token_hash bytea, p_idle interval, p_touch interval, p_address text, p_agent text,
        p_id uuid, p_version bigint, p_changes jsonb, p_tags text[], p_most_tags integer,
        OUT session_id uuid, OUT outcome text, OUT version integer, OUT body bytea)
    LANGUAGE plpgsql AS $$
DECLARE
    v_tags uuid[];
BEGIN
    session_id := hushtag_enter(p_user, p_token_hash, p_idle, p_touch, p_address, p_agent);
    IF session_id IS NULL THEN
        RETURN;
    END IF;
    -- The row's lock first: of all who come with this version one goes on, the others then see the next.
    SELECT j.version INTO version FROM journals j
    WHERE j.user_id = p_user AND j.id = p_id AND j.deleted_at IS NULL FOR NO KEY UPDATE;
    outcome := CASE WHEN version IS NULL THEN 'not_found' WHEN version <> p_version THEN 'conflict' END;
    IF outcome IS NOT NULL THEN
        RETURN;
    END IF;
    IF p_tags IS NOT NULL THEN
        v_tags := hushtag_name_tags(p_user, p_tags, p_most_tags);
        IF v_tags IS NULL THEN
            outcome := 'limit_reached';
            RETURN;
        END IF;
        PERFORM hushtag_set_tags(p_user, p_id, v_tags);
    END IF;
    UPDATE journals j SET
        title = CASE WHEN p_changes ? 'title' THEN p_changes ->> 'title' ELSE j.title END,
        content = CASE WHEN p_changes ? 'content' THEN p_changes ->> 'content' ELSE j.content END,
        mood_rating = CASE WHEN p_changes ? 'mood_rating' THEN (p_changes ->> 'mood_rating')::smallint
            ELSE j.mood_rating END,
        is_private = CASE WHEN p_changes ? 'is_private' THEN (p_changes ->> 'is_private')::boolean
            ELSE j.is_private END,
        entry_date = CASE WHEN p_changes ? 'entry_date' THEN (p_changes ->> 'entry_date')::date
            ELSE j.entry_date END,
        published_at = CASE WHEN p_changes ? 'published_at' THEN (p_changes ->> 'published_at')::timestamptz
            ELSE j.published_at END,
        version = j.version + 1
    WHERE j.user_id = p_user AND j.id = p_id
    RETURNING j.version INTO version;
    outcome := 'changed';
    body := convert_to((hushtag_journal_bodies(p_user, ARRAY[p_id], true))[1], 'UTF8');
END $$;

-- What websearch_to_tsquery makes a query of. A `-` before a word excludes it; several are a divider, which a list or a
-- quotation begins with, and no operators: PostgreSQL would run out of stack for them. Of so many words that searching
-- for them takes long, the first ones stay: 20 and their operators are 40 nodes, where compounds count for more.
CREATE FUNCTION hushtag_search_text(p_query text) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_text text := regexp_replace(
        regexp_replace(hushtag_plain_text(p_query), '(^|[\s!&|()"])-[-\s!&|()]*-', '\1 ', 'g'), '^\s+|\s+$', '', 'g');
BEGIN
    WHILE numnode(websearch_to_tsquery('hushtag_simple', v_text)) > 40 LOOP
        v_text := CASE WHEN v_text ~ '\s' THEN regexp_replace(v_text, '(\s+or)*\s+\S+$', '', 'i')
            ELSE left(v_text, length(v_text) / 2) END;
    END LOOP;
    RETURN v_text;
END $$;

-- A query that each of its words alone fulfils.
CREATE FUNCTION hushtag_any_word(p_query tsquery) RETURNS tsquery LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT string_agg(DISTINCT m[1], ' | ')::tsquery FROM regexp_matches(p_query::text, '''(?:[^'']|'''')+''', 'g') m
$$;

-- What matches are marked by: the query, but for words that stand in it several times, which would cost the square.
CREATE FUNCTION hushtag_marked(p_query tsquery) RETURNS tsquery LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN count(*) > count(DISTINCT m[1]) THEN hushtag_any_word(p_query) ELSE p_query END
    FROM regexp_matches(p_query::text, '''(?:[^'']|'''')+''', 'g') m
$$;

-- A piece of a text with its matches between <mark> and </mark>; everything else is escaped, so it is safe as HTML.
CREATE FUNCTION hushtag_snippet(p_language text, p_text text, p_query tsquery, p_options text) RETURNS text
    LANGUAGE sql STABLE AS $$
    SELECT replace(replace(replace(replace(replace(replace(replace(
        ts_headline(('hushtag_' || p_language)::regconfig, hushtag_plain_text(p_text), p_query,
            p_options || E', StartSel="\u0002", StopSel="\u0003"'),
        '&', '&amp;'), E'\u0004', '&lt;'), '>', '&gt;'), '"', '&quot;'), '''', '&#39;'),
        E'\u0002', '<mark>'), E'\u0003', '</mark>')
$$;

-- Matches of a content. Of a long one only 2,000 characters are parsed, for that costs its words times its matches: those
-- of its first 20,000 in which the beginnings of the most words of the query stand. Where the query as a whole matches
-- nothing in them, as when its words stand far apart, the next best have a chance, and then any of its words.
CREATE FUNCTION hushtag_excerpt(p_language text, p_content text, p_query tsquery) RETURNS text
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    c_options CONSTANT text :=
        'MaxFragments=2, MaxWords=25, MinWords=10, ShortWord=0, FragmentDelimiter=" … "';
    v_text text := substr(p_content, 1, 20000);
    v_any tsquery;
    v_starts text[];
    v_pieces text[];
    v_snippet text;
BEGIN
    IF v_text IS NULL OR length(v_text) <= 2000 THEN
        RETURN hushtag_snippet(p_language, v_text, p_query, c_options);
    END IF;
    v_any := hushtag_any_word(p_query);
    -- Dictionaries change the ends of words: two thirds are what the forms of a word have in common.
    v_starts := ARRAY(
        SELECT left(l.lexeme, greatest(3, length(l.lexeme) * 2 / 3))
        FROM unnest(tsvector_to_array(replace(v_any::text, ''' | ''', ''' ''')::tsvector)) l (lexeme));
    v_pieces := ARRAY(
        SELECT g.piece FROM (
            SELECT i.start, substr(v_text, i.start, 2000) AS piece FROM generate_series(1, length(v_text), 1800) i (start)
            OFFSET 0) g
        CROSS JOIN LATERAL (SELECT lower(unaccent(g.piece)) AS folded OFFSET 0) f
        CROSS JOIN LATERAL (
            SELECT count(*) AS words FROM unnest(v_starts) s (start) WHERE strpos(f.folded, s.start) > 0 OFFSET 0) n
        WHERE n.words > 0 ORDER BY n.words DESC, g.start LIMIT 2);
    FOR i IN 1..cardinality(v_pieces) LOOP
        v_snippet := hushtag_snippet(p_language, v_pieces[i], p_query, c_options);
        IF strpos(v_snippet, '<mark>') > 0 THEN
            RETURN v_snippet;
        END IF;
    END LOOP;
    RETURN hushtag_snippet(p_language, coalesce(v_pieces[1], substr(v_text, 1, 2000)), v_any, c_options);
END $$;

-- How well words match. How near they are to each other costs the cube of how many they are, so of more than four (seven
-- nodes) only how often each is there counts: a query whose topmost operator is OR is ranked so, in PostgreSQL.
CREATE FUNCTION hushtag_rank(p_weights real[], p_words tsvector, p_query tsquery) RETURNS real
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN numnode(p_query) <= 7 THEN ts_rank_cd(p_weights, p_words, p_query, 1)
        ELSE ts_rank(p_weights, p_words, p_query || p_query, 1) END
$$;

-- Matches, best first. An entry whose words were made with the user's present language is searched in it, any other by
-- exact words. Of words that p_most entries or more have, only as many are ranked as the index gives first, and those
-- among the newest p_most entries that the filter lets through; in an account of many entries, of words that a third of
-- these newest have, the latter alone. The work is bounded, whatever is searched for. OFFSET 0 keeps look-ups look-ups: a
-- planner that knows nothing of the tables yet would ask the index of words for each entry. `results` are JSON objects,
-- `facets` is one over all that were ranked; `more`: there is a page after (last_rank, last_date, last_id).
CREATE FUNCTION hushtag_search_journals(
        p_user uuid, p_token_hash bytea, p_idle interval, p_touch interval, p_address text, p_agent text,
        p_query text, p_filter jsonb, p_after_rank double precision, p_after_date date, p_after_id uuid,
        p_limit integer, p_most integer,
        OUT session_id uuid, OUT results bytea, OUT facets bytea, OUT more boolean,
        OUT last_rank double precision, OUT last_date date, OUT last_id uuid)
    LANGUAGE plpgsql AS $$
DECLARE
    v_language text;
    v_text text;
    v_query tsquery;
    v_exact tsquery;
    v_marked tsquery;
    v_exact_marked tsquery;
    v_many boolean;
    v_ids uuid[];
    v_ranks real[];
    v_dates date[];
    v_bodies text[];
    v_moods json;
    v_tags json;
BEGIN
    session_id := hushtag_enter(p_user, p_token_hash, p_idle, p_touch, p_address, p_agent);
    IF session_id IS NULL THEN
        RETURN;
    END IF;
    more := false;
    results := '';
    facets := '{"tags":[],"moods":[]}';
    v_language := hushtag_language(p_user);
    v_text := hushtag_search_text(p_query);
    v_query := websearch_to_tsquery(('hushtag_' || v_language)::regconfig, v_text);
    v_exact := websearch_to_tsquery('hushtag_simple', v_text);
    IF numnode(v_query) = 0 THEN
        RETURN; -- nothing but stop words or signs
    END IF;
    PERFORM set_config('app.search', (hushtag_user_word(p_user::text)::tsquery && (v_query || v_exact))::text, true);
    -- Plans for a few rows by index: what the planner takes for many is slower here, and workers take long to start.
    PERFORM set_config(name, value, true) FROM (VALUES ('enable_seqscan', 'off'), ('enable_hashjoin', 'off'),
        ('enable_mergejoin', 'off'), ('max_parallel_workers_per_gather', '0')) s (name, value);
    -- In an account of many entries it is worth a look whether the newest alone hold plenty of matches.
    v_many := EXISTS (
        SELECT FROM journals j WHERE j.user_id = p_user AND j.deleted_at IS NULL OFFSET 10 * p_most);
    EXECUTE format($query$
        WITH newest AS MATERIALIZED (
            SELECT j.id, j.entry_date, j.mood_order,
                row_number() OVER (ORDER BY j.entry_date DESC, j.id DESC) AS place
            FROM journals j WHERE %1$s ORDER BY j.entry_date DESC, j.id DESC LIMIT $5
        ), listed AS MATERIALIZED (
            -- How many of the index's list: none where a third of the newest match, for that list would cost the index
            -- more than all the rest. Every eleventh is looked at, which no habit of days or weeks keeps step with.
            SELECT CASE WHEN count(*) * 11 * 10 >= $5 * 3 THEN 0 ELSE $5 END AS most
            FROM newest s
            CROSS JOIN LATERAL (SELECT FROM journal_words w WHERE w.user_id = $4 AND w.journal_id = s.id OFFSET 0) w
            WHERE s.place %% 11 = 1
        ), by_word AS MATERIALIZED (
            SELECT w.journal_id AS id, w.language, w.words
            FROM journal_words w WHERE w.user_id IS NOT DISTINCT FROM $4
            LIMIT CASE WHEN $10 THEN (SELECT l.most FROM listed l) ELSE $5 END
        ), candidate AS (
            SELECT j.id, j.entry_date, j.mood_order, w.language, w.words FROM by_word w
            CROSS JOIN LATERAL (SELECT * FROM journals j WHERE j.user_id = $4 AND j.id = w.id OFFSET 0) j
            WHERE %1$s
            UNION ALL
            SELECT j.id, j.entry_date, j.mood_order, w.language, w.words
            FROM newest j
            CROSS JOIN LATERAL (
                SELECT * FROM journal_words w WHERE w.user_id = $4 AND w.journal_id = j.id OFFSET 0) w
            WHERE (SELECT count(*) FROM by_word) IN ($5, (SELECT l.most FROM listed l WHERE $10))
        ), found AS MATERIALIZED (
            SELECT DISTINCT c.id, c.entry_date, c.mood_order,
                CASE WHEN c.language = $1 THEN hushtag_rank('{0.01, 0.1, 0.4, 1.0}', c.words, $2)
                    ELSE hushtag_rank('{0.1, 0.1, 0.4, 1.0}', c.words, $3) END AS rank
            FROM candidate c
            WHERE $2 = $3 -- then the policy has asked just this
                OR CASE WHEN c.language = $1 THEN c.words @@ $2 ELSE c.words @@ $3 END
        ), page AS (
            SELECT f.id, f.rank, f.entry_date FROM found f
            WHERE $6 IS NULL OR (f.rank::double precision, f.entry_date, f.id) < ($7, $8, $6)
            ORDER BY f.rank DESC, f.entry_date DESC, f.id DESC LIMIT $9 + 1
        )
        SELECT (SELECT array_agg(p.id) FROM page p), (SELECT array_agg(p.rank) FROM page p),
            (SELECT array_agg(p.entry_date) FROM page p),
            (SELECT coalesce(json_agg(m ORDER BY m.mood_rating), '[]')
             FROM (SELECT nullif(f.mood_order, 0) AS mood_rating, count(*) FROM found f GROUP BY f.mood_order) m),
            (SELECT coalesce(json_agg(t), '[]')
             FROM (SELECT t.id AS tag_id, t.name, c.count
                   FROM (SELECT l.tag_id, count(*) FROM found f
                         CROSS JOIN LATERAL (SELECT k.tag_id FROM journal_tags k
                             WHERE k.user_id = $4 AND k.journal_id = f.id OFFSET 0) l GROUP BY l.tag_id) c
                   CROSS JOIN LATERAL (SELECT * FROM tags g WHERE g.user_id = $4 AND g.id = c.tag_id OFFSET 0) t
                   ORDER BY c.count DESC, t.folded LIMIT 100) t)
        $query$, hushtag_journal_filter(p_user, p_filter))
    USING v_language, v_query, v_exact, p_user, p_most, p_after_id, p_after_rank, p_after_date, p_limit, v_many
    INTO v_ids, v_ranks, v_dates, v_moods, v_tags;
    more := coalesce(cardinality(v_ids), 0) > p_limit;
    v_ids := v_ids[1:p_limit];
    last_rank := v_ranks[cardinality(v_ids)];
    last_date := v_dates[cardinality(v_ids)];
    last_id := v_ids[cardinality(v_ids)];
    v_bodies := hushtag_journal_bodies(p_user, v_ids, false);
    v_marked := hushtag_marked(v_query);
    v_exact_marked := hushtag_marked(v_exact);
    SELECT convert_to(coalesce(string_agg(format(
        '{"journal":%s,"rank":%s,"title_snippet":%s,"content_snippet":%s}', v_bodies[i.place], v_ranks[i.place],
        to_json(hushtag_snippet(s.language, j.title, s.query, 'HighlightAll=true')),
        coalesce(to_json(hushtag_excerpt(s.language, j.content, s.query)), 'null')), ',' ORDER BY i.place),
        ''), 'UTF8') INTO results
    FROM unnest(v_ids) WITH ORDINALITY i (id, place)
    CROSS JOIN LATERAL (SELECT * FROM journals j WHERE j.user_id = p_user AND j.id = i.id OFFSET 0) j
    CROSS JOIN LATERAL (
        SELECT * FROM journal_words w WHERE w.user_id = p_user AND w.journal_id = i.id OFFSET 0) w
    CROSS JOIN LATERAL (SELECT CASE WHEN w.language = v_language THEN v_language ELSE 'simple' END AS language,
        CASE WHEN w.language = v_language THEN v_marked ELSE v_exact_marked END AS query) s;
    facets := convert_to(format('{"tags":%s,"moods":%s}', v_tags, v_moods), 'UTF8');
END $$;

-- For maintenance. Both act for the user p_user whoever is logged in, do at most p_most entries and return how many.
CREATE FUNCTION hushtag_purge_journals(p_user uuid, p_before timestamptz, p_most integer) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    v_count integer;
BEGIN
    PERFORM set_config('app.user_id', p_user::text, true);
    DELETE FROM journals j
    WHERE j.user_id = p_user AND j.id IN (
        SELECT d.id FROM journals d WHERE d.user_id = p_user AND d.deleted_at < p_before
        ORDER BY d.deleted_at LIMIT p_most)
      -- Once more: an entry that was restored while its lock was waited for is not deleted after all.
      AND j.deleted_at < p_before;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END $$;

-- Makes the words anew of entries that were indexed in another language than the user's present one.
CREATE FUNCTION hushtag_reindex_journals(p_user uuid, p_most integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_count integer;
    v_language text;
    v_journals uuid[];
BEGIN
    PERFORM set_config('app.user_id', p_user::text, true), set_config('app.search', '', true);
    v_language := hushtag_language(p_user);
    -- Held first, and the entries read by the next statement: an edit has ended by then, or waits to write its own words.
    v_journals := ARRAY(SELECT s.journal_id FROM journal_words s
        WHERE s.user_id = p_user AND s.language <> v_language LIMIT p_most FOR NO KEY UPDATE);
    UPDATE journal_words w
    SET language = v_language, words = hushtag_words(p_user, v_language, j.title, j.content)
    FROM journals j
    WHERE w.user_id = p_user AND j.user_id = p_user AND j.id = w.journal_id AND w.journal_id = ANY (v_journals);
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END $$;

-- A step that distributes the tables by user_id fits here; the references follow.

ALTER TABLE journals ADD CONSTRAINT journals_user_fkey
    FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE;
ALTER TABLE tags ADD CONSTRAINT tags_user_fkey
    FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE;
ALTER TABLE journal_tags ADD CONSTRAINT journal_tags_journal_fkey
    FOREIGN KEY (user_id, journal_id) REFERENCES journals (user_id, id) ON DELETE CASCADE;
ALTER TABLE journal_tags ADD CONSTRAINT journal_tags_tag_fkey
    FOREIGN KEY (user_id, tag_id) REFERENCES tags (user_id, id) ON DELETE CASCADE;
ALTER TABLE journal_words ADD CONSTRAINT journal_words_journal_fkey
    FOREIGN KEY (user_id, journal_id) REFERENCES journals (user_id, id) ON DELETE CASCADE;

CREATE TRIGGER journals_touch BEFORE UPDATE ON journals FOR EACH ROW EXECUTE FUNCTION hushtag_touch();
CREATE TRIGGER tags_touch BEFORE UPDATE ON tags FOR EACH ROW EXECUTE FUNCTION hushtag_touch();
CREATE TRIGGER journal_tags_touch BEFORE UPDATE ON journal_tags FOR EACH ROW EXECUTE FUNCTION hushtag_touch();
CREATE TRIGGER journal_words_touch BEFORE UPDATE ON journal_words FOR EACH ROW EXECUTE FUNCTION hushtag_touch();
CREATE TRIGGER journals_index AFTER INSERT OR UPDATE OF title, content ON journals
    FOR EACH ROW EXECUTE FUNCTION hushtag_index_journal();
-- A version that only counts, because a tag changed its name, is no change of the entry to record.
CREATE TRIGGER journals_audit AFTER UPDATE OR DELETE ON journals
    FOR EACH ROW EXECUTE FUNCTION hushtag_audit('version,title_order,mood_order', 'content');
CREATE TRIGGER journals_audit_created AFTER INSERT ON journals REFERENCING NEW TABLE AS created
    FOR EACH STATEMENT EXECUTE FUNCTION hushtag_audit_created('version,title_order,mood_order', 'content');
CREATE TRIGGER tags_audit AFTER UPDATE OR DELETE ON tags
    FOR EACH ROW EXECUTE FUNCTION hushtag_audit('folded');
CREATE TRIGGER tags_audit_created AFTER INSERT ON tags REFERENCING NEW TABLE AS created
    FOR EACH STATEMENT EXECUTE FUNCTION hushtag_audit_created('folded');
CREATE TRIGGER journal_tags_audit AFTER UPDATE OR DELETE ON journal_tags
    FOR EACH ROW EXECUTE FUNCTION hushtag_audit();
CREATE TRIGGER journal_tags_audit_created AFTER INSERT ON journal_tags REFERENCING NEW TABLE AS created
    FOR EACH STATEMENT EXECUTE FUNCTION hushtag_audit_created();

ALTER TABLE journals ENABLE ROW LEVEL SECURITY;
ALTER TABLE journals FORCE ROW LEVEL SECURITY;
ALTER TABLE tags ENABLE ROW LEVEL SECURITY;
ALTER TABLE tags FORCE ROW LEVEL SECURITY;
ALTER TABLE journal_tags ENABLE ROW LEVEL SECURITY;
ALTER TABLE journal_tags FORCE ROW LEVEL SECURITY;
ALTER TABLE journal_words ENABLE ROW LEVEL SECURITY;
ALTER TABLE journal_words FORCE ROW LEVEL SECURITY;
CREATE POLICY journals_own ON journals
    USING (user_id = hushtag_current_user()) WITH CHECK (user_id = hushtag_current_user());
CREATE POLICY tags_own ON tags
    USING (user_id = hushtag_current_user()) WITH CHECK (user_id = hushtag_current_user());
CREATE POLICY journal_tags_own ON journal_tags
    USING (user_id = hushtag_current_user()) WITH CHECK (user_id = hushtag_current_user());
-- What is searched for stands in the policy: @@ is not leakproof, so that of a query's own conditions PostgreSQL would
-- use the index only for what has passed the policy already, that is never. And the user is compared in a way that no
-- index answers: a planner that knows nothing of a table yet would rather read all the words of all entries of a user.
CREATE POLICY journal_words_own ON journal_words
    USING (user_id IS NOT DISTINCT FROM hushtag_current_user() AND words @@ hushtag_current_search())
    WITH CHECK (user_id = hushtag_current_user());

GRANT SELECT, INSERT, UPDATE, DELETE ON journals, tags TO hushtag_server;
GRANT SELECT, INSERT, DELETE ON journal_tags TO hushtag_server;
GRANT SELECT, INSERT, UPDATE ON journal_words TO hushtag_server;
REVOKE ALL ON FUNCTION hushtag_language, hushtag_today, hushtag_plain_signs, hushtag_plain_text, hushtag_user_word,
    hushtag_words, hushtag_index_journal, hushtag_current_search, hushtag_count_words, hushtag_journal_json,
    hushtag_journal_bodies, hushtag_name_tags, hushtag_set_tags,
    hushtag_renew_tagged, hushtag_journal_filter, hushtag_get_journal, hushtag_list_journals, hushtag_create_journal,
    hushtag_create_journals, hushtag_update_journal, hushtag_search_text, hushtag_any_word, hushtag_marked,
    hushtag_snippet, hushtag_excerpt, hushtag_rank, hushtag_search_journals, hushtag_purge_journals,
    hushtag_reindex_journals FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hushtag_language, hushtag_today, hushtag_plain_signs, hushtag_plain_text, hushtag_user_word,
    hushtag_words, hushtag_index_journal, hushtag_current_search, hushtag_count_words, hushtag_journal_json,
    hushtag_journal_bodies, hushtag_name_tags, hushtag_set_tags,
    hushtag_renew_tagged, hushtag_journal_filter, hushtag_get_journal, hushtag_list_journals, hushtag_create_journal,
    hushtag_create_journals, hushtag_update_journal, hushtag_search_text, hushtag_any_word, hushtag_marked,
    hushtag_snippet, hushtag_excerpt, hushtag_rank, hushtag_search_journals TO hushtag_server;
