-- One row a file, in its newest version, refused ones included: what its path says and what the model says, which is
-- the champion's word if it has one, else that of the version that classified the image last.
CREATE VIEW category_results AS
SELECT newest.display_name AS fname,
       newest.path_label AS category,
       prediction.label AS prediction,
       prediction.confidence
FROM (
    SELECT DISTINCT ON (name) entry_id, display_name, path_label
    FROM entries
    ORDER BY name, entry_id DESC
) AS newest
LEFT JOIN outcomes USING (entry_id)
LEFT JOIN LATERAL (
    SELECT label, confidence
    FROM predictions
    WHERE image_id = outcomes.image_id
    ORDER BY model_version = (SELECT version FROM champions WHERE period @> now()) DESC NULLS LAST, predicted_at DESC
    LIMIT 1
) AS prediction ON true;
