-- How a champion changes: by a gate that its challenger passed and a person approved; or back, with a reason. Whose
-- word counts: who may approve and roll back, what an approval binds, and what nobody can slip in.

-- Who may answer and roll back, as the setting `approvers` said when the ledger was migrated last.
CREATE TABLE approvers (
    name text COLLATE "C" PRIMARY KEY CHECK (name ~ '\S')
);

-- What a run of promote_model is about: the steps after its plan read it here.
CREATE TABLE gate_plans (
    gate_id text COLLATE "C" PRIMARY KEY,  -- the run of promote_model
    challenger text COLLATE "C" NOT NULL REFERENCES model_versions,
    champion text COLLATE "C" NOT NULL REFERENCES model_versions,
    holdout_set text COLLATE "C" REFERENCES datasets,
    recent_set text COLLATE "C" REFERENCES datasets,
    requested_by text NOT NULL CHECK (requested_by ~ '\S'),
    planned_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- One row a gate: what a challenger showed against a champion. `gate_id` is the run of promote_model that held it.
CREATE TABLE gates (
    gate_id text COLLATE "C" PRIMARY KEY,
    challenger text COLLATE "C" NOT NULL REFERENCES model_versions,
    champion text COLLATE "C" NOT NULL REFERENCES model_versions,
    holdout_set text COLLATE "C" REFERENCES datasets,
    recent_set text COLLATE "C" REFERENCES datasets,  -- the newest labelled images
    checks integer NOT NULL CHECK (checks > 0),
    outcome text NOT NULL CHECK (outcome IN ('pass', 'fail', 'not enough evidence')),
    sentence text NOT NULL,
    rules jsonb NOT NULL,  -- gate.Rules
    folder text NOT NULL,  -- of the report, relative to the store
    html_sha256 text COLLATE "C" NOT NULL CHECK (length(html_sha256) = 64 AND html_sha256 !~ '[^0-9a-f]'),
    requested_by text NOT NULL CHECK (requested_by ~ '\S'),
    approvers text[] NOT NULL,  -- who are asked
    answer_by timestamptz NOT NULL,
    made_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT challenger_is_another CHECK (challenger <> champion),
    CONSTRAINT approvers_are_named CHECK (cardinality(approvers) > 0 AND array_position(approvers, NULL) IS NULL),
    UNIQUE (gate_id, requested_by)
);
CREATE INDEX gates_challenger ON gates (challenger);
CREATE TRIGGER gates_are_audited AFTER INSERT ON gates
    FOR EACH ROW EXECUTE FUNCTION audit('requested_by', 'examined');

CREATE TABLE gate_results (
    gate_id text COLLATE "C" NOT NULL REFERENCES gates,
    check_name text NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('pass', 'fail', 'not enough evidence')),
    sentence text NOT NULL,
    found double precision,  -- with its interval; null if the check has no number
    low double precision,
    high double precision,
    bound double precision,
    allowed text NOT NULL CHECK (allowed IN ('above', 'below')),  -- the bound
    unit text NOT NULL,
    measured_on text CHECK (measured_on IN ('holdout', 'recent')),
    needed integer CHECK (needed > 0),  -- more labels, that would most likely show it
    PRIMARY KEY (gate_id, check_name)
);

-- A gate has exactly its checks, and an outcome that follows from them, once the transaction that inserts ends.
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
        gate_id, challenger, champion, holdout_set, recent_set, checks, outcome, sentence, rules, folder, html_sha256,
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

-- One answer a gate. It refers to its gate with who requested it: so self-approval is refused by the table itself.
CREATE TABLE approvals (
    gate_id text COLLATE "C" PRIMARY KEY,
    requested_by text NOT NULL,
    decision text NOT NULL CHECK (decision IN ('approved', 'rejected')),
    approver text NOT NULL CHECK (approver ~ '\S'),
    reason text NOT NULL CHECK (reason ~ '\S'),
    decided_at timestamptz NOT NULL,
    evidence text COLLATE "C" NOT NULL,  -- gate_evidence of what was answered to
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    FOREIGN KEY (gate_id, requested_by) REFERENCES gates (gate_id, requested_by),
    CONSTRAINT nobody_approves_their_own CHECK (decision = 'rejected' OR lower(approver) <> lower(requested_by)),
    CONSTRAINT evidence_is_a_hash CHECK (length(evidence) = 64 AND evidence !~ '[^0-9a-f]')
);
CREATE TRIGGER approvals_are_audited AFTER INSERT ON approvals
    FOR EACH ROW EXECUTE FUNCTION audit('approver', 'decision');

