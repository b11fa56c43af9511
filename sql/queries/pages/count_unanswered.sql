-- Counted to a thousand: people need to know that there are many.
SELECT count(*) AS images FROM (SELECT FROM reporting.unanswered LIMIT 1000) AS asked
