DROP FUNCTION hushtag_delete_objects;
