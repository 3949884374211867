"""The requests of Label Studio's API that delivery and the commands need, one method each.

Any of them raises a `DeliveryError`, as the table `responses.refusal` says. Only an import can be `Uncertain`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from label_studio_otel.errors import BatchTooLarge, Retryable, Uncertain
from label_studio_otel.label_studio.responses import cause
from label_studio_otel.label_studio.session import Session

#: Seconds to wait for a response: an import of 500 tasks takes 2 to 12 on a busy server.
READ_TIMEOUT_S = 60.0
#: Keys in one look-up: 80 of 69 characters keep the request line under the 8 KB that proxies take.
KEYS_PER_LOOKUP = 80
#: Tasks that one look-up shows. Without a page size 300 keys get "total": 300 and 100 tasks.
LOOKUP_PAGE_SIZE = 1000
#: Fields of a task that are not 0 once somebody worked on it.
WORK_FIELDS = ("total_annotations", "cancelled_annotations", "drafts", "comment_count")


@dataclass(frozen=True, slots=True)
class Project:
    """A project of Label Studio."""

    id: int
    title: str
    label_config: str
    description: str = ""
    #: The label stream shows predictions of this version only, of any where it is empty; the first import sets it.
    model_version: str = ""
    #: Whether labelers see predictions at all.
    show_predictions: bool = True
    #: Tells the project from one with the same id on a server that was set up anew.
    created_at: str = ""


@dataclass(frozen=True, slots=True)
class ImportResult:
    """Label Studio's response to an import."""

    task_count: int
    prediction_count: int
    #: In the order in which the tasks were sent.
    task_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ImportJob:
    """An import that Label Studio may carry out after its response, as Enterprise and the cloud do."""

    #: False while the job waits or runs, None where Label Studio does not tell.
    ended: bool | None = None
    #: Why it failed; None where it did not.
    error: str | None = None
    #: The token's user may not ask for its state.
    is_hidden: bool = False


@dataclass(frozen=True, slots=True)
class FoundTask:
    """A task that a look-up by key found."""

    id: int
    predictions: int
    #: Somebody annotated or skipped it, began a draft, or commented on it.
    touched: bool = False


