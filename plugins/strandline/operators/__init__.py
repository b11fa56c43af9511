"""Airflow's part: how a vision command, a question and a period become tasks. Here alone Airflow is imported.

What a task works out does not belong here: it is in the packages of the pipeline, which know no Airflow.
"""
