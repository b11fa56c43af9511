"""Postgres and Airflow on one machine: started, watched, backed up, proved."""
