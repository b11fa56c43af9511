-- What was answered over HTTP: to whom, by which version, and what applications said about it later. Serving processes
-- write spools, and have no way here: one role loads their lines.

-- Before what files say: an application hands on what its own users tell it, and nobody was asked to look.
ALTER TYPE label_source ADD VALUE 'feedback' BEFORE 'file';

-- Who may ask, a row a step: the last one of a name says whether it may. Only functions insert here.
CREATE TABLE consumer_steps (
    step_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    what text NOT NULL CHECK (what IN ('created', 'revoked')),
    who text NOT NULL CHECK (who ~ '\S'),
    token_sha256 text COLLATE "C" UNIQUE,  -- the token itself is nowhere
    requests_per_second double precision,
    version text COLLATE "C" REFERENCES model_versions,  -- the one that answers it, whatever the champion is
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT consumer_has_a_plain_name CHECK (
        name ~ '^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$' AND name <> 'anonymous'
    ),
    CONSTRAINT token_is_a_hash CHECK (length(token_sha256) = 64 AND token_sha256 !~ '[^0-9a-f]'),
    CONSTRAINT rate_is_a_number CHECK (requests_per_second > 0 AND requests_per_second < 'Infinity'),
    CONSTRAINT consumer_says_what_it_gets CHECK (
        CASE what WHEN 'created' THEN num_nulls(token_sha256, requests_per_second) = 0
                  ELSE num_nonnulls(token_sha256, requests_per_second, version) = 0 END
    )
);
CREATE INDEX consumer_steps_name ON consumer_steps (name, step_id);
CREATE TRIGGER consumer_steps_are_audited AFTER INSERT ON consumer_steps
    FOR EACH ROW EXECUTE FUNCTION audit('who', 'what');

