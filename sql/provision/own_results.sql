-- In the database of Celery's results, as its owner: workers write that a task has ended, and how. Celery keeps what a
-- task returned or raised as a pickle, which whoever reads it would run: of that, nothing is kept. Airflow reads the
-- state alone.
CREATE OR REPLACE FUNCTION drop_pickles() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.result := NULL;
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER drop_pickles
    BEFORE INSERT OR UPDATE ON celery_taskmeta FOR EACH ROW EXECUTE FUNCTION drop_pickles();

REVOKE ALL ON DATABASE celery FROM PUBLIC;
GRANT CONNECT ON DATABASE celery TO celery;
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC;
GRANT SELECT, INSERT, UPDATE ON celery_taskmeta TO celery;
GRANT SELECT ON celery_tasksetmeta TO celery;
GRANT USAGE ON SEQUENCE task_id_sequence TO celery;
