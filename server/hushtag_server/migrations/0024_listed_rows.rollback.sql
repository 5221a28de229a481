DROP FUNCTION hushtag_list_rows;
