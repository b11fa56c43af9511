"""The one-machine stack, Postgres and Airflow: `python -m local.stack.stack up|serve|down|status|logs`.

Each of Airflow's components is a process of its own, on loopback, with LocalExecutor; a supervisor starts again what
has ended. All that they write lies under the home folder of the settings, so that several stacks can run side by side
on other ports.
"""

import argparse
import contextlib
import dataclasses
import datetime
import fcntl
import hashlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self

from local.stack import configuration, databases, postgres, processes, serving
from local.stack.api import Api, ApiError
from strandline import ledger
from strandline.settings import PREFIX, REPOSITORY, Settings, SettingsError, load

# In the order of stopping: those that give out work first, the API that running tasks report to last. Seconds to wait
# for each: a scheduler waits for its tasks, and a triggerer has nothing to lose.
COMPONENTS = {"scheduler": 20.0, "triggerer": 3.0, "dag-processor": 10.0, "api-server": 10.0}
# What `make serve` adds, in the order of stopping: the agent last, which loads what was answered until then.
SERVING = {serving.SERVER: 35.0, serving.AGENT: 10.0}
POSTGRES, SUPERVISOR = "postgres", "supervisor"
WITHOUT_LOG_SERVER = ("scheduler", "triggerer")  # it would listen on every address, and here logs are local files
POOL = "classifier"


class StackError(Exception):
    """The stack cannot be started; the message says why and what to do."""


