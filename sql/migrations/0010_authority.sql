-- Whose word counts: who may approve and roll back, what an approval binds, and what nobody can slip in.

-- What is done one after the other takes its row here FOR UPDATE. An advisory lock anybody may take, a row only who may
-- update its table.
CREATE TABLE locks (
    name text PRIMARY KEY,
    taken boolean NOT NULL DEFAULT false  -- never set: there has to be a column that may be updated
);
INSERT INTO locks (name) VALUES ('ledger'), ('labels');

-- Who may answer and roll back, as the setting `approvers` said when the ledger was migrated last.
CREATE TABLE approvers (
    name text COLLATE "C" PRIMARY KEY CHECK (name ~ '\S')
);

-- What a run of retrain_model and of promote_model is about: the steps after its plan read it here. A training that is
-- planned again has another row, of which the last counts.
CREATE TABLE trainings (
    training_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id text COLLATE "C" NOT NULL,  -- of retrain_model
    asked_by text NOT NULL CHECK (asked_by ~ '\S'),
    reason text NOT NULL CHECK (reason ~ '\S'),
    report_id bigint REFERENCES drift_reports,  -- that asked, where no person did
    parent text COLLATE "C" NOT NULL REFERENCES model_versions,
    training_set text COLLATE "C" NOT NULL REFERENCES datasets,
    holdout text COLLATE "C" NOT NULL REFERENCES datasets,
    gate_window text COLLATE "C" NOT NULL REFERENCES datasets,
    planned_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX trainings_run ON trainings (run_id);

CREATE TABLE gate_plans (
    gate_id text COLLATE "C" PRIMARY KEY,  -- the run of promote_model
    challenger text COLLATE "C" NOT NULL REFERENCES model_versions,
    champion text COLLATE "C" NOT NULL REFERENCES model_versions,
    holdout_set text COLLATE "C" REFERENCES datasets,
    window_set text COLLATE "C" REFERENCES datasets,
    requested_by text NOT NULL CHECK (requested_by ~ '\S'),
    planned_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- A gate has exactly its checks, and an outcome that follows from them, once the transaction that inserts ends.
ALTER TABLE gates
    ADD CONSTRAINT approvers_are_named CHECK (cardinality(approvers) > 0 AND array_position(approvers, NULL) IS NULL);

CREATE FUNCTION gate_follows(gate text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = public, pg_temp
RETURN (
    SELECT count(gate_results.gate_id) = gates.checks AND gates.outcome = CASE
               WHEN bool_or(gate_results.outcome = 'fail') THEN 'fail'
               WHEN bool_and(gate_results.outcome = 'pass') THEN 'pass'
               ELSE 'not enough evidence' END
    FROM gates
    LEFT JOIN gate_results USING (gate_id)
    WHERE gates.gate_id = gate
    GROUP BY gates.gate_id
);

CREATE FUNCTION check_gate() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
BEGIN
    IF gate_follows(NEW.gate_id) IS NOT TRUE THEN
        RAISE EXCEPTION 'gate % has not just the checks that it says, or its outcome does not follow from them', NEW.gate_id
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION check_gate FROM PUBLIC;
CREATE CONSTRAINT TRIGGER gate_is_whole AFTER INSERT ON gates
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_gate();
CREATE CONSTRAINT TRIGGER gate_stays_whole AFTER INSERT ON gate_results
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_gate();

-- The SHA-256 of all that a gate says, its report's hash included: what an approver has approved.
CREATE FUNCTION gate_evidence(gate text) RETURNS text
LANGUAGE sql STABLE SET search_path = public, pg_temp SET timezone = 'UTC' SET extra_float_digits = 1
RETURN (
    SELECT encode(sha256(convert_to(jsonb_build_array(
        gate_id, challenger, champion, holdout_set, window_set, checks, outcome, sentence, rules, folder, html_sha256,
        requested_by, approvers, answer_by, made_at,
        (
            SELECT jsonb_agg(jsonb_build_array(
                check_name, outcome, sentence, found, low, high, bound, allowed, unit, measured_on, needed
            ) ORDER BY check_name COLLATE "C")
            FROM gate_results
            WHERE gate_results.gate_id = gates.gate_id
        )
    )::text, 'UTF8')), 'hex')
    FROM gates
    WHERE gate_id = gate
);

ALTER TABLE approvals ADD COLUMN evidence text COLLATE "C";
UPDATE approvals SET evidence = gate_evidence(gate_id);
ALTER TABLE approvals
    ALTER COLUMN evidence SET NOT NULL,
    ADD CONSTRAINT evidence_is_a_hash CHECK (length(evidence) = 64 AND evidence !~ '[^0-9a-f]');

-- A file's words and a person's come by different roles: neither can write the other's source.
ALTER TABLE labels ALTER COLUMN source SET DEFAULT 'file', ALTER COLUMN labelled_at SET DEFAULT now();

-- As before; beside it: only who may answer now does, and the evidence is kept with it.
CREATE OR REPLACE FUNCTION record_approval(gate text, answer text, person text, why text, answered_at timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    asked gates;
    known approvals;
BEGIN
    SELECT * INTO asked FROM gates WHERE gate_id = gate FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no gate %', gate;
    END IF;
    SELECT * INTO known FROM approvals WHERE gate_id = gate;
    IF FOUND THEN
        IF (known.decision, known.approver) = (answer, person) THEN
            RETURN;
        END IF;
        RAISE EXCEPTION 'gate % was % by % already', gate, known.decision, known.approver;
    END IF;
    IF (person = ANY (asked.approvers)) IS NOT TRUE THEN
        RAISE EXCEPTION '% is none of those who may answer: %', person, array_to_string(asked.approvers, ', ');
    END IF;
    IF NOT EXISTS (SELECT FROM approvers WHERE name = person) THEN
        RAISE EXCEPTION '% is none of those who may answer any more', person;
    END IF;
    IF (answered_at <= asked.answer_by) IS NOT TRUE THEN
        RAISE EXCEPTION 'the answer came at %, and was due by %: hold a new gate', answered_at, asked.answer_by;
    END IF;
    IF asked.made_at > clock_timestamp() THEN
        RAISE EXCEPTION 'gate % says that it was held at %, which is to come', gate, asked.made_at;
    END IF;
    IF answer = 'approved' THEN
        IF asked.outcome <> 'pass' OR gate_follows(gate) IS NOT TRUE THEN
            RAISE EXCEPTION 'gate % was not passed (%): there is nothing to approve', gate, asked.outcome;
        END IF;
        IF lower(person) IN (
            SELECT lower(asked.requested_by)
            UNION ALL
            SELECT lower(registered_by) FROM model_versions WHERE version = asked.challenger
            UNION ALL
            SELECT lower(asked_by) FROM model_lineage WHERE version = asked.challenger
            UNION ALL
            SELECT lower(trainings.asked_by)
            FROM trainings
            JOIN model_lineage USING (run_id)
            WHERE version = asked.challenger
        ) THEN
            RAISE EXCEPTION '% asked for this promotion, or trained the challenger: somebody else has to approve it',
                person;
        END IF;
    END IF;
    INSERT INTO approvals (gate_id, requested_by, decision, approver, reason, decided_at, evidence)
    VALUES (gate, asked.requested_by, answer, person, why, answered_at, gate_evidence(gate));
END
$$;

-- As before; beside it: a gate has no check but those that passed, and is what was approved.
CREATE OR REPLACE FUNCTION promote(gate text, expected text) RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    asked gates;
    answer approvals;
    since timestamptz;
BEGIN
    LOCK TABLE champions IN SHARE ROW EXCLUSIVE MODE;
    SELECT lower(period) INTO since FROM champions WHERE gate_id = gate;
    IF FOUND THEN
        RETURN since;
    END IF;
    SELECT * INTO asked FROM gates WHERE gate_id = gate;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no gate %', gate;
    END IF;
    IF asked.champion <> expected THEN
        RAISE EXCEPTION 'gate % was compared with %, not with the expected champion %',
            gate, asked.champion, expected;
    END IF;
    IF asked.outcome <> 'pass' OR gate_follows(gate) IS NOT TRUE THEN
        RAISE EXCEPTION 'gate % was not passed: %', gate, asked.sentence;
    END IF;
    SELECT * INTO answer FROM approvals WHERE gate_id = gate;
    IF NOT FOUND OR answer.decision <> 'approved' THEN
        RAISE EXCEPTION 'gate % is not approved', gate;
    END IF;
    IF asked.made_at > clock_timestamp() THEN
        RAISE EXCEPTION 'gate % was held at %, which is to come: the clock of the database went back',
            gate, asked.made_at;
    END IF;
    IF answer.evidence IS DISTINCT FROM gate_evidence(gate) THEN
        RAISE EXCEPTION 'gate % is not any more what % approved: hold a new one', gate, answer.approver;
    END IF;
    IF EXISTS (SELECT FROM champions WHERE upper_inf(period) AND lower(period) > asked.made_at) THEN
        RAISE EXCEPTION 'the champion changed since gate % was held: hold a new one', gate;
    END IF;
    RETURN replace_champion(expected, asked.challenger, 'promoted', answer.approver, answer.reason, gate, NULL);
END
$$;

-- As before; beside it: only who may approve may roll back.
CREATE OR REPLACE FUNCTION roll_back(run text, to_version text, expected text, person text, why text)
RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    since timestamptz;
BEGIN
    LOCK TABLE champions IN SHARE ROW EXCLUSIVE MODE;
    SELECT lower(period) INTO since FROM champions WHERE run_id = run;
    IF FOUND THEN
        RETURN since;
    END IF;
    IF NOT EXISTS (SELECT FROM approvers WHERE name = person) THEN
        RAISE EXCEPTION '% may not roll back: who may are %', person,
            (SELECT string_agg(name, ', ' ORDER BY name) FROM approvers);
    END IF;
    IF why IS NULL OR why !~ '\S' THEN
        RAISE EXCEPTION 'a roll back needs a reason';
    END IF;
    IF to_version = expected THEN
        RAISE EXCEPTION 'version % is the champion already', to_version;
    END IF;
    IF NOT EXISTS (SELECT FROM champions WHERE version = to_version) THEN
        RAISE EXCEPTION 'version % was never champion: it has to pass the gate', to_version;
    END IF;
    RETURN replace_champion(expected, to_version, 'rolled back', person, why, NULL, run);
END
$$;

-- Each step of the audit log has the hash of itself and of the one before it: one that is changed, or taken out, shows.
ALTER TABLE audit_log ADD COLUMN hash text COLLATE "C";

CREATE FUNCTION audit_hash(before text, step audit_log) RETURNS text
LANGUAGE sql STABLE
RETURN encode(sha256(convert_to(jsonb_build_array(
    before, step.audit_id, extract(epoch FROM step.at), step.who, step.what, step.of_table, step.details, step.role
)::text, 'UTF8')), 'hex');

ALTER TABLE audit_log DISABLE TRIGGER audit_log_is_append_only;
DO $$
DECLARE
    step audit_log;
    before text := '';
BEGIN
    FOR step IN SELECT * FROM audit_log ORDER BY audit_id LOOP
        before := audit_hash(before, step);
        UPDATE audit_log SET hash = before WHERE audit_id = step.audit_id;
    END LOOP;
END
$$;
ALTER TABLE audit_log ENABLE TRIGGER audit_log_is_append_only;
ALTER TABLE audit_log ALTER COLUMN hash SET NOT NULL;

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
