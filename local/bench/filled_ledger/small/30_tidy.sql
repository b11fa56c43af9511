DROP TABLE planned_entries, planned_runs
