-- By the SHA-256 of an attempt's result, which has those of its request and its outputs, all of it can be checked later.
ALTER TABLE batches
    ADD COLUMN result_sha256 text COLLATE "C"  -- null where nothing was classified, and of batches before this column
        CHECK (length(result_sha256) = 64 AND result_sha256 !~ '[^0-9a-f]');