class Stack:
    """An Airflow with its databases, as the settings place it.

    Args:
        settings: where it lives, and on which ports; `database_url` is filled in.
        dags: the folder of DAG files.
        say: is given a line of progress now and then.
    """

    def __init__(
        self, settings: Settings, dags: Path = REPOSITORY / "dags", say: Callable[[str], None] = print
    ) -> None:
        self.dags = dags
        self.url = configuration.api_url(settings)
        self.settings = dataclasses.replace(
            settings,
            database_url=databases.ledger_url(settings),
            airflow_url=settings.airflow_url or self.url,
        )
        self._say = say
        self._run = settings.home / "run"
        self._logs = settings.home / "logs"

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    def environment(self) -> dict[str, str]:
        """The environment of Airflow's processes and of every task."""
        # Airflow supports psycopg2 alone: with the driver that SQLAlchemy would choose, its asset graph is an error.
        airflow_url = databases.url(self.settings, databases.AIRFLOW, driver="+psycopg2")
        return configuration.environment(self.settings, airflow_url, self.dags)

    def api(self, user: str = "admin") -> Api:
        """A session of the REST API as one of `configuration.USERS`."""
        return Api(self.url, user, configuration.passwords(self.settings)[user])

    def up(self, timeout: float = 300) -> bool:
        """Start what does not run yet, and wait until all is healthy and every DAG is parsed.

        Returns:
            Whether anything had to be started.

        Raises:
            StackError: a port is taken, a component ended, or `timeout` seconds went by.
            PostgresError: Postgres cannot be started.
        """
        landing = [self.settings.landing] if isinstance(self.settings.landing, Path) else []
        for folder in (self._run, self._logs, self.settings.labels.folder, *landing):
            folder.mkdir(parents=True, exist_ok=True)
        with self._alone():
            environment = self.environment()
            missing = self._missing(environment)
            if not missing:
                return False
            if "api-server" in missing:
                _check_port("127.0.0.1", self.settings.local.api_port, "Airflow", "STRANDLINE_API_PORT")
            if POSTGRES in missing:
                self._say("Starting Postgres ...")
            databases.start(self.settings)
            self._say(self._call(environment, "install-champion", "-m", "local.build.champion"))
            self._say("Starting Airflow ...")
            self._call(environment, "migrate-airflow", "-m", "airflow", "db", "migrate")
            begin = datetime.datetime.now(datetime.UTC)
            for name in missing:
                if name != POSTGRES:
                    self._start(name, environment)
            self._wait_until_ready(begin, timeout, set(missing), environment)
        return True

    def serve(self, timeout: float = 120) -> bool:
        """Start what answers over HTTP and its agent, beside all that `up` starts, and wait until it can answer.

        Returns:
            Whether it had to be started.

        Raises:
            StackError: as `up`; or its port is taken, it ended, or `timeout` seconds went by.
        """
        self.up()
        with self._alone():
            environment, config = self.environment(), self.settings.serving
            missing = self._missing_of(tuple(reversed(SERVING)), environment)
            if serving.SERVER in missing:
                _check_port(config.host, config.port, "serving", "STRANDLINE_SERVE_PORT")
                self._say("Starting to serve ...")
            for name in missing:
                self._start(name, environment)
            deadline = time.monotonic() + timeout
            while not serving.is_ready(self.settings):
                for name in SERVING:
                    if not self.running(name):
                        raise StackError(f"{name} ended:\n{tail(self._log(name))}\nMore in {self._log(name)}")
                if time.monotonic() > deadline:
                    raise StackError(f"nothing answers after {timeout:.0f} s; the logs are in {self._logs}")
                time.sleep(0.2)
        return bool(missing)

    def dead(self) -> list[str]:
        """What has ended though nobody has stopped it, in the order of starting."""
        wanted = [name for name in (*reversed(COMPONENTS), *reversed(SERVING)) if self._record(name).exists()]
        postgres_ended = bool(wanted) and not databases.alive(self.settings)
        return [POSTGRES] * postgres_ended + [name for name in wanted if not self.running(name)]

    def repair(self) -> list[str]:
        """Start again what is dead; what that was.

        Raises:
            PostgresError: Postgres cannot be started.
        """
        with self._alone():
            dead, environment = self.dead(), self.environment()
            for part in dead:
                if part == POSTGRES:
                    databases.start_server(self.settings)
                else:
                    self._start(part, environment)
        return dead

    def down(self) -> bool:
        """Stop all that `up` has started, nothing else; whether anything ran."""
        with self._alone():
            ran = any(self.running(name) for name in COMPONENTS) or databases.running(self.settings)
            for name, patience in {SUPERVISOR: 1.0, **SERVING, **COMPONENTS}.items():
                processes.stop([self._record(name)], patience)
            databases.stop(self.settings)
        return ran

    def status(self) -> dict[str, str]:
        """What each part is doing, by its name: a state, and the process that has it."""
        parts = {POSTGRES: "running" if databases.running(self.settings) else "stopped"}
        served = [name for name in reversed(SERVING) if self._record(name).exists()]
        for name in (*COMPONENTS, *served, SUPERVISOR):
            process = self.running(name)
            parts[name] = f"running, process {process.pid}" if process else "stopped"
        with contextlib.closing(self.api()) as api:
            for name, health in _health(api).items():
                parts[name] += f", {health}"
        return parts

    def _record(self, name: str) -> Path:
        return self._run / f"{name}.json"

    def running(self, name: str) -> processes.Process | None:
        """The process of a component or of the supervisor."""
        return processes.recorded(self._record(name))

    def _missing(self, environment: dict[str, str]) -> list[str]:
        """The parts that do not run, in the order of starting."""
        ended = [] if databases.running(self.settings) else [POSTGRES]
        return ended + self._missing_of((*reversed(COMPONENTS), SUPERVISOR), environment)

    def _missing_of(self, names: Sequence[str], environment: dict[str, str]) -> list[str]:
        running = {name: process for name in names if (process := self.running(name))}
        if other := [name for name, process in running.items() if process.purpose != _digest(environment)]:
            raise StackError(f"{', '.join(other)} run with other settings than now: make down, then try again")
        return [name for name in names if name not in running]

    def _start(self, component: str, environment: dict[str, str]) -> None:
        purpose = _digest(environment)
        if component in SERVING:
            command, environment = serving.program(component, self.settings, environment)
        else:
            options = ["--skip-serve-logs"] if component in WITHOUT_LOG_SERVER else []
            program = ["local.stack.supervisor"] if component == SUPERVISOR else ["airflow", component, *options]
            command = [sys.executable, "-m", *program]
        processes.start(self._record(component), command, environment, self._log(component), purpose)

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def _call(self, environment: dict[str, str], name: str, *arguments: str) -> str:
        """Run a Python program to its end; what it printed. What else it had to say is in its log."""
        log = self._log(name)
        with log.open("ab") as errors:
            done = subprocess.run(
                [sys.executable, *arguments], env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        if done.returncode:
            raise StackError(f"{name} failed:\n{tail(log)}\nMore in {log}")
        return done.stdout.strip()

    def _wait_until_ready(
        self, begin: datetime.datetime, timeout: float, started: set[str], environment: dict[str, str]
    ) -> None:
        deadline = time.monotonic() + timeout
        waiting_for = ""
        # A processor that runs has parsed all, parses what changes, and the rest again only every few minutes.
        parsed_since = begin if "dag-processor" in started else datetime.datetime.min.replace(tzinfo=datetime.UTC)
        with contextlib.closing(self.api()) as api:
            while pending := self._pending(api, begin, parsed_since):
                if pending != waiting_for:
                    self._say(f"Waiting for {pending} ...")
                    waiting_for = pending
                for name in COMPONENTS:
                    if not self.running(name):
                        if name in started:
                            raise StackError(f"{name} ended:\n{tail(self._log(name))}\nMore in {self._log(name)}")
                        self._start(name, environment)  # it did not survive that Postgres was away
                        started.add(name)
                if time.monotonic() > deadline:
                    raise StackError(f"no {pending} after {timeout:.0f} s; its log is in {self._logs}")
                time.sleep(0.5)
            api.set_pool(POOL, self.settings.vision.max_parallel_tasks, "vision tasks that may run at once")

    def _pending(self, api: Api, begin: datetime.datetime, parsed_since: datetime.datetime) -> str:
        """What is not ready yet, in words; nothing when all is. What runs on may yet end: Postgres was away."""
        try:
            health = _health(api, begin)
            if sick := [name for name in COMPONENTS if health.get(name) != "healthy"]:
                return ", ".join(sick)
            parsed = {row["dag_id"] for row in api.dags() if _since(row["last_parsed_time"], parsed_since)}
            broken = {row["filename"]: row for row in api.import_errors() if _since(row["timestamp"], parsed_since)}
        except ApiError as error:
            if error.status:
                raise
            return "api-server"  # it went away between two requests: seen as ended, or back, at the next look
        if broken:
            traces = "\n".join(row["stack_trace"] for row in broken.values())
            raise StackError(f"Airflow is up, but cannot use {', '.join(broken)}:\n{traces}")
        wanted = {path.stem for path in self.dags.glob("*.py")}
        return f"DAG {', '.join(sorted(wanted - parsed))}" if wanted - parsed else ""

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Two commands at once take turns."""
        self._run.mkdir(parents=True, exist_ok=True)
        with (self._run / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _check_port(host: str, port: int, program: str, variable: str) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise StackError(
                f"Port {port} of {host} cannot be used for {program} ({error.strerror}): stop the program that has it,"
                f" or set {variable} to another"
            ) from error


def tail(log: Path, lines: int = 15) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.is_file() else ""


def _health(api: Api, since: datetime.datetime | None = None) -> dict[str, str]:
    """The health of each component that reports it, by the component's name; none while there is no answer."""
    try:
        reported = api.health(since)
    except ApiError as error:
        if error.status:
            raise
        return {}
    return {"api-server": "healthy"} | {
        name: reported[part] for name in COMPONENTS if (part := name.replace("-", "_")) in reported
    }


def _since(text: str | None, begin: datetime.datetime) -> bool:
    return text is not None and datetime.datetime.fromisoformat(text) >= begin


def _digest(environment: dict[str, str]) -> str:
    """Of what decides how a component runs; not of the search path, which changes from shell to shell."""
    ours = {name: value for name, value in environment.items() if name.startswith((PREFIX, "AIRFLOW"))}
    return hashlib.sha256(json.dumps(ours, sort_keys=True).encode()).hexdigest()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="stack", description=__doc__)
    parser.add_argument("command", choices=["up", "serve", "down", "status", "logs", "repair"])
    command = parser.parse_args(argv).command
    dags = Path(os.environ.get("AIRFLOW__CORE__DAGS_FOLDER", REPOSITORY / "dags"))
    try:
        return _main(command, Stack(load(), dags))
    except (StackError, SettingsError, postgres.PostgresError, ledger.LedgerError, ApiError) as error:
        print(f"make {command} stopped: {error}", file=sys.stderr)
        return 1


