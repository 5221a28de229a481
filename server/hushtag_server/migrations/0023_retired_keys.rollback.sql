DROP TRIGGER secret_tags_to_living_keys ON secret_tags;
DROP TRIGGER secret_tags_under_living_keys ON secret_tags;
DROP FUNCTION hushtag_refuse_retired_keys;
