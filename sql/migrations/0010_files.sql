-- What people look for files by. Of a file's own name the first, or last, 255 characters: a name has no more bytes than
-- that, but is shown with more characters if it is no UTF-8, and an index row has an end. In lower case, as bytes.
CREATE INDEX entries_name_start
    ON entries ((lower(left(split_part(display_name, '/', -1), 255)) COLLATE "C"), entry_id);
CREATE INDEX entries_name_end
    ON entries ((reverse(lower(right(split_part(display_name, '/', -1), 255))) COLLATE "C"), entry_id);
-- Of contents that became no image; `images` and `outcomes_duplicates` have the others.
CREATE INDEX outcomes_refused_content ON outcomes (sha256) WHERE image_id IS NULL AND sha256 IS NOT NULL;
-- The runs that took up an entry, and the shards in which its pixels are.
CREATE INDEX run_entries_entry ON run_entries (entry_id);
CREATE INDEX runs_started_at ON runs (started_at);
