-- A drop is [drop_at, drop_end): how long, is a setting. Those before this were hours.
ALTER TABLE drops ADD COLUMN drop_end timestamptz;
UPDATE drops SET drop_end = drop_at + interval '1 hour';
ALTER TABLE drops
    ALTER COLUMN drop_end SET NOT NULL,
    DROP CONSTRAINT drop_is_a_full_hour,
    ADD CONSTRAINT drop_goes_forward CHECK (drop_at < drop_end),
    ADD CONSTRAINT drop_is_a_full_period CHECK (
        mod(extract(epoch FROM drop_at AT TIME ZONE 'UTC'), nullif(extract(epoch FROM drop_end - drop_at), 0)) = 0
    );
