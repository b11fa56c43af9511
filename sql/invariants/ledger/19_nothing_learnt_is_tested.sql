-- No image is both in a set that models learn from and in one that they are tested on.
SELECT image_id, learnt.dataset_id AS learnt_from, tested.dataset_id AS tested_on
FROM dataset_images AS learnt
JOIN dataset_images AS tested USING (image_id)
JOIN datasets AS learnt_set ON learnt_set.dataset_id = learnt.dataset_id AND learnt_set.kind IN ('original', 'training')
JOIN datasets AS tested_set ON tested_set.dataset_id = tested.dataset_id AND tested_set.kind IN ('holdout', 'recent')
