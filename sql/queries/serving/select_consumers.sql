-- Who may ask now, and where the bundle lies of the version that one is pinned to.
SELECT last.name, token_sha256, requests_per_second, version, bundle
FROM (
    SELECT DISTINCT ON (name) name, what, token_sha256, requests_per_second, version
    FROM consumer_steps
    ORDER BY name, step_id DESC
) AS last
LEFT JOIN model_versions USING (version)
WHERE what = 'created'
ORDER BY last.name
