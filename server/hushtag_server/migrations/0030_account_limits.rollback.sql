DROP TRIGGER journals_most ON journals;
DROP TRIGGER reminders_most ON reminders;
DROP FUNCTION hushtag_hold_to_limit;
