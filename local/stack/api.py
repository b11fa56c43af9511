"""A thin client of Airflow's REST API, for the demo, the bench and the tests.

Rows come back as the API's own JSON objects; times are given as aware datetimes.
"""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx

FINISHED = frozenset({"success", "failed"})
Row = dict[str, Any]


class ApiError(Exception):
    """Airflow refused a request, or did not answer in time; `status` is the HTTP status, 0 for no answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Api:
    """One user's session; the token is fetched when first needed, and again when it has expired."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self.url = url
        self._login = {"username": user, "password": password}
        self._client = httpx.Client(base_url=url, timeout=60, trust_env=False)

    def close(self) -> None:
        self._client.close()

    def request(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """The JSON answer to a request under `/api/v2`, None if there is none.

        Raises:
            ApiError: Airflow refused, or did not answer.
        """
        answer = self._send(method, path, body, query)
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            self._client.headers["Authorization"] = f"Bearer {self._token()}"
            answer = self._send(method, path, body, query)
        if answer.is_error:
            raise ApiError(answer.status_code, f"{method} {path}: {answer.status_code} {answer.text[:2000]}")
        return answer.json() if answer.content else None

    def _send(self, method: str, path: str, body: Any, query: Row) -> httpx.Response:
        try:
            return self._client.request(method, f"/api/v2{path}", json=body, params=query)
        except httpx.TransportError as error:
            raise ApiError(0, f"{method} {self.url}{path}: {error or type(error).__name__}") from error

    def _token(self) -> str:
        answer = self._client.post("/auth/token", json=self._login)
        if answer.is_error:
            raise ApiError(answer.status_code, f"cannot sign in as {self._login['username']}: {answer.text[:500]}")
        return str(answer.json()["access_token"])

    def rows(self, path: str, key: str, **query: Any) -> Iterator[Row]:
        """Every row of a paged list, whatever the server's page limit is."""
        offset = 0
        while True:
            page = self.request("GET", path, offset=offset, limit=100, **query)
            yield from page[key]
            offset += len(page[key])
            if not page[key] or offset >= page["total_entries"]:
                return

    def health(self, since: datetime | None = None) -> dict[str, str]:
        """The status of each component: healthy, unhealthy, or unknown while it has not reported.

        Args:
            since: a component that has not reported from then on is unknown. To Airflow one is healthy that reported
                half a minute ago, whatever became of it.
        """
        found = {}
        for name, part in self.request("GET", "/monitor/health").items():
            part = part or {}
            heartbeats = [datetime.fromisoformat(value) for key, value in part.items() if key != "status" and value]
            late = since is not None and any(heartbeat < since for heartbeat in heartbeats)
            found[name] = str((not late and part.get("status")) or "unknown")
        return found

    def dags(self) -> list[Row]:
        return list(self.rows("/dags", "dags"))

    def import_errors(self) -> list[Row]:
        """The DAG files that do not parse, each with its `filename`, `stack_trace` and `timestamp`."""
        return list(self.rows("/importErrors", "import_errors"))

    def pause(self, dag: str, paused: bool = True) -> None:
        """A DAG that is paused starts no runs of its own, and takes no asset's events."""
        self.request("PATCH", f"/dags/{dag}", {"is_paused": paused})

    def set_pool(self, name: str, slots: int, description: str) -> None:
        """Make a pool, or give it another number of slots."""
        body = {"slots": slots, "description": description, "include_deferred": False}
        try:
            self.request("PATCH", f"/pools/{name}", {"pool": name, **body})
        except ApiError as error:
            if error.status != httpx.codes.NOT_FOUND:
                raise
            self.request("POST", "/pools", {"name": name, **body})

    def trigger(
        self,
        dag: str,
        interval: tuple[datetime, datetime] | None = None,
        conf: Row | None = None,
        logical_date: datetime | None = None,
    ) -> str:
        """Start a run over the interval [start, end); the run's id.

        A logical date belongs to one run only, so that a run over a period which has its scheduled run needs another:
        now, unless one is given.
        """
        body: Row = {"logical_date": (logical_date or datetime.now(UTC)).isoformat(), "conf": conf or {}}
        if interval:
            body |= {"data_interval_start": interval[0].isoformat(), "data_interval_end": interval[1].isoformat()}
        return str(self.request("POST", f"/dags/{dag}/dagRuns", body)["dag_run_id"])

    def run(self, dag: str, run_id: str) -> Row:
        row: Row = self.request("GET", f"/dags/{dag}/dagRuns/{run_id}")
        return row

    def runs(self, dag: str, **query: Any) -> list[Row]:
        """The runs of a DAG, oldest first."""
        return list(self.rows(f"/dags/{dag}/dagRuns", "dag_runs", order_by="id", **query))

    def task_instances(self, dag: str, run_id: str) -> list[Row]:
        return list(self.rows(f"/dags/{dag}/dagRuns/{run_id}/taskInstances", "task_instances", order_by="id"))

    def wait(
        self, dag: str, run_id: str, timeout: float = 1800, progress: Callable[[list[Row]], None] | None = None
    ) -> str:
        """Wait for a run's end; its state, `success` or `failed`.

        Args:
            timeout: seconds.
            progress: is given the task instances after each look.

        Raises:
            ApiError: the run did not end in time.
        """
        deadline = time.monotonic() + timeout
        while True:
            state = str(self.run(dag, run_id)["state"])
            if progress:
                progress(self.task_instances(dag, run_id))
            if state in FINISHED:
                return state
            if time.monotonic() > deadline:
                raise ApiError(0, f"run {run_id} of {dag} is still {state} after {timeout:.0f} s")
            time.sleep(0.5)

    def wait_quiet(self, dag: str, timeout: float = 1800) -> None:
        """Wait until a DAG has no queued or running run.

        Raises:
            ApiError: it has one still at the end of `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while busy := [row["dag_run_id"] for row in self.runs(dag) if row["state"] not in FINISHED]:
            if time.monotonic() > deadline:
                raise ApiError(0, f"runs of {dag} have not ended after {timeout:.0f} s: {', '.join(busy)}")
            time.sleep(0.5)

    def wait_approval_request(self, dag: str, run_id: str, task_id: str, timeout: float = 1800) -> Row:
        """Wait until a task asks people something, and may be answered; the question, as Airflow has it.

        The scheduler has to have seen that the task's process ended, or Airflow 3.3.2 fails a task that is answered. It
        sees that between two of its heartbeats.

        Raises:
            ApiError: the run ended without asking, or the time is over.
        """
        deadline = time.monotonic() + timeout
        while True:
            state = str(self.run(dag, run_id)["state"])
            tasks = {row["task_id"]: row["state"] for row in self.task_instances(dag, run_id)}
            if tasks.get(task_id) == "awaiting_input":
                question: Row = self.request("GET", self._approval_request(dag, run_id, task_id))
                self._wait_heartbeats(2, deadline)
                return question
            if state in FINISHED or time.monotonic() > deadline:
                raise ApiError(0, f"run {run_id} of {dag} is {state} and does not ask {task_id}: {tasks}")
            time.sleep(0.5)

    def answer(self, dag: str, run_id: str, task_id: str, option: str, reason: str) -> None:
        """Answer a question.

        Raises:
            ApiError: 403 if this user was not asked, 409 if it was answered already.
        """
        body = {"chosen_options": [option], "params_input": {"reason": reason}}
        self.request("PATCH", self._approval_request(dag, run_id, task_id), body)

    def _wait_heartbeats(self, count: int, deadline: float) -> None:
        seen = {self._heartbeat()}
        while len(seen) <= count:
            if time.monotonic() > deadline:
                raise ApiError(0, "the scheduler's heart does not beat")
            time.sleep(0.5)
            seen.add(self._heartbeat())

    def _heartbeat(self) -> str:
        """When the scheduler said last that it lives."""
        return str(self.request("GET", "/monitor/health")["scheduler"]["latest_scheduler_heartbeat"])

    @staticmethod
    def _approval_request(dag: str, run_id: str, task_id: str) -> str:
        return f"/dags/{dag}/dagRuns/{run_id}/taskInstances/{task_id}/-1/hitlDetails"

    def clear(self, dag: str, run_id: str, only_failed: bool = False, task_ids: list[str] | None = None) -> None:
        """Run the tasks of a finished run again: all, the failed ones, or the named ones and what follows them."""
        body: Row = {
            "dry_run": False,
            "dag_run_id": run_id,
            "only_failed": only_failed,
            "only_running": False,
            "reset_dag_runs": True,
            "include_downstream": True,
        }
        self.request("POST", f"/dags/{dag}/clearTaskInstances", body | ({"task_ids": task_ids} if task_ids else {}))

    def backfill(
        self,
        dag: str,
        start: datetime,
        end: datetime,
        reprocess: str = "completed",
        backwards: bool = False,
        max_active_runs: int = 4,
    ) -> int:
        """Start a backfill of the periods that begin from `start` to `end`, both included; its id.

        Args:
            reprocess: which periods that have a run already are run again: none, failed or completed.
            backwards: the last period first.
            max_active_runs: how many of its runs may run at the same time.
        """
        body = {
            "dag_id": dag,
            "from_date": start.isoformat(),
            "to_date": end.isoformat(),
            "reprocess_behavior": reprocess,
            "max_active_runs": max_active_runs,
            "run_backwards": backwards,
            "dag_run_conf": {},
        }
        return int(self.request("POST", "/backfills", body)["id"])

    def wait_backfill(self, backfill: int, timeout: float = 1800) -> None:
        """Wait until a backfill has created and ended its runs.

        Raises:
            ApiError: it has not at the end of `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while not self.request("GET", f"/backfills/{backfill}")["completed_at"]:
            if time.monotonic() > deadline:
                raise ApiError(0, f"backfill {backfill} has not ended after {timeout:.0f} s")
            time.sleep(0.5)

    def log(self, dag: str, run_id: str, instance: Row) -> list[str]:
        """The lines that one try of a task logged; `instance` is a row of `task_instances`."""
        path = f"/dags/{dag}/dagRuns/{run_id}/taskInstances/{instance['task_id']}/logs/{max(1, instance['try_number'])}"
        answer = self.request("GET", path, map_index=instance["map_index"], full_content=True)
        return [_line(entry) for entry in answer["content"]]


def _line(entry: str | Row) -> str:
    if isinstance(entry, str):
        return entry
    details = [str(part.get("exc_value", "")) for part in entry.get("error_detail") or [] if isinstance(part, dict)]
    return " ".join([str(entry.get("event", "")), *details]).rstrip()
