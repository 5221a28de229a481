DROP FUNCTION hushtag_list_objects;
