DROP TRIGGER journals_most ON journals;
DROP TRIGGER reminders_most ON reminders;
DROP FUNCTION hushtag_limit_journals, hushtag_limit_reminders;
