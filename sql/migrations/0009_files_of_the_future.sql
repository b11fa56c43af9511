-- How many of the files that a run left for later lie in hours that have not begun: most likely mistyped.
ALTER TABLE runs ADD COLUMN future integer NOT NULL DEFAULT 0 CHECK (future BETWEEN 0 AND deferred);
