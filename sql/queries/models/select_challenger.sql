-- What was trained last: where it comes from, and how it and its parent do on the holdout.
SELECT model_lineage.version, training.images, training.rule ->> 'images' AS chosen, reason, asked_by,
       (challenger.metrics ->> 'accuracy')::double precision AS accuracy, model_lineage.recent_set
FROM model_lineage
JOIN model_versions AS challenger USING (version)
JOIN datasets AS training ON training.dataset_id = training_set
ORDER BY challenger.registered_at DESC
LIMIT 1
