-- depends: 0026_giving_way
-- Planned at each call: PostgreSQL 18 keeps the plans of such functions, and one that was made for a few entries compares
-- each of many entries with each of the tag's.
ALTER FUNCTION hushtag_renew_tagged SET plan_cache_mode = force_custom_plan;
