-- Every step, by whoever and however it was made: the rows come from triggers, and not even their owner changes one.
CREATE TABLE audit_log (
    audit_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    who text NOT NULL,  -- the person, as Airflow knows them
    what text NOT NULL,
    of_table text NOT NULL,
    details jsonb NOT NULL,  -- the row that was inserted
    role text NOT NULL DEFAULT session_user,  -- of the database
    hash text COLLATE "C" NOT NULL
);

CREATE FUNCTION refuse_change() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: nobody may % it', TG_TABLE_NAME, lower(TG_OP);
END
$$;
CREATE TRIGGER audit_log_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Each step of the audit log has the hash of itself and of the one before it: one that is changed, or taken out, shows.
CREATE FUNCTION audit_hash(before text, step audit_log) RETURNS text
LANGUAGE sql STABLE
RETURN encode(sha256(convert_to(jsonb_build_array(
    before, step.audit_id, extract(epoch FROM step.at), step.who, step.what, step.of_table, step.details, step.role
)::text, 'UTF8')), 'hex');

CREATE FUNCTION chain() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
BEGIN
    LOCK TABLE audit_log IN SHARE ROW EXCLUSIVE MODE;  -- one after the other, as numbered
    NEW.audit_id := nextval(pg_get_serial_sequence('audit_log', 'audit_id'));
    NEW.hash := audit_hash(coalesce((SELECT hash FROM audit_log ORDER BY audit_id DESC LIMIT 1), ''), NEW);
    RETURN NEW;
END
$$;
REVOKE ALL ON FUNCTION chain FROM PUBLIC;
CREATE TRIGGER audit_log_is_chained BEFORE INSERT ON audit_log FOR EACH ROW EXECUTE FUNCTION chain();

-- Arguments: the inserted row's column of who did it; the column of what was done, or the words for it.
CREATE FUNCTION audit() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    fact jsonb := to_jsonb(NEW);
BEGIN
    INSERT INTO audit_log (who, what, of_table, details)
    VALUES (fact ->> TG_ARGV[0], coalesce(fact ->> TG_ARGV[1], TG_ARGV[1]), TG_TABLE_NAME, fact);
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION audit FROM PUBLIC;
