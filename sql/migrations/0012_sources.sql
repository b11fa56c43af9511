-- Where files come from, as a camera or a shop: the folder before the hour, as people see it; '' where there is none, as
-- for all that was listed before this column. A drop is one hour of one source.
ALTER TABLE drops ADD COLUMN source text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE entries
    ADD COLUMN source text COLLATE "C" NOT NULL DEFAULT '',
    ADD CONSTRAINT source_is_the_first_folder
        CHECK (source = '' OR source !~ '/' AND starts_with(display_name, source || '/')),
    DROP CONSTRAINT entries_drop_at_fkey;
ALTER TABLE drops DROP CONSTRAINT drops_pkey, ADD PRIMARY KEY (source, drop_at);
ALTER TABLE entries ADD FOREIGN KEY (source, drop_at) REFERENCES drops;
