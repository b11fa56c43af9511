-- Every entry of a closed run, and so of a closed drop, ended in a terminal state.
SELECT closings.run_id, run_entries.entry_id
FROM closings
JOIN run_entries ON run_entries.run_id = closings.run_id
WHERE NOT EXISTS (SELECT FROM outcomes WHERE outcomes.entry_id = run_entries.entry_id)
