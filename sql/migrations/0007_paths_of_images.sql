-- What all the paths of an image say: those of its duplicates, beside that of the entry that was ingested.
CREATE INDEX outcomes_duplicates ON outcomes (image_id) WHERE state = 'duplicate';
