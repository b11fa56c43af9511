-- Two people answered for all but the newest tenth of the runs; once in a hundred, not the same.
INSERT INTO labels (image_id, source, labeller, labelled_at, label)
SELECT image_id, 'person', labeller, started_at + interval '1 day',
       (%(classes)s::text[])[1 + (class + CASE WHEN labeller = 'ben' AND entry_id %% 100 = 0 THEN 1 ELSE 0 END) %% 10]
FROM planned_runs
JOIN audit_images USING (run_id)
JOIN images USING (image_id)
JOIN planned_entries USING (entry_id, number)
CROSS JOIN unnest(ARRAY['ann', 'ben']) AS labeller
WHERE number <= 0.9 * %(runs)s
