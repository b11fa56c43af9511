-- The entries that the ledger has of a drop: whether each is settled, and whether its image lacks a prediction by a version.
SELECT name, version, entry_id,
       state IS NOT NULL AS has_outcome,
       outcomes.image_id IS NOT NULL AND predictions.image_id IS NULL AS needs_prediction
FROM entries
LEFT JOIN outcomes USING (entry_id)
LEFT JOIN predictions ON predictions.image_id = outcomes.image_id AND predictions.model_version = %(model_version)s
WHERE drop_at = %(drop_at)s
