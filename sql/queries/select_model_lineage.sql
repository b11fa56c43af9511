SELECT * FROM model_lineage WHERE version = %(version)s
