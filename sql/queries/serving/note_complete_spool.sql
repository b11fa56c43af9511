-- Nothing of it waits now; or, with no time, nothing will any more.
UPDATE serving_spools
SET complete_at = CASE WHEN %(alive)s THEN clock_timestamp() END
WHERE server = %(server)s
