-- How a champion changes: by a gate that its challenger passed and a person approved; or back, with a reason.

-- One row a gate: what a challenger showed against a champion. `gate_id` is the run of promote_model that held it.
CREATE TABLE gates (
    gate_id text COLLATE "C" PRIMARY KEY,
    challenger text COLLATE "C" NOT NULL REFERENCES model_versions,
    champion text COLLATE "C" NOT NULL REFERENCES model_versions,
    holdout_set text COLLATE "C" REFERENCES datasets,
    window_set text COLLATE "C" REFERENCES datasets,  -- the newest labelled window
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
    UNIQUE (gate_id, requested_by)
);
CREATE INDEX gates_challenger ON gates (challenger);

CREATE TABLE gate_results (
    gate_id text COLLATE "C" NOT NULL REFERENCES gates,
    check_name text NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('pass', 'fail', 'not enough evidence')),
    sentence text NOT NULL,
    found double precision,  -- with its interval; null where the check has no number
    low double precision,
    high double precision,
    bound double precision,
    allowed text NOT NULL CHECK (allowed IN ('above', 'below')),  -- the bound
    unit text NOT NULL,
    measured_on text CHECK (measured_on IN ('holdout', 'window')),
    needed integer CHECK (needed > 0),  -- more labels, that would most likely show it
    PRIMARY KEY (gate_id, check_name)
);

-- One answer a gate. It refers to its gate with who requested it: so self-approval is refused by the table itself.
CREATE TABLE approvals (
    gate_id text COLLATE "C" PRIMARY KEY,
    requested_by text NOT NULL,
    decision text NOT NULL CHECK (decision IN ('approved', 'rejected')),
    approver text NOT NULL CHECK (approver ~ '\S'),
    reason text NOT NULL CHECK (reason ~ '\S'),
    decided_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    FOREIGN KEY (gate_id, requested_by) REFERENCES gates (gate_id, requested_by),
    CONSTRAINT nobody_approves_their_own CHECK (decision = 'rejected' OR lower(approver) <> lower(requested_by))
);

ALTER TABLE champions
    ADD COLUMN cause text NOT NULL DEFAULT 'installed' CHECK (cause IN ('installed', 'promoted', 'rolled back')),
    ADD COLUMN gate_id text COLLATE "C" UNIQUE REFERENCES approvals,  -- of a promotion
    ADD COLUMN run_id text COLLATE "C" UNIQUE,  -- of a roll back: of Airflow
    ADD CONSTRAINT change_says_by_what CHECK (
        (cause = 'promoted') = (gate_id IS NOT NULL) AND (cause = 'rolled back') = (run_id IS NOT NULL)
    ),
    ADD CONSTRAINT change_says_who_and_why CHECK (promoted_by ~ '\S' AND reason ~ '\S');

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

-- Every step, by whoever and however it was made: the rows come from triggers, and not even their owner changes one.
CREATE TABLE audit_log (
    audit_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    who text NOT NULL,  -- the person, as Airflow knows them
    what text NOT NULL,
    of_table text NOT NULL,
    details jsonb NOT NULL,  -- the row that was inserted
    role text NOT NULL DEFAULT session_user  -- of the database
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

-- Arguments: the column of who did it; the column of what was done, or the words for it.
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

INSERT INTO audit_log (at, who, what, of_table, details)
SELECT lower(period), promoted_by, cause, 'champions', to_jsonb(champions)
FROM champions
ORDER BY period;

CREATE TRIGGER gates_are_audited AFTER INSERT ON gates
    FOR EACH ROW EXECUTE FUNCTION audit('requested_by', 'examined');
CREATE TRIGGER approvals_are_audited AFTER INSERT ON approvals
    FOR EACH ROW EXECUTE FUNCTION audit('approver', 'decision');
CREATE TRIGGER champions_are_audited AFTER INSERT ON champions
    FOR EACH ROW EXECUTE FUNCTION audit('promoted_by', 'cause');

-- Record a person's answer to a gate. The same answer again, as of a task that is tried again, changes nothing.
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
    IF NOT person = ANY (asked.approvers) THEN
        RAISE EXCEPTION '% is none of those who may answer: %', person, array_to_string(asked.approvers, ', ');
    END IF;
    IF answered_at > asked.answer_by THEN
        RAISE EXCEPTION 'the answer came at %, and was due by %: hold a new gate', answered_at, asked.answer_by;
    END IF;
    IF answer = 'approved' THEN
        IF asked.outcome <> 'pass' THEN
            RAISE EXCEPTION 'gate % was not passed (%): there is nothing to approve', gate, asked.outcome;
        END IF;
        IF lower(person) IN (
            SELECT lower(asked.requested_by)
            UNION ALL
            SELECT lower(registered_by) FROM model_versions WHERE version = asked.challenger
            UNION ALL
            SELECT lower(asked_by) FROM model_lineage WHERE version = asked.challenger
        ) THEN
            RAISE EXCEPTION '% asked for this promotion, or trained the challenger: somebody else has to approve it',
                person;
        END IF;
    END IF;
    INSERT INTO approvals (gate_id, requested_by, decision, approver, reason, decided_at)
    VALUES (gate, asked.requested_by, answer, person, why, answered_at);
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

-- Make the challenger of a passed and approved gate the champion, in place of the expected one; since when it is.
-- A gate promotes once: doing it again changes nothing.
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
    IF asked.outcome <> 'pass' OR asked.checks <> (
        SELECT count(*) FILTER (WHERE outcome = 'pass') FROM gate_results WHERE gate_id = gate
    ) THEN
        RAISE EXCEPTION 'gate % was not passed: %', gate, asked.sentence;
    END IF;
    SELECT * INTO answer FROM approvals WHERE gate_id = gate;
    IF NOT FOUND OR answer.decision <> 'approved' THEN
        RAISE EXCEPTION 'gate % is not approved', gate;
    END IF;
    IF EXISTS (SELECT FROM champions WHERE upper_inf(period) AND lower(period) > asked.made_at) THEN
        RAISE EXCEPTION 'the champion changed since gate % was held: hold a new one', gate;
    END IF;
    RETURN replace_champion(expected, asked.challenger, 'promoted', answer.approver, answer.reason, gate, NULL);
END
$$;
REVOKE ALL ON FUNCTION promote FROM PUBLIC;

-- Put a version back that was champion before, in place of the expected one; since when it is. A run rolls back once.
CREATE FUNCTION roll_back(run text, to_version text, expected text, person text, why text) RETURNS timestamptz
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
