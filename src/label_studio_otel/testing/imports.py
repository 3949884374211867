"""Asynchronous imports of `testing.FakeLabelStudio`: carried out after the answer, as Enterprise and Cloud do it.

They behave as the background import of Label Studio 1.23.2: a poll returns all tasks, a failed import may have added
tasks (500 at a time are committed). Of the fields of a poll, those that never change are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["AsynchronousImport", "ProjectImport"]


@dataclass(frozen=True)
class AsynchronousImport:
    """Whether, when and how an import ends whose request is answered with an id alone."""

    #: Number of polls that find it in progress; 0: it ends before its answer.
    polls: int = 1
    #: How it ends: "completed" or "failed". An import that is "created" never begins, one "in_progress" never ends.
    status: str = "completed"
    #: Error text of a failed import.
    error: str = "the worker died"
    #: Number of tasks that a failed import had added.
    taken: int = 0


class ProjectImport:
    """One asynchronous import; `shown` is the answer to a poll. It begins with the fields that are given."""

    def __init__(
        self, shown: dict[str, Any], plan: AsynchronousImport, add_tasks: Callable[[Any], tuple[int, Any]]
    ) -> None:
        self._add_tasks = add_tasks
        self._plan = plan
        self._polls = plan.polls
        counts = {"task_count": 0, "annotation_count": 0, "prediction_count": 0}
        status = "created" if plan.status == "created" else "in_progress"
        self.shown: dict[str, Any] = {**shown, "status": status, "error": None, **counts, "task_ids": []}
        if not self._polls:
            self.end()

    def poll(self) -> dict[str, Any]:
        """Return the answer to a poll; each poll brings the import nearer to its end."""
        if self._polls:
            self._polls -= 1
        else:
            self.end()
        return self.shown

    def end(self) -> None:
        """End the import now, in the way that was planned."""
        if self.shown["status"] != "in_progress" or self._plan.status not in ("completed", "failed"):
            return
        failed = self._plan.status == "failed"
        status, answer = self._add_tasks(self.shown["tasks"][: self._plan.taken if failed else None])
        if failed or status != 201:
            self.shown |= {"status": "failed", "error": self._plan.error if failed else _error_text(answer)}
        else:
            counts = {name: answer[name] for name in ("task_count", "annotation_count", "prediction_count")}
            ids = answer["task_ids"] if self.shown["return_task_ids"] else []
            self.shown |= {"status": "completed", **counts, "task_ids": ids}


def _error_text(refusal: dict[str, Any]) -> str:
    """Return the error text of a failed import for a refusal; positions are those in a chunk of 500 tasks."""
    if "validation_errors" not in refusal:
        return str(refusal["detail"])
    errors = refusal["validation_errors"]["non_field_errors"]
    details = (f"ErrorDetail(string={text!r}, code='invalid')" if text else "{}" for text in errors)
    return f"[{', '.join(details)}]"