-- Let an application ask, which may not already.
CREATE FUNCTION create_consumer(
    application text, token text, rate double precision, pinned text, by_whom text
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
BEGIN
    LOCK TABLE consumer_steps IN SHARE ROW EXCLUSIVE MODE;  -- one after the other
    IF (SELECT what FROM consumer_steps WHERE name = application ORDER BY step_id DESC LIMIT 1) = 'created' THEN
        RAISE EXCEPTION 'there is a consumer % already: revoke it first, then its token ends', application;
    END IF;
    INSERT INTO consumer_steps (name, what, who, token_sha256, requests_per_second, version)
    VALUES (application, 'created', by_whom, token, rate, pinned);
END
$$;
REVOKE ALL ON FUNCTION create_consumer FROM PUBLIC;

-- Take that back.
CREATE FUNCTION revoke_consumer(application text, by_whom text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
BEGIN
    LOCK TABLE consumer_steps IN SHARE ROW EXCLUSIVE MODE;
    IF (SELECT what FROM consumer_steps WHERE name = application ORDER BY step_id DESC LIMIT 1)
            IS DISTINCT FROM 'created' THEN
        RAISE EXCEPTION 'there is no consumer % that could be revoked', application;
    END IF;
    INSERT INTO consumer_steps (name, what, who) VALUES (application, 'revoked', by_whom);
END
$$;
REVOKE ALL ON FUNCTION revoke_consumer FROM PUBLIC;

-- How far the spool of a serving process is loaded: the first sequence of its segment, the bytes of that, and the number
-- of the last line. No fact: it changes, in the transaction that inserts the lines.
CREATE TABLE serving_spools (
    server text COLLATE "C" PRIMARY KEY,
    segment bigint NOT NULL DEFAULT 0,
    bytes bigint NOT NULL DEFAULT 0,
    last_sequence bigint NOT NULL DEFAULT 0,
    loaded_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- What one picture of a request was answered. Neither version nor consumer is a foreign key: a line that names an unknown
-- one was answered all the same, is recorded, and breaks an invariant.
CREATE TABLE served_predictions (
    prediction_id text COLLATE "C" PRIMARY KEY,
    server text COLLATE "C" NOT NULL,
    sequence bigint NOT NULL,
    at timestamptz NOT NULL,
    consumer text COLLATE "C" NOT NULL,
    version text COLLATE "C" NOT NULL,
    image_id text COLLATE "C" NOT NULL,
    bytes bigint NOT NULL,
    status text NOT NULL,
    seconds double precision NOT NULL,  -- from the request's last byte to the line
    kept boolean NOT NULL,  -- its bytes, which become a file of the landing zone
    reason text,
    detail text,
    notes text,
    format text,
    width bigint,
    height bigint,
    label text,
    confidence real,
    probabilities real[],  -- in the order of the version's classes
    failure text,
    versions jsonb NOT NULL,  -- what decided the values beside the bundle
    recorded_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (server, sequence)
);
CREATE INDEX served_predictions_consumer ON served_predictions (consumer, version, at);
CREATE INDEX served_predictions_image ON served_predictions (image_id);
CREATE INDEX served_predictions_at ON served_predictions (at);

-- The label that an application gives a picture that it had classified, as it was said.
CREATE TABLE served_feedback (
    server text COLLATE "C" NOT NULL,
    sequence bigint NOT NULL,
    at timestamptz NOT NULL,
    consumer text COLLATE "C" NOT NULL,
    prediction_id text COLLATE "C" NOT NULL,
    label text NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (server, sequence)
);
CREATE INDEX served_feedback_prediction ON served_feedback (prediction_id);

-- What became of it: a label (which was there already, if `known`), or nothing, with the reason.
CREATE TABLE served_feedback_ends (
    server text COLLATE "C" NOT NULL,
    sequence bigint NOT NULL,
    state text NOT NULL CHECK (state IN ('accepted', 'known', 'rejected')),
    reason text CHECK (reason <> ''),
    ended_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (server, sequence),
    FOREIGN KEY (server, sequence) REFERENCES served_feedback,
    CONSTRAINT feedback_end_says_why CHECK ((state = 'rejected') = (reason IS NOT NULL))
);

-- A line of a spool that is whole and says nothing that could be recorded: where it stood, why, and its bytes.
CREATE TABLE served_refused_lines (
    server text COLLATE "C" NOT NULL,
    segment bigint NOT NULL,
    position bigint NOT NULL,  -- of its first byte in the segment
    reason text NOT NULL CHECK (reason <> ''),
    line bytea NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (server, segment, position)
);

-- Make labels of the feedback that none was made of yet; returns for how many that is decided now. What names a
-- prediction or an image that is not here yet waits for it, for so long.
CREATE FUNCTION label_feedback(patience interval) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    valid text[] := (SELECT classes FROM champions JOIN model_versions USING (version) WHERE period @> now());
    decided bigint;
BEGIN
    WITH judged AS (
        SELECT said.server, said.sequence, said.consumer, said.at, said.recorded_at, images.image_id, meant.label,
               CASE WHEN served.prediction_id IS NULL THEN 'UNKNOWN_PREDICTION'
                    WHEN served.consumer <> said.consumer THEN 'OTHER_CONSUMER'
                    WHEN meant.label IS NULL THEN 'UNKNOWN_CLASS'
                    WHEN images.image_id IS NULL THEN 'UNKNOWN_IMAGE' END AS fault
        FROM served_feedback AS said
        LEFT JOIN served_predictions AS served USING (prediction_id)
        LEFT JOIN images USING (image_id)
        CROSS JOIN LATERAL (
            -- As it is called, or the only one that differs in case alone.
            SELECT CASE WHEN said.label = ANY (valid) THEN said.label
                        WHEN lower(said.label) = 'unusable' THEN ''
                        WHEN count(*) = 1 THEN min(class) END AS label
            FROM unnest(valid) AS class
            WHERE lower(class) = lower(said.label)
        ) AS meant
        WHERE valid IS NOT NULL AND NOT EXISTS (
            SELECT
            FROM served_feedback_ends AS ended
            WHERE ended.server = said.server AND ended.sequence = said.sequence
        )
    ), settled AS (
        SELECT *
        FROM judged
        WHERE fault IS NULL OR fault NOT IN ('UNKNOWN_PREDICTION', 'UNKNOWN_IMAGE') OR recorded_at <= now() - patience
    ), labelled AS (
        INSERT INTO labels (image_id, source, labeller, labelled_at, label)
        SELECT image_id, 'feedback', consumer, at, label FROM settled WHERE fault IS NULL
        ON CONFLICT DO NOTHING
        RETURNING image_id, labeller, labelled_at, label
    )
    INSERT INTO served_feedback_ends (server, sequence, state, reason)
    SELECT server, sequence,
           CASE WHEN fault IS NOT NULL THEN 'rejected' WHEN labelled.image_id IS NULL THEN 'known' ELSE 'accepted' END,
           fault
    FROM settled
    LEFT JOIN labelled
        ON labelled.image_id = settled.image_id AND labeller = consumer AND labelled_at = at
       AND labelled.label = settled.label
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS decided = ROW_COUNT;
    RETURN decided;
END
$$;
REVOKE ALL ON FUNCTION label_feedback FROM PUBLIC;
