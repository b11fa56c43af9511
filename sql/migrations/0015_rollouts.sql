-- How a version comes to answer over HTTP before it is champion: as a shadow, then as a canary of a growing share. A
-- rollout is a run of serve_canary; at most one is on at a time, and it is on while its last step has a share.

-- A row a step. Only functions insert here.
CREATE TABLE rollout_steps (
    step_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rollout_id text COLLATE "C" NOT NULL,
    number integer NOT NULL CHECK (number > 0),  -- among the steps of the rollout
    what text NOT NULL CHECK (what IN ('shadow', 'canary', 'approved last step', 'stepped back', 'ended')),
    version text COLLATE "C" NOT NULL REFERENCES model_versions,
    champion text COLLATE "C" NOT NULL REFERENCES model_versions,  -- that it is compared with
    share double precision NOT NULL,  -- of pictures (shadow), or of callers
    who text NOT NULL CHECK (who ~ '\S'),
    why text NOT NULL CHECK (why ~ '\S'),
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (rollout_id, number),
    CONSTRAINT rolled_out_is_another CHECK (version <> champion),
    CONSTRAINT share_is_of_the_step CHECK (
        CASE WHEN what IN ('shadow', 'canary') THEN share > 0 AND share <= 1
             WHEN what = 'approved last step' THEN share = 1
             ELSE share = 0 END
    ),
    CONSTRAINT canary_is_not_everybody CHECK (what <> 'canary' OR share < 1)
);
CREATE TRIGGER rollout_steps_are_audited AFTER INSERT ON rollout_steps
    FOR EACH ROW EXECUTE FUNCTION audit('who', 'what');

-- The last step of the rollout that is on: no row if none is.
CREATE FUNCTION current_rollout() RETURNS SETOF rollout_steps
LANGUAGE sql STABLE SET search_path = public, pg_temp
AS $$
    SELECT * FROM (SELECT * FROM rollout_steps ORDER BY step_id DESC LIMIT 1) AS last WHERE share > 0
$$;

-- Add a step to the rollout that is on.
CREATE FUNCTION add_rollout_step(last rollout_steps, does text, fraction double precision, person text, reason text)
RETURNS void
LANGUAGE sql SET search_path = public, pg_temp
AS $$
    INSERT INTO rollout_steps (rollout_id, number, what, version, champion, share, who, why)
    VALUES (last.rollout_id, last.number + 1, does, last.version, last.champion, fraction, person, reason)
$$;
REVOKE ALL ON FUNCTION add_rollout_step FROM PUBLIC;

-- Begin with a shadow of the champion. Doing it again changes nothing.
CREATE FUNCTION start_rollout(rollout text, candidate text, fraction double precision, person text, reason text)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    other rollout_steps;
    in_use text;
BEGIN
    LOCK TABLE rollout_steps IN SHARE ROW EXCLUSIVE MODE;  -- one after the other
    IF EXISTS (SELECT FROM rollout_steps WHERE rollout_id = rollout) THEN
        RETURN;
    END IF;
    SELECT * INTO other FROM current_rollout();
    IF FOUND THEN
        RAISE EXCEPTION 'rollout % of version % is on (%): end it first', other.rollout_id, other.version, other.what;
    END IF;
    SELECT version INTO in_use FROM champions WHERE upper_inf(period);
    IF in_use IS NULL OR in_use = candidate THEN
        RAISE EXCEPTION 'version % cannot be compared with the champion, which is %', candidate, coalesce(in_use, 'nobody');
    END IF;
    INSERT INTO rollout_steps (rollout_id, number, what, version, champion, share, who, why)
    VALUES (rollout, 1, 'shadow', candidate, in_use, fraction, person, reason);
END
$$;
REVOKE ALL ON FUNCTION start_rollout FROM PUBLIC;

