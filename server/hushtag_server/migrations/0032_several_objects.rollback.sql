DROP FUNCTION hushtag_put_objects;
