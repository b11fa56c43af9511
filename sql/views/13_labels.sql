-- What people are asked to label, answered or not; what was said by files and people, each word.
CREATE VIEW reporting.asked AS
SELECT run_id, image_id, chosen, margin, chosen_at
FROM audit_images
JOIN audit_samples USING (run_id);

CREATE VIEW reporting.words AS
SELECT image_id, source, labeller, label, labelled_at FROM labels;
