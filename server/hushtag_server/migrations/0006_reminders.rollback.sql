DROP TABLE reminder_feeds, reminder_deliveries, reminders;
DROP FUNCTION hushtag_ring_reminders;
