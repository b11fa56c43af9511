-- The champion's period, if it came by a promotion, with whom it replaced and how often it was checked.
SELECT champions.version, lower(period) AS promoted_at, gates.champion AS predecessor, model_versions.bundle,
       count(champion_checks.run_id) AS checks, coalesce(max(champion_checks.images), 0) AS images,
       coalesce(bool_or(champion_checks.worse), false) AS worse
FROM champions
JOIN gates USING (gate_id)
JOIN model_versions ON model_versions.version = gates.champion
LEFT JOIN champion_checks ON promoted_at = lower(period)
WHERE period @> now()
GROUP BY champions.version, period, gates.champion, model_versions.bundle
