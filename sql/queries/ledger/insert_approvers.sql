INSERT INTO approvers (name) SELECT unnest(%(names)s::text[]) ON CONFLICT DO NOTHING
