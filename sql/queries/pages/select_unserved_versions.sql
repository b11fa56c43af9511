SELECT version, model, problem, since, consumers, rollout_id
FROM reporting.unserved_versions
ORDER BY since, version
