"""Label Studio's API: the few requests that delivery needs.

What an answer means is said by one table, `answers.refusal`. Only an import can be `Uncertain`: everything else here
may be asked again.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from label_studio_otel.errors import BatchTooLarge, Retryable, Uncertain
from label_studio_otel.label_studio.answers import cause, is_import, not_label_studio, refusal
from label_studio_otel.label_studio.authorization import Authorization
from label_studio_otel.label_studio.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from label_studio_otel.label_studio.transport import Answer

__all__ = ["Found", "Imported", "Job", "LabelStudio", "Project"]

#: Seconds to wait for an answer: an import of 500 tasks takes 2 to 12 on a busy server.
ANSWER_TIMEOUT = 60.0
#: Keys in one look-up: 80 of 69 characters keep the request line under the 8 KB that proxies take.
KEYS_PER_LOOKUP = 80
#: What people leave at a task.
WORK = ("total_annotations", "cancelled_annotations", "drafts", "comment_count")


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
    #: Tells it from a project of the same id on a server that was set up anew.
    created_at: str = ""


@dataclass(frozen=True, slots=True)
class Imported:
    """Label Studio's answer to an import."""

    task_count: int
    prediction_count: int
    #: Ids in the order sent.
    task_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Job:
    """An import that Label Studio carries out after its answer, as Enterprise and the cloud do."""

    #: False as long as it waits or works.
    ended: bool
    #: Why it failed; None where it did not.
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A task that a look-up found."""

    id: int
    predictions: int
    #: Somebody annotated or skipped it, drafts an annotation, or commented on it.
    touched: bool = False


class LabelStudio:
    """One Label Studio server.

    Args:
        url: base URL, with a path where the server has one.
        api_key: legacy token, or personal access token (a JWT, exchanged for access tokens that live minutes).
        answer_timeout: seconds to wait for an answer.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None,
        *,
        answer_timeout: float = ANSWER_TIMEOUT,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.url = url
        self._clock = clock
        self._transport = Transport(url, answer_timeout)
        self._authorization = Authorization(self._transport, api_key, clock)

    def authorize(self, api_key: str | None) -> None:
        """Use this token from the next request on."""
        self._authorization.authorize(api_key)

    def project(self, project_id: int) -> Project:
        """Return a project.

        Raises:
            DestinationBlocked: there is none of this id that this token may see.
        """
        return _project(self._json("GET", f"/api/projects/{project_id}/", having="id"))

    def projects_titled(self, title: str) -> list[Project]:
        """Return the projects of exactly this title, the oldest first (the server's filter takes substrings too)."""
        found: list[Project] = []
        page = 1
        while True:
            include = "id,title,label_config,description,created_at"
            query = urlencode({"title": title, "page": page, "page_size": 100, "include": include})
            answer = self._json("GET", f"/api/projects/?{query}", having="results")
            found += [_project(one) for one in answer["results"] if one["title"] == title]
            if not answer.get("next"):
                return sorted(found, key=lambda project: project.id)
            page += 1

    def create_project(self, title: str, label_config: str, description: str = "") -> Project:
        """Make a project and return it.

        Raises:
            DestinationBlocked: Label Studio refuses the title or the labeling config.
        """
        body = {"title": title, "label_config": label_config, "description": description}
        return _project(self._json("POST", "/api/projects/", body, having="id"))

    def change_project(self, project_id: int, **fields: Any) -> Project:
        """Change fields of a project and return it as it is then.

        Raises:
            DestinationBlocked: Label Studio refuses the change.
        """
        return _project(self._json("PATCH", f"/api/projects/{project_id}/", fields, having="id"))

    def edition(self) -> str:
        """Return which Label Studio this is: `Community`, or `Enterprise`; empty where it does not say."""
        return str(self._json("GET", "/api/version", having="release").get("edition") or "")

    def delete_project(self, project_id: int) -> None:
        """Delete a project."""
        self._request("DELETE", f"/api/projects/{project_id}/")

    def highest_task_id(self, project_id: int) -> int:
        """Return the id of the newest task that is visible in a project, 0 where it has none."""
        query = {"ordering": ["-tasks:id"]}
        answer = self._tasks(project_id, query, page_size=1, include="id", fields="task_only")
        return max((task["id"] for task in answer["tasks"]), default=0)

    def newer_tasks(self, project_id: int, watermark: int) -> int:
        """Return how many tasks of a project have a higher id."""
        query = {"filters": {"conjunction": "and", "items": [_above(watermark)]}}
        return int(self._tasks(project_id, query, page_size=1, include="id", fields="task_only")["total"])

    def import_tasks(
        self,
        project_id: int,
        tasks: Sequence[bytes],
        begin: Callable[[], None],
        sent: Callable[[], None] = lambda: None,
    ) -> Imported:
        """Import tasks, all or none.

        Args:
            project_id: the project.
            tasks: JSON of each.
            begin: called when a connection stands, before the first byte: what must be durable before is.
            sent: called each time the request has left whole, while the server works on it; must not raise.

        Raises:
            Retryable, ItemRejected, BatchTooLarge, DestinationBlocked: nothing arrived.
            Uncertain: anything else than an answer that counts tasks and predictions.
        """
        body = b"[" + b",".join(tasks) + b"]"
        answer = self._request("POST", f"/api/projects/{project_id}/import?return_task_ids=true", body, begin, sent)
        counts = answer.json()
        try:
            return Imported(counts["task_count"], counts["prediction_count"], tuple(counts["task_ids"]))
        except (TypeError, KeyError):
            job = counts.get("import") if isinstance(counts, dict) else None
            job = job if isinstance(job, int) else None
            said = f"import {job} is not finished" if job else "it does not count tasks and predictions"
            raise Uncertain(f"the answer {answer.status} to an import: {said}", import_id=job) from None

    def import_job(self, project_id: int, import_id: int) -> Job:
        """Return how an import goes that was answered with its id.

        Raises:
            DestinationBlocked: there is none of this id.
        """
        job = self._json("GET", f"/api/projects/{project_id}/imports/{import_id}/", having="status")
        error = cause(str(job.get("error") or "no reason given")) if job["status"] == "failed" else None
        return Job(job["status"] in ("completed", "failed"), error)

    def find(self, project_id: int, keys: Sequence[str], watermark: int) -> dict[str, list[Found]]:
        """Return the tasks of these keys whose id is above the watermark, by key, the oldest first."""
        found: dict[str, list[Found]] = {}
        for start in range(0, len(keys), KEYS_PER_LOOKUP):
            for task in self._looked_up(project_id, keys[start : start + KEYS_PER_LOOKUP], watermark):
                one = Found(task["id"], task.get("total_predictions") or 0, _is_touched(task))
                found.setdefault(task["data"]["key"], []).append(one)
        return {key: sorted(tasks, key=lambda task: task.id) for key, tasks in found.items()}

    def add_prediction(self, task_id: int, prediction: Mapping[str, Any]) -> None:
        """Add a prediction to a task."""
        self._json("POST", "/api/predictions/", {**prediction, "task": task_id})

    def predictions(self, task_id: int) -> list[dict[str, Any]]:
        """Return the predictions of a task."""
        answer = self._json("GET", f"/api/predictions/?{urlencode({'task': task_id})}")
        return list(answer)

    def is_untouched(self, task_id: int) -> bool:
        """Tell whether nobody has begun to work on a task."""
        task = self._json("GET", f"/api/tasks/{task_id}/", having="id")
        return not (_is_touched(task) or task.get("annotations"))

    def delete_task(self, task_id: int) -> None:
        """Delete a task."""
        self._request("DELETE", f"/api/tasks/{task_id}/")

    def _looked_up(self, project_id: int, keys: Sequence[str], watermark: int) -> list[dict[str, Any]]:
        try:
            return self._lookup(project_id, keys, watermark)
        except BatchTooLarge:  # a proxy's limit of a request line
            if len(keys) == 1:
                raise
        half = len(keys) // 2
        return [task for part in (keys[:half], keys[half:]) for task in self._looked_up(project_id, part, watermark)]

    def _lookup(self, project_id: int, keys: Sequence[str], watermark: int) -> list[dict[str, Any]]:
        items = [
            _above(watermark),
            {"filter": "filter:tasks:data.key", "operator": "in_list", "type": "String", "value": list(keys)},
        ]
        query = {"filters": {"conjunction": "and", "items": items}}
        include = f"id,data,total_predictions,{','.join(WORK)}"
        # Without a page size 300 keys answer "total 300" and 100 tasks.
        answer = self._tasks(project_id, query, page_size=1000, include=include, fields="all")
        tasks: list[dict[str, Any]] = answer["tasks"]
        if answer["total"] != len(tasks):
            raise Retryable(f"a look-up of {len(keys)} keys found {answer['total']} tasks and showed {len(tasks)}")
        return tasks

    def _tasks(self, project_id: int, query: Mapping[str, Any], **options: Any) -> Any:
        parameters = {"project": project_id, "query": json.dumps(query, separators=(",", ":")), **options}
        return self._json("GET", f"/api/tasks?{urlencode(parameters)}", having="tasks")

    def _json(self, method: str, path: str, body: Any = None, *, having: str | None = None) -> Any:
        answer = self._request(method, path, None if body is None else json.dumps(body).encode())
        return self._decoded(method, path, answer, having)

    def _decoded(self, method: str, path: str, answer: Answer, having: str | None) -> Any:
        """Return the JSON of an answer, an object that has this key where one is named."""
        value = answer.json()
        unlike = not isinstance(value, dict) or having not in value if having else value is None and answer.body
        if unlike:
            raise not_label_studio(self.url, method, path, answer)
        return value

    def _request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        begin: Callable[[], None] = lambda: None,
        sent: Callable[[], None] = lambda: None,
    ) -> Answer:
        try:
            authorization = self._authorization.header()
            answer = self._transport.send(method, path, body, authorization, begin, sent=sent)
            if answer.status == 401 and authorization.startswith("Bearer "):
                self._authorization.forget()  # it may have ended early; a second 401 is about the token itself
                answer = self._transport.send(method, path, body, self._authorization.header(), begin, sent=sent)
        except Uncertain as error:
            if is_import(path):
                raise
            raise Retryable(str(error)) from error
        if answer.status >= 300:
            raise refusal(self.url, method, path, answer, self._clock())
        return answer


def _is_touched(task: Mapping[str, Any]) -> bool:
    return any(task.get(name) for name in WORK)


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