-- Give the version so many of the callers, as step `nth`, which comes after `nth - 1`. Doing it again changes nothing.
CREATE FUNCTION step_rollout(rollout text, nth integer, fraction double precision, person text, reason text) RETURNS void
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
    IF nth <> last.number + 1 OR last.what = 'approved last step' OR last.what = 'canary' AND fraction <= last.share THEN
        RAISE EXCEPTION 'rollout % is at step % (% of %), after which step % of % cannot come',
            rollout, last.number, last.what, last.share, nth, fraction;
    END IF;
    PERFORM add_rollout_step(last, 'canary', fraction, person, reason);
END
$$;
REVOKE ALL ON FUNCTION step_rollout FROM PUBLIC;

-- Give all callers back to the champion; whether any had to be. `does` is 'stepped back' or 'ended'.
CREATE FUNCTION end_rollout(rollout text, does text, person text, reason text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    last rollout_steps;
BEGIN
    LOCK TABLE rollout_steps IN SHARE ROW EXCLUSIVE MODE;
    SELECT * INTO last FROM current_rollout() WHERE rollout_id = rollout;
    IF FOUND THEN
        PERFORM add_rollout_step(last, does, 0, person, reason);
    END IF;
    RETURN FOUND;
END
$$;
REVOKE ALL ON FUNCTION end_rollout FROM PUBLIC;

-- What a person says to the last step: give the version all callers, or none. Approvals are as those of gates: by one of
-- the approvers, and not by who asked for this, or registered or trained the version. The same again changes nothing.
CREATE FUNCTION answer_rollout(rollout text, answer text, person text, reason text) RETURNS void
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
    IF NOT FOUND OR last.what <> 'canary' THEN
        RAISE EXCEPTION 'rollout % asks nobody: it is not on, or no canary', rollout;
    END IF;
    IF NOT EXISTS (SELECT FROM approvers WHERE name = person) THEN
        RAISE EXCEPTION '% is none of those who may answer', person;
    END IF;
    IF answer = 'approved' AND lower(person) IN (
        SELECT lower(who) FROM rollout_steps WHERE rollout_id = rollout
        UNION ALL
        SELECT lower(registered_by) FROM model_versions WHERE version = last.version
        UNION ALL
        SELECT lower(asked_by) FROM model_lineage WHERE version = last.version
        UNION ALL
        SELECT lower(trainings.asked_by)
        FROM trainings
        JOIN model_lineage USING (run_id)
        WHERE version = last.version
    ) THEN
        RAISE EXCEPTION '% asked for this rollout, or trained the version: somebody else has to approve it', person;
    END IF;
    PERFORM add_rollout_step(last, does, CASE answer WHEN 'approved' THEN 1 ELSE 0 END, person, reason);
END
$$;
REVOKE ALL ON FUNCTION answer_rollout FROM PUBLIC;

-- With another champion, that which the version was compared with is gone.
CREATE FUNCTION end_rollout_of_former() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
BEGIN
    PERFORM end_rollout(rollout_id, 'ended', NEW.promoted_by, 'version ' || NEW.version || ' is champion: ' || NEW.cause)
    FROM current_rollout();
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION end_rollout_of_former FROM PUBLIC;
CREATE TRIGGER champions_end_rollouts AFTER INSERT ON champions
    FOR EACH ROW EXECUTE FUNCTION end_rollout_of_former();

-- What a line was for. All that were loaded before this are called the champion's, those of pinned consumers too.
ALTER TABLE served_predictions
    ADD COLUMN role text NOT NULL DEFAULT 'champion' CHECK (role IN ('champion', 'pinned', 'canary', 'shadow')),
    ADD COLUMN rollout_id text COLLATE "C",  -- of every line that belongs to a comparison
    ADD COLUMN shadow_of text COLLATE "C",  -- the prediction that was given to the caller
    ADD CONSTRAINT shadow_says_of_what CHECK ((role = 'shadow') = (shadow_of IS NOT NULL)),
    ADD CONSTRAINT role_has_its_rollout CHECK (role NOT IN ('canary', 'shadow') OR rollout_id IS NOT NULL);
CREATE INDEX served_predictions_rollout ON served_predictions (rollout_id, role, at) WHERE rollout_id IS NOT NULL;
CREATE INDEX served_predictions_shadow ON served_predictions (shadow_of) WHERE shadow_of IS NOT NULL;
