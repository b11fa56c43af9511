-- A person looks at refused files and says that nothing has to be done about them, or takes that back. They stay refused.
CREATE TABLE discards (
    discard_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    who text NOT NULL CHECK (who ~ '\S'),
    what text NOT NULL CHECK (what IN ('discarded', 'taken back')),
    why text NOT NULL CHECK (why ~ '\S'),
    files bigint NOT NULL CHECK (files > 0),
    chosen jsonb NOT NULL,  -- the entries, or the filters that they fit
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TRIGGER discards_are_audited AFTER INSERT ON discards
    FOR EACH ROW EXECUTE FUNCTION audit('who', 'what');

-- Which files a step was about. Only `discard` writes here, and an invariant proves what it wrote: foreign keys would take
-- most of the time of a step of a million files.
CREATE TABLE discarded_files (
    entry_id bigint NOT NULL,
    recorded_at timestamptz NOT NULL,  -- of its outcome: in that order both are read
    discard_id bigint NOT NULL,
    taken_back_by bigint,  -- a later step
    PRIMARY KEY (entry_id, discard_id)
);
CREATE UNIQUE INDEX discarded_files_latest ON discarded_files (recorded_at, entry_id) WHERE taken_back_by IS NULL;

-- Discard those of the entries that are refused, or take that back of those that are discarded; returns how many these
-- are. If there are none, nothing is recorded.
CREATE FUNCTION discard(by_whom text, what_is_done text, reason text, of_which jsonb, entries bigint[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    step bigint := nextval(pg_get_serial_sequence('discards', 'discard_id'));
    touched bigint;
BEGIN
    LOCK TABLE discards IN SHARE ROW EXCLUSIVE MODE;  -- one after the other: two that meet would wait for each other
    IF what_is_done = 'discarded' THEN
        INSERT INTO discarded_files (entry_id, recorded_at, discard_id)
        SELECT entry_id, recorded_at, step
        FROM outcomes
        WHERE entry_id = ANY (entries) AND state IN ('quarantined', 'rejected', 'vanished')
        ON CONFLICT (recorded_at, entry_id) WHERE taken_back_by IS NULL DO NOTHING;
    ELSE
        UPDATE discarded_files SET taken_back_by = step WHERE entry_id = ANY (entries) AND taken_back_by IS NULL;
    END IF;
    GET DIAGNOSTICS touched = ROW_COUNT;
    IF touched > 0 THEN  -- last, since others wait for the audit log
        INSERT INTO discards (discard_id, who, what, why, files, chosen) OVERRIDING SYSTEM VALUE
        VALUES (step, by_whom, what_is_done, reason, touched, of_which);
    END IF;
    RETURN touched;
END
$$;
REVOKE ALL ON FUNCTION discard FROM PUBLIC;