class LabelStudio:
    """One Label Studio server.

    Args:
        url: base URL, with a path where the server has one.
        api_key: legacy token, or personal access token (a JWT, exchanged for access tokens that live minutes).
        read_timeout: seconds to wait for a response, and for each part of it.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None,
        *,
        read_timeout: float = READ_TIMEOUT_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.url = url
        self._session = Session(url, api_key, read_timeout, clock)

    def authorize(self, api_key: str | None) -> None:
        """Use this token from the next request on."""
        self._session.authorize(api_key)

    def project(self, project_id: int) -> Project:
        """Return a project.

        Raises:
            DestinationBlocked: there is no project of this id that this token may see.
        """
        return _project(self._session.json("GET", f"/api/projects/{project_id}/", having="id"))

    def projects_titled(self, title: str) -> list[Project]:
        """Return the projects of exactly this title, the oldest first."""
        found: list[Project] = []  # the server's filter finds titles that contain this one too
        page = 1
        while True:
            include = "id,title,label_config,description,created_at"
            query = urlencode({"title": title, "page": page, "page_size": 100, "include": include})
            body = self._session.json("GET", f"/api/projects/?{query}", having="results")
            found += [_project(one) for one in body["results"] if one["title"] == title]
            if not body.get("next"):
                return sorted(found, key=lambda project: project.id)
            page += 1

    def create_project(self, title: str, label_config: str, description: str = "") -> Project:
        """Create a project and return it."""
        body = {"title": title, "label_config": label_config, "description": description}
        return _project(self._session.json("POST", "/api/projects/", body, having="id"))

    def change_project(self, project_id: int, **fields: Any) -> Project:
        """Change fields of a project and return the changed project."""
        return _project(self._session.json("PATCH", f"/api/projects/{project_id}/", fields, having="id"))

    def edition(self) -> str:
        """Return the edition of Label Studio: `Community` or `Enterprise`, empty where the server does not say it."""
        return str(self._session.json("GET", "/api/version", having="release").get("edition") or "")

    def delete_project(self, project_id: int) -> None:
        """Delete a project."""
        self._session.request("DELETE", f"/api/projects/{project_id}/")

    def highest_task_id(self, project_id: int) -> int:
        """Return the id of the newest visible task of a project, 0 where there is none."""
        query = {"ordering": ["-tasks:id"]}
        body = self._tasks(project_id, query, page_size=1, include="id", fields="task_only")
        return max((task["id"] for task in body["tasks"]), default=0)

    def newer_tasks(self, project_id: int, watermark: int) -> int:
        """Return the number of tasks of a project whose id is above the watermark."""
        query = {"filters": {"conjunction": "and", "items": [_above(watermark)]}}
        return int(self._tasks(project_id, query, page_size=1, include="id", fields="task_only")["total"])

    def import_tasks(
        self,
        project_id: int,
        tasks: Sequence[bytes],
        on_connected: Callable[[], None],
        on_sent: Callable[[], None] = lambda: None,
    ) -> ImportResult:
        """Import tasks, all of them or none; return the counts and the ids in the response.

        Args:
            tasks: each as JSON.
            on_connected: see `Transport.send`; called again if the access token had ended.
            on_sent: see `Transport.send`.

        Raises:
            Retryable, ItemRejected, BatchTooLarge, DestinationBlocked: nothing arrived.
            Uncertain: no response came, or one that does not count tasks and predictions.
        """
        body = b"[" + b",".join(tasks) + b"]"
        path = f"/api/projects/{project_id}/import?return_task_ids=true"
        response = self._session.request("POST", path, body, on_connected, on_sent)
        counts = response.json()
        try:
            return ImportResult(counts["task_count"], counts["prediction_count"], tuple(counts["task_ids"]))
        except (TypeError, KeyError):
            job = counts.get("import") if isinstance(counts, dict) else None
            job = job if isinstance(job, int) else None
            reason = f"import {job} is not finished" if job else "it does not count tasks and predictions"
            raise Uncertain(f"the answer {response.status} to an import: {reason}", import_id=job) from None

    def import_job(self, project_id: int, import_id: int) -> ImportJob:
        """Return the state of an import that Label Studio carries out after its response.

        Raises:
            DestinationBlocked: there is no import of this id, or the token's user may not see it.
        """
        job = self._session.json("GET", f"/api/projects/{project_id}/imports/{import_id}/", having="status")
        error = cause(str(job.get("error") or "no reason given")) if job["status"] == "failed" else None
        return ImportJob(job["status"] in ("completed", "failed"), error)

    def find(self, project_id: int, keys: Sequence[str], watermark: int) -> dict[str, list[FoundTask]]:
        """Return the tasks of these keys whose id is above the watermark, by key, the oldest first."""
        found: dict[str, list[FoundTask]] = {}
        for start in range(0, len(keys), KEYS_PER_LOOKUP):
            for task in self._find(project_id, keys[start : start + KEYS_PER_LOOKUP], watermark):
                one = FoundTask(task["id"], task.get("total_predictions") or 0, _is_touched(task))
                found.setdefault(task["data"]["key"], []).append(one)
        return {key: sorted(tasks, key=lambda task: task.id) for key, tasks in found.items()}

    def add_prediction(self, task_id: int, prediction: Mapping[str, Any]) -> None:
        """Add a prediction to a task."""
        self._session.json("POST", "/api/predictions/", {**prediction, "task": task_id})

    def predictions(self, task_id: int) -> list[dict[str, Any]]:
        """Return the predictions of a task."""
        return list(self._session.json("GET", f"/api/predictions/?{urlencode({'task': task_id})}"))

    def is_untouched(self, task_id: int) -> bool:
        """Return whether nobody has begun to work on a task."""
        task = self._session.json("GET", f"/api/tasks/{task_id}/", having="id")
        return not (_is_touched(task) or task.get("annotations"))

    def delete_task(self, task_id: int) -> None:
        """Delete a task."""
        self._session.request("DELETE", f"/api/tasks/{task_id}/")

    def _find(self, project_id: int, keys: Sequence[str], watermark: int) -> list[dict[str, Any]]:
        items = [
            _above(watermark),
            {"filter": "filter:tasks:data.key", "operator": "in_list", "type": "String", "value": list(keys)},
        ]
        query = {"filters": {"conjunction": "and", "items": items}}
        include = f"id,data,total_predictions,{','.join(WORK_FIELDS)}"
        try:
            body = self._tasks(project_id, query, page_size=LOOKUP_PAGE_SIZE, include=include, fields="all")
        except BatchTooLarge:  # the request line is longer than a proxy allows
            half = len(keys) // 2
            if not half:
                raise
            return self._find(project_id, keys[:half], watermark) + self._find(project_id, keys[half:], watermark)
        tasks: list[dict[str, Any]] = body["tasks"]
        if body["total"] != len(tasks):
            raise Retryable(f"a look-up of {len(keys)} keys found {body['total']} tasks and showed {len(tasks)}")
        return tasks

    def _tasks(self, project_id: int, query: Mapping[str, Any], **options: Any) -> Any:
        parameters = {"project": project_id, "query": json.dumps(query, separators=(",", ":")), **options}
        return self._session.json("GET", f"/api/tasks?{urlencode(parameters)}", having="tasks")


def _is_touched(task: Mapping[str, Any]) -> bool:
    return any(task.get(name) for name in WORK_FIELDS)


def _above(task_id: int) -> dict[str, Any]:
    return {"filter": "filter:tasks:id", "operator": "greater", "type": "Number", "value": task_id}


def _project(fields: Mapping[str, Any]) -> Project:
    return Project(
        fields["id"],
        fields["title"],
        fields.get("label_config") or "",
        fields.get("description") or "",
        fields.get("model_version") or "",
        fields.get("show_collab_predictions", True),
        fields.get("created_at") or "",
    )
