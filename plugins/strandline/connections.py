"""The credentials that Airflow's connections hold: the one thing that libraries below the operators ask of Airflow."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class AwsCredentials:
    """What a connection of the type aws says. What it leaves out is None. Never shown: `repr` has no secret."""

    access_key: str | None = dataclasses.field(repr=False)
    secret_key: str | None = dataclasses.field(repr=False)
    session_token: str | None = dataclasses.field(repr=False)
    region: str | None
    endpoint: str | None


def aws(name: str) -> AwsCredentials:
    """The connection of this name, as it is now.

    Raises:
        LookupError: there is none, where this process can see it.
    """
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowException

    try:
        found = BaseHook.get_connection(name)
    except AirflowException as error:
        raise LookupError(f"Airflow knows no connection {name}: {error}") from error
    extra = found.extra_dejson
    return AwsCredentials(
        access_key=found.login or extra.get("aws_access_key_id"),
        secret_key=found.password or extra.get("aws_secret_access_key"),
        session_token=extra.get("aws_session_token"),
        region=extra.get("region_name"),
        endpoint=extra.get("endpoint_url"),
    )
