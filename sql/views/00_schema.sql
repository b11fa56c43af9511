-- Views hold no data: they are dropped and made again with every migration.
DROP SCHEMA IF EXISTS reporting CASCADE;
DROP VIEW IF EXISTS labelled_images;
DROP VIEW IF EXISTS category_results, image_labels, standing_labels, path_words, run_images;
CREATE SCHEMA reporting;
