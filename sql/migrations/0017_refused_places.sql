-- Where a refused file lies is repeated in its outcome, so that people find the refused files of a folder or a source, the
-- latest first, without looking at all that were ever refused. Both are null of what was accepted, which pays nothing.
ALTER TABLE outcomes
    ADD COLUMN refused_source text COLLATE "C",
    ADD COLUMN refused_folder text;  -- the first one below the period, '' of a file that lies in none

CREATE FUNCTION first_folder(source text, path text) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN CASE WHEN split_part(path, '/', CASE source WHEN '' THEN 3 ELSE 4 END) = '' THEN ''
            ELSE split_part(path, '/', CASE source WHEN '' THEN 2 ELSE 3 END) END;

CREATE FUNCTION place_refused() RETURNS trigger
LANGUAGE plpgsql SET search_path = public, pg_temp
AS $$
BEGIN
    SELECT source, first_folder(source, display_name)
    INTO NEW.refused_source, NEW.refused_folder
    FROM entries
    WHERE entry_id = NEW.entry_id;
    RETURN NEW;
END
$$;
CREATE TRIGGER outcomes_say_where BEFORE INSERT ON outcomes
    FOR EACH ROW WHEN (NEW.state IN ('quarantined', 'rejected', 'vanished')) EXECUTE FUNCTION place_refused();

UPDATE outcomes
SET refused_source = source, refused_folder = first_folder(source, display_name)
FROM entries
WHERE entries.entry_id = outcomes.entry_id AND state IN ('quarantined', 'rejected', 'vanished');

CREATE INDEX outcomes_refused_folder ON outcomes (refused_folder, recorded_at, entry_id)
    WHERE state IN ('quarantined', 'rejected', 'vanished');
CREATE INDEX outcomes_refused_source ON outcomes (refused_source, recorded_at, entry_id)
    WHERE state IN ('quarantined', 'rejected', 'vanished');
CREATE INDEX outcomes_refused_reason ON outcomes (reason, recorded_at, entry_id)
    WHERE state IN ('quarantined', 'rejected', 'vanished');
