-- depends: 0022_listing
-- No tag comes under a key set that was retired: a server that was not told, or a registration that was under way, would
-- store a phrase that opens nothing ever after. The check comes after that of the reference, whose lock on the key set
-- and that of `keys retire` exclude each other: either the tag is counted there, or the retirement is seen here. (Triggers
-- fire by name, those of references first.)
CREATE FUNCTION hushtag_refuse_retired_keys() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM server_keys k WHERE k.id = NEW.server_key_id AND k.retired_at IS NOT NULL) THEN
        RAISE EXCEPTION 'the key set is retired' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER secret_tags_under_living_keys AFTER INSERT ON secret_tags
    FOR EACH ROW EXECUTE FUNCTION hushtag_refuse_retired_keys();
CREATE TRIGGER secret_tags_to_living_keys AFTER UPDATE OF server_key_id ON secret_tags
    FOR EACH ROW WHEN (OLD.server_key_id <> NEW.server_key_id) EXECUTE FUNCTION hushtag_refuse_retired_keys();
REVOKE ALL ON FUNCTION hushtag_refuse_retired_keys FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hushtag_refuse_retired_keys TO hushtag_server;
