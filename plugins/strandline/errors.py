"""The base of every error that another try cannot fix: Airflow fails a task at once on it, by `DEFAULT_ARGS`."""


class PermanentError(Exception):
    """Raised with what happened, to which file or row, and what to do."""
