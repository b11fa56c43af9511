-- Rollouts and serving for good: who may not approve is said once, a rollout records that it asks, and is looked at until
-- it ends; answers are counted by the day, and may be forgotten; agents say what they cannot offer and cannot load.

-- Whether a person registered or trained a version, or asked for that: somebody else approves it.
CREATE FUNCTION has_made(person text, candidate text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = public, pg_temp
RETURN lower(person) IN (
    SELECT lower(registered_by) FROM model_versions WHERE version = candidate
    UNION ALL
    SELECT lower(asked_by) FROM model_lineage WHERE version = candidate
    UNION ALL
    SELECT lower(trainings.asked_by) FROM trainings JOIN model_lineage USING (run_id) WHERE version = candidate
);

-- Record the answer to a gate of somebody who was asked and may answer now, with the evidence for it. The same answer
-- again, as of a task that is tried again, changes nothing.
CREATE OR REPLACE FUNCTION record_approval(gate text, answer text, person text, why text, answered_at timestamptz)
RETURNS void
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
        IF lower(person) = lower(asked.requested_by) OR has_made(person, asked.challenger) THEN
            RAISE EXCEPTION '% asked for this promotion, or trained the challenger: somebody else has to approve it',
                person;
        END IF;
    END IF;
    INSERT INTO approvals (gate_id, requested_by, decision, approver, reason, decided_at, evidence)
    VALUES (gate, asked.requested_by, answer, person, why, answered_at, gate_evidence(gate));
END
$$;

-- A rollout that asks for its approval says so, and keeps its share meanwhile.
ALTER TABLE rollout_steps
    DROP CONSTRAINT rollout_steps_what_check,
    DROP CONSTRAINT share_is_of_the_step,
    DROP CONSTRAINT canary_is_not_everybody,
    ADD CONSTRAINT step_is_known CHECK (
        what IN ('shadow', 'canary', 'asked for approval', 'approved last step', 'stepped back', 'ended')
    ),
    ADD CONSTRAINT share_is_of_the_step CHECK (
        CASE what WHEN 'shadow' THEN share > 0 AND share <= 1
                  WHEN 'canary' THEN share > 0 AND share < 1
                  WHEN 'asked for approval' THEN share > 0 AND share < 1
                  WHEN 'approved last step' THEN share = 1
                  ELSE share = 0 END
    );

-- Say that an approver is asked for the last step. Doing it again changes nothing.
CREATE FUNCTION ask_rollout(rollout text, person text, reason text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    last rollout_steps;
BEGIN
    LOCK TABLE rollout_steps IN SHARE ROW EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM rollout_steps WHERE rollout_id = rollout AND what = 'asked for approval') THEN
        RETURN;
    END IF;
    SELECT * INTO last FROM current_rollout() WHERE rollout_id = rollout;
    IF NOT FOUND OR last.what <> 'canary' THEN
        RAISE EXCEPTION 'rollout % cannot ask: it is not on, or no canary', rollout;
    END IF;
    PERFORM add_rollout_step(last, 'asked for approval', last.share, person, reason);
END
$$;
REVOKE ALL ON FUNCTION ask_rollout FROM PUBLIC;

-- Give the version so many of the callers, as step `nth`, which comes after `nth - 1`. Doing it again changes nothing.
CREATE OR REPLACE FUNCTION step_rollout(rollout text, nth integer, fraction double precision, person text, reason text)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    last rollout_steps;
BEGIN
    LOCK TABLE rollout_steps IN SHARE ROW EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM rollout_steps WHERE rollout_id = rollout AND number = nth) THEN
        RETURN;
    END IF;
    SELECT * INTO last FROM current_rollout() WHERE rollout_id = rollout;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'rollout % is not on', rollout;
    END IF;
    IF nth <> last.number + 1 OR last.what NOT IN ('shadow', 'canary')
            OR last.what = 'canary' AND fraction <= last.share THEN
        RAISE EXCEPTION 'rollout % is at step % (% of %), after which step % of % cannot come',
            rollout, last.number, last.what, last.share, nth, fraction;
    END IF;
    PERFORM add_rollout_step(last, 'canary', fraction, person, reason);
END
$$;

-- What a person says to the last step: give the version all callers, or none. Approvals are as those of gates: by one of
-- the approvers, and not by who asked for this, or registered or trained the version. The same again changes nothing.
CREATE OR REPLACE FUNCTION answer_rollout(rollout text, answer text, person text, reason text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    does text := CASE answer WHEN 'approved' THEN 'approved last step' ELSE 'stepped back' END;
    last rollout_steps;
BEGIN
    LOCK TABLE rollout_steps IN SHARE ROW EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM rollout_steps WHERE rollout_id = rollout AND (what, who) = (does, person)) THEN
        RETURN;
    END IF;
    SELECT * INTO last FROM current_rollout() WHERE rollout_id = rollout;
    IF NOT FOUND OR last.what <> 'asked for approval' THEN
        RAISE EXCEPTION 'rollout % asks nobody: it is not on, or has not come to its approval', rollout;
    END IF;
    IF NOT EXISTS (SELECT FROM approvers WHERE name = person) THEN
        RAISE EXCEPTION '% is none of those who may answer', person;
    END IF;
    IF answer = 'approved' AND (
        lower(person) IN (SELECT lower(who) FROM rollout_steps WHERE rollout_id = rollout)
        OR has_made(person, last.version)
    ) THEN
        RAISE EXCEPTION '% asked for this rollout, or trained the version: somebody else has to approve it', person;
    END IF;
    PERFORM add_rollout_step(last, does, CASE answer WHEN 'approved' THEN 1 ELSE 0 END, person, reason);
