-- A label from a file is a class of the model that was champion when the file was loaded, or says: none of them.
SELECT run_id, label_files.file_id, line, image_id, label
FROM label_files
JOIN model_versions ON model_versions.version = model_version
JOIN labels ON labels.file_id = label_files.file_id
WHERE label <> '' AND label <> ALL (classes)