def _main(command: str, stack: Stack) -> int:
    if command == "up":
        started = stack.up()
        print(f"Strandline {'is up' if started else 'was up already'}. {access(stack)}")
    elif command == "serve":
        started = stack.serve()
        print(f"Strandline {'serves' if started else 'served already'}: {serving.url(stack.settings)}")
    elif command == "down":
        print("Strandline is down." if stack.down() else "Strandline was not up.")
    elif command == "repair":
        print(f"Started again: {', '.join(stack.repair()) or 'nothing'}.")
    elif command == "status":
        states = stack.status()
        for name, state in states.items():
            print(f"{name:14} {state}")
        if states["postgres"] != "stopped":
            print(f"{access(stack)}\nLedger:  {databases.url(stack.settings, ledger.ANALYST)}")
    else:
        logs = sorted((stack.settings.home / "logs").glob("*.log"))
        os.execvp("tail", ["tail", "-n", "20", "-F", *map(str, logs)])
    return 0


def access(stack: Stack) -> str:
    """Where Airflow's UI and the overview are, and who may enter."""
    password = configuration.passwords(stack.settings)["admin"]
    return f"Airflow: {stack.url}  user: admin  password: {password}  Overview: {stack.url}/strandline/"


if __name__ == "__main__":
    sys.exit(main())
