-- An entry that is settled already keeps its outcome.
INSERT INTO outcomes (entry_id, state, reason, detail, notes, sha256, image_id, decoded, run_id)
SELECT staged.entry_id,
       CASE WHEN staged.state <> 'accepted' THEN staged.state
            WHEN images.entry_id = staged.entry_id THEN 'ingested'
            ELSE 'duplicate' END,
       reason, detail, staged.notes, staged.image_id, images.image_id, staged.decoded, %(run_id)s
FROM staged_outcomes AS staged
LEFT JOIN images ON images.image_id = staged.image_id AND staged.state = 'accepted'
WHERE NOT EXISTS (SELECT FROM outcomes WHERE outcomes.entry_id = staged.entry_id)