CREATE TABLE champions (
    version text COLLATE "C" NOT NULL REFERENCES model_versions,
    period tstzrange NOT NULL CHECK (NOT isempty(period) AND lower(period) IS NOT NULL),
    promoted_by text NOT NULL,
    reason text NOT NULL,
    cause text NOT NULL DEFAULT 'installed' CHECK (cause IN ('installed', 'promoted', 'rolled back')),
    gate_id text COLLATE "C" UNIQUE REFERENCES approvals,  -- of a promotion
    run_id text COLLATE "C" UNIQUE,  -- of a roll back: of Airflow
    CONSTRAINT change_says_by_what CHECK (
        (cause = 'promoted') = (gate_id IS NOT NULL) AND (cause = 'rolled back') = (run_id IS NOT NULL)
    ),
    CONSTRAINT change_says_who_and_why CHECK (promoted_by ~ '\S' AND reason ~ '\S'),
    EXCLUDE USING gist (period WITH &&)
);
CREATE TRIGGER champions_are_audited AFTER INSERT ON champions
    FOR EACH ROW EXECUTE FUNCTION audit('promoted_by', 'cause');

-- A check of a promotion: what the new champion and the one before it answer to the images that were labelled since.
CREATE TABLE champion_checks (
    run_id text COLLATE "C" PRIMARY KEY,  -- of monitor_champion
    version text COLLATE "C" NOT NULL REFERENCES model_versions,
    predecessor text COLLATE "C" NOT NULL REFERENCES model_versions,
    promoted_at timestamptz NOT NULL,
    number integer NOT NULL CHECK (number > 0),
    images integer NOT NULL CHECK (images > 0),
    gained integer NOT NULL CHECK (gained >= 0),  -- only the new champion has them right
    lost integer NOT NULL CHECK (lost >= 0),
    p_worse double precision NOT NULL CHECK (p_worse BETWEEN 0 AND 1),
    alpha double precision NOT NULL,  -- of this check
    worse boolean NOT NULL,
    sentence text NOT NULL,
    made_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT worse_is_beyond_chance CHECK (worse = (p_worse <= alpha)),
    UNIQUE (promoted_at, number)
);

-- Make a version the very first champion, which passes no gate; whether it became that.
CREATE FUNCTION install_first_champion(candidate text, installed_by text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
BEGIN
    LOCK TABLE champions IN SHARE ROW EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM champions) THEN
        RETURN false;
    END IF;
    INSERT INTO champions (version, period, promoted_by, reason)
    VALUES (candidate, tstzrange(now(), NULL), installed_by, 'first champion');
    RETURN true;
END
$$;
REVOKE ALL ON FUNCTION install_first_champion FROM PUBLIC;

-- Record the answer to a gate of somebody who was asked and may answer now, with the evidence for it. The same answer
-- again, as of a task that is tried again, changes nothing.
CREATE FUNCTION record_approval(gate text, answer text, person text, why text, answered_at timestamptz) RETURNS void
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
REVOKE ALL ON FUNCTION record_approval FROM PUBLIC;

-- The compare-and-set: only the expected champion is replaced. The same instant ends one period and begins the next.
CREATE FUNCTION replace_champion(
    expected text, successor text, by_what text, person text, why text, passed_gate text, by_run text
) RETURNS timestamptz
LANGUAGE plpgsql SET search_path = public, pg_temp
AS $$
DECLARE
    current tstzrange;
    instant timestamptz;
BEGIN
    SELECT period INTO current FROM champions WHERE upper_inf(period) AND version = expected;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the champion is not % (any more), but %', expected,
            coalesce((SELECT version FROM champions WHERE upper_inf(period)), 'nobody');
    END IF;
    instant := clock_timestamp();
    IF instant <= lower(current) THEN
        RAISE EXCEPTION 'the champion is champion since %, which is to come: the clock of the database went back',
            lower(current);
    END IF;
    UPDATE champions SET period = tstzrange(lower(current), instant) WHERE period = current;
    INSERT INTO champions (version, period, promoted_by, reason, cause, gate_id, run_id)
    VALUES (successor, tstzrange(instant, NULL), person, why, by_what, passed_gate, by_run);
    RETURN instant;
END
$$;
REVOKE ALL ON FUNCTION replace_champion FROM PUBLIC;

-- Make the challenger of a gate the champion, in place of the expected one; since when it is. The gate was passed, and
-- is what was approved. It promotes once: doing it again changes nothing.
CREATE FUNCTION promote(gate text, expected text) RETURNS timestamptz
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
REVOKE ALL ON FUNCTION promote FROM PUBLIC;

-- Put a version back that was champion before, in place of the expected one; since when it is. Who may approve may roll
-- back, and a run does so once.
CREATE FUNCTION roll_back(run text, to_version text, expected text, person text, why text)
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
REVOKE ALL ON FUNCTION roll_back FROM PUBLIC;
