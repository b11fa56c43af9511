"""The tasks of `ingest_labels`. Each imports what it works with when it runs, so that a DAG file parses fast."""


def load(run_id: str, at_once: bool) -> dict[str, int]:
    """As `load.load`."""
    from strandline.labels import load

    return load.load(run_id, at_once).to_dict()


def check_files(run_id: str) -> None:
    """As `load.check_files`."""
    from strandline.labels import load

    load.check_files(run_id)


def choose_audit() -> dict[str, int]:
    """As `load.choose_audit`, of all runs that closed."""
    from strandline.labels import load

    return load.choose_audit().to_dict()
