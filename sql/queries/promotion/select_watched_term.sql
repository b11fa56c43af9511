-- The champion's term of office, where it came by a promotion, with whom it replaced and how often it was looked at.
SELECT champions.version, lower(period) AS promoted_at, gates.champion AS predecessor, model_versions.bundle,
       count(watches.run_id) AS looks, coalesce(max(watches.images), 0) AS images,
       coalesce(bool_or(watches.worse), false) AS worse
FROM champions
JOIN gates USING (gate_id)
JOIN model_versions ON model_versions.version = gates.champion
LEFT JOIN watches ON promoted_at = lower(period)
WHERE period @> now()
GROUP BY champions.version, period, gates.champion, model_versions.bundle
