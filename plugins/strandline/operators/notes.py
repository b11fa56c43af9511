"""Notes on runs, which Airflow's lists of runs show: what the reports of a run say."""

from typing import Any

from airflow.listeners import hookimpl

NOTE = "note"  # the XCom of a task that has a line for it
LONGEST = 1000  # characters, as Airflow has it


class RunNotes:
    """Listens to ends of runs, in the scheduler; a note that a person wrote stays."""

    @hookimpl
    def on_dag_run_success(self, dag_run: Any) -> None:
        self._note(dag_run)

    @hookimpl
    def on_dag_run_failed(self, dag_run: Any) -> None:
        self._note(dag_run)

    def _note(self, dag_run: Any) -> None:
        from airflow.models.xcom import XComModel
        from sqlalchemy import select
        from sqlalchemy.orm import object_session

        session = object_session(dag_run)
        if session is None or dag_run.note:
            return
        where = XComModel.dag_id == dag_run.dag_id, XComModel.run_id == dag_run.run_id, XComModel.key == NOTE
        found = session.scalars(select(XComModel).where(*where).order_by(XComModel.task_id, XComModel.map_index))
        lines = "\n".join(str(XComModel.deserialize_value(row)) for row in found)
        if lines:
            dag_run.note = lines if len(lines) <= LONGEST else f"{lines[: LONGEST - 1]}…"
