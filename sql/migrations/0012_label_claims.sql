-- Who has an image before their eyes: no fact, but a promise that ends, so that no two people label the same image at
-- once. `skipped`: this person is not asked about it again.
CREATE TABLE label_claims (
    image_id text COLLATE "C" NOT NULL REFERENCES images,
    labeller text COLLATE "C" NOT NULL CHECK (labeller <> ''),
    until timestamptz NOT NULL,
    skipped boolean NOT NULL DEFAULT false,
    PRIMARY KEY (image_id, labeller)
);
CREATE INDEX audit_samples_chosen ON audit_samples (chosen_at);

-- One image is given after the other: whoever gives one has this row FOR UPDATE. It is apart from `locks`, of which
-- the role of people may take none.
CREATE TABLE label_turns (
    taken boolean NOT NULL DEFAULT false  -- never set: there has to be a column that may be updated
);
INSERT INTO label_turns DEFAULT VALUES;
