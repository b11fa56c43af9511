SELECT model_versions.*
FROM champions
JOIN model_versions USING (version)
WHERE period @> now()
