-- OIDs of the types of a table's columns, in the order asked for.
SELECT atttypid::integer AS type
FROM unnest(%(columns)s::text[]) WITH ORDINALITY AS asked (attname, place)
JOIN pg_attribute USING (attname)
WHERE attrelid = %(table)s::regclass
ORDER BY place
