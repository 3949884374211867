"""Imports that `testing.FakeLabelStudio` carries out after its answer, as Label Studio Enterprise and Cloud do.

What a poll shows is what the background import of Label Studio 1.23.2 shows when it is switched on: a poll echoes all
tasks, nothing ever finishes at a time, and a failed import may have taken tasks, since 500 at a time are committed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["AsynchronousImport", "ProjectImport"]


@dataclass(frozen=True)
class AsynchronousImport:
    """How imports go whose answer is only their id."""

    #: So many polls find it in progress; none: it is over before its answer.
    polls: int = 1
    #: What it comes to: "completed" or "failed"; or "created", never begun, or "in_progress", never ended.
    status: str = "completed"
    #: What a failed one says.
    error: str = "the worker died"
    #: So many tasks a failed one had taken.
    taken: int = 0


class ProjectImport:
    """One import and what a poll shows of it.

    Args:
        shown: what is known at its beginning.
        plan: how it goes.
        take: imports tasks; returns status and answer.
    """

    def __init__(self, shown: dict[str, Any], plan: AsynchronousImport, take: Callable[[Any], tuple[int, Any]]) -> None:
        self._take = take
        self._plan = plan
        self._polls = plan.polls
        self.shown: dict[str, Any] = {
            "preannotated_from_fields": None,
            "commit_to_project": True,
            "url": None,
            "error": None,
            "finished_at": None,
            "task_count": 0,
            "annotation_count": 0,
            "prediction_count": 0,
            "duration": 0,
            "file_upload_ids": [],
            "could_be_tasks_list": False,
            "found_formats": [],
            "data_columns": [],
            "task_ids": [],
            **shown,
            "status": "created" if plan.status == "created" else "in_progress",
        }
        if not self._polls:
            self.end()

    def poll(self) -> dict[str, Any]:
        """Return what is shown, after time has passed."""
        if self._polls:
            self._polls -= 1
        else:
            self.end()
        return self.shown

    def end(self) -> None:
        """Let it come to what it comes to, now."""
        if self.shown["status"] != "in_progress" or self._plan.status not in ("completed", "failed"):
            return
        failed = self._plan.status == "failed"
        status, answer = self._take(self.shown["tasks"][: self._plan.taken if failed else None])
        if failed:
            self.shown |= {"status": "failed", "error": self._plan.error}
        elif status != 201:
            self.shown |= {"status": "failed", "error": _said(answer)}
        else:
            counts = {name: answer[name] for name in ("task_count", "annotation_count", "prediction_count")}
            ids = answer["task_ids"] if self.shown["return_task_ids"] else []
            self.shown |= {"status": "completed", "found_formats": {}, **counts, "task_ids": ids}


def _said(refusal: dict[str, Any]) -> str:
    """Return what the job notes of a refusal, positions and all; they count within its 500."""
    if "validation_errors" not in refusal:
        return str(refusal["detail"])
    errors = refusal["validation_errors"]["non_field_errors"]
    details = (f"ErrorDetail(string={text!r}, code='invalid')" if text else "{}" for text in errors)
    return f"[{', '.join(details)}]"