END
$$;

-- How many lines of a serving process fell on a day, by who asked and why which version answered, the forgotten ones
-- included. A trigger counts what is inserted; only functions change it.
CREATE TABLE served_days (
    day date NOT NULL,  -- of the answers, in UTC
    server text COLLATE "C" NOT NULL,
    consumer text COLLATE "C" NOT NULL,
    version text COLLATE "C" NOT NULL,
    role text NOT NULL,
    predictions bigint NOT NULL,
    refused bigint NOT NULL,
    failed bigint NOT NULL,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    forgotten bigint NOT NULL DEFAULT 0,  -- of the predictions, whose rows are gone
    PRIMARY KEY (day, server, consumer, version, role),
    CONSTRAINT forgotten_were_predictions CHECK (forgotten BETWEEN 0 AND predictions)
);

INSERT INTO served_days (day, server, consumer, version, role, predictions, refused, failed, first_at, last_at)
SELECT (at AT TIME ZONE 'UTC')::date, server, consumer, version, role, count(*), count(*) FILTER (WHERE reason IS NOT NULL),
       count(*) FILTER (WHERE failure IS NOT NULL), min(at), max(at)
FROM served_predictions
GROUP BY 1, 2, 3, 4, 5;

CREATE FUNCTION count_served() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
BEGIN
    INSERT INTO served_days AS known
        (day, server, consumer, version, role, predictions, refused, failed, first_at, last_at)
    SELECT (at AT TIME ZONE 'UTC')::date, server, consumer, version, role, count(*),
           count(*) FILTER (WHERE reason IS NOT NULL), count(*) FILTER (WHERE failure IS NOT NULL), min(at), max(at)
    FROM inserted
    GROUP BY 1, 2, 3, 4, 5
    ON CONFLICT (day, server, consumer, version, role) DO UPDATE
    SET predictions = known.predictions + EXCLUDED.predictions,
        refused = known.refused + EXCLUDED.refused,
        failed = known.failed + EXCLUDED.failed,
        first_at = least(known.first_at, EXCLUDED.first_at),
        last_at = greatest(known.last_at, EXCLUDED.last_at);
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION count_served FROM PUBLIC;
CREATE TRIGGER served_predictions_are_counted AFTER INSERT ON served_predictions
    REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION count_served();

-- Forget answers that were recorded before then, the oldest first, so many at most, with their shadows; how many lines
-- that were. Those to which an application gave a label stay, since its label came of them; and those of the rollout that
-- is on, which is judged by them.
CREATE FUNCTION forget_served(before timestamptz, most integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    current text := (SELECT rollout_id FROM current_rollout());
    lines bigint;
BEGIN
    IF (before <= now() - interval '1 day') IS NOT TRUE THEN
        RAISE EXCEPTION 'answers of the last day are not forgotten, and % is later', before;
    END IF;
    WITH chosen AS (
        SELECT prediction_id
        FROM served_predictions AS served
        WHERE at < before AND recorded_at < before AND (rollout_id = current) IS NOT TRUE
          AND NOT EXISTS (SELECT FROM served_feedback WHERE served_feedback.prediction_id = served.prediction_id)
        ORDER BY at
        LIMIT most
    ), doomed AS (
        SELECT prediction_id FROM chosen
        UNION
        SELECT shadows.prediction_id
        FROM chosen
        JOIN served_predictions AS shadows ON shadows.shadow_of = chosen.prediction_id
    ), gone AS (
        DELETE FROM served_predictions AS served
        USING doomed
        WHERE served.prediction_id = doomed.prediction_id
        RETURNING at, server, consumer, version, role
    ), lost AS (
        SELECT (at AT TIME ZONE 'UTC')::date AS day, server, consumer, version, role, count(*) AS lines
        FROM gone
        GROUP BY 1, 2, 3, 4, 5
    ), counted AS (
        UPDATE served_days AS known
        SET forgotten = known.forgotten + lost.lines
        FROM lost
        WHERE (known.day, known.server, known.consumer, known.version, known.role)
            = (lost.day, lost.server, lost.consumer, lost.version, lost.role)
    )
    SELECT coalesce(sum(lost.lines), 0) INTO lines FROM lost;
    RETURN lines;
END
$$;
REVOKE ALL ON FUNCTION forget_served FROM PUBLIC;

-- When an agent last saw that all of a spool is loaded. Null once its process has ended, and of those that had before this.
ALTER TABLE serving_spools ADD COLUMN complete_at timestamptz;

-- What an agent found of the bundle of a version that it is to offer: `problem` is null if it is whole. No fact: it changes.
CREATE TABLE offered_bundles (
    version text COLLATE "C" PRIMARY KEY REFERENCES model_versions,
    problem text CHECK (problem <> ''),
    since timestamptz NOT NULL DEFAULT clock_timestamp()
);
