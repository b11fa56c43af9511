DELETE FROM approvers WHERE name <> ALL (%(names)s)
