"""The data of `testing.FakeLabelStudio`, and its answers: projects, tasks and predictions of Label Studio 1.23.2.

It has the traps of the real server on purpose: the filter for titles matches substrings; a list of tasks ends at the
hundredth unless a page size is given; an ordering works only inside `query`; an import into an unknown project is
answered with HTML.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import partial
from typing import Any
from uuid import uuid4

from label_studio_otel.errors import ConfigError
from label_studio_otel.tasks.labeling_config import parse
from label_studio_otel.testing.imports import AsynchronousImport, ProjectImport

__all__ = ["Call", "Fault", "Store", "error"]

Answer = tuple[int, Any]

NOT_FOUND = "<!doctype html><title>Page not found</title>"


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request; by default with an import."""

    method: str = "POST"
    #: Part of the request's path.
    path: str = "/import"
    #: Seconds without an answer before the request is carried out; closing the server ends them.
    wait: float = 0
    #: Seconds without an answer after it was carried out.
    wait_after: float = 0
    #: When the connection ends without an answer: "before" or "after" the request is carried out.
    drop: str | None = None
    #: Status of the answer, which then has these headers and this body.
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    #: With `status`: the request is carried out all the same, as behind a proxy that timed out.
    carried_out: bool = False
    #: The request is carried out twice, as Label Studio does after a locked database; the second answer is sent.
    twice: bool = False
    #: The request is carried out by `FakeLabelStudio.release`; the client gets `drop`, `status` or no answer.
    held: bool = False
    #: The import's answer has only an id, as that of an asynchronous import; the tasks are imported already.
    without_counts: bool = False
    #: The import's predictions are neither stored nor counted.
    lose_predictions: bool = False
    #: Positions of tasks that are refused; an import adds all tasks or none, so it adds none.
    reject: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """A request whose authorization was checked."""

    method: str
    path: str
    query: Mapping[str, str]
    body: Any
    fault: Fault = Fault()
    #: `FakeLabelStudio.poison`, a text that the database cannot store, and `FakeLabelStudio.asynchronous_import`.
    poison: str = ""
    asynchronous: AsynchronousImport | None = None


def error(status: int, detail: str, **more: Any) -> Answer:
    """Return Label Studio's answer to a request that it refuses."""
    head = {"id": str(uuid4()), "status_code": status, "version": "1.23.2", "detail": detail, "exc_info": None}
    return status, {**head, **more}


def _invalid(**errors: list[Any]) -> Answer:
    return error(400, "Validation error", validation_errors=errors)


class Store:
    """Projects, tasks and predictions in memory. It has no lock of its own; a deep copy of it is a backup."""

    def __init__(self) -> None:
        self.edition = "Community"
        self.projects: dict[int, dict[str, Any]] = {}
        self.tasks: dict[int, dict[str, Any]] = {}
        self.imports: dict[int, ProjectImport] = {}
        self._ids = {"project": 0, "task": 0, "prediction": 0, "import": 0}

    def carry_out(self, call: Call) -> Answer:
        """Carry a request out; return status and answer. An answer that is a string is HTML."""
        method, path = call.method, call.path
        if (method, path) == ("GET", "/api/current-user/whoami"):
            return 200, {"id": 1, "email": "admin@example.com", "active_organization": 1}
        if (method, path) == ("GET", "/api/version"):
            return 200, {"release": "1.23.2", "edition": self.edition}
        if path == "/api/projects/":
            return self._list_projects(call.query) if method == "GET" else self._create_project(call.body)
        if (method, path) == ("GET", "/api/tasks"):
            return self._list_tasks(call.query)
        if path == "/api/predictions/":
            return self._list_predictions(call.query) if method == "GET" else self._add_prediction(call.body)
        if found := re.fullmatch(r"/api/projects/(\d+)/import", path):
            return self._import(int(found[1]), call)
        if found := re.fullmatch(r"/api/projects/\d+/imports/(\d+)/", path):  # the project is not compared
            one = self.imports.get(int(found[1]))
            return (200, one.poll()) if one else error(404, "No ProjectImport matches the given query.")
        if found := re.fullmatch(r"/api/(project|task)s/(\d+)/", path):
            return self._one(found[1], int(found[2]), call)
        return 404, NOT_FOUND

    def _next(self, kind: str) -> int:
        self._ids[kind] += 1
        return self._ids[kind]

    def _one(self, kind: str, number: int, call: Call) -> Answer:
        """Show, change or delete a project or a task; return the answer."""
        table = self.projects if kind == "project" else self.tasks
        if number not in table:
            return error(404, f"No {kind.capitalize()} matches the given query.")
        if call.method == "DELETE":
            del table[number]
            if kind == "project":
                self.tasks = {key: task for key, task in self.tasks.items() if task["project"] != number}
                self.imports = {key: one for key, one in self.imports.items() if one.shown["project"] != number}
            return 204, None
        if call.method == "PATCH":
            table[number].update(call.body)
        return 200, table[number]

    def _list_projects(self, query: Mapping[str, str]) -> Answer:
        wanted = query.get("title", "").lower()
        found = [project for project in self.projects.values() if wanted in project["title"].lower()]
        found.sort(key=lambda project: project["id"], reverse=query.get("ordering") != "id")
        page, size = int(query.get("page", 1)), int(query.get("page_size", 30))
        shown = found[(page - 1) * size : page * size]
        if page > 1 and not shown:
            return error(404, "Invalid page.")
        more = f"http://127.0.0.1/api/projects/?page={page + 1}" if len(found) > page * size else None
        less = f"http://127.0.0.1/api/projects/?page={page - 1}" if page > 1 else None
        results = [_included(project, query) for project in shown]
        return 200, {"count": len(found), "next": more, "previous": less, "results": results}

    def _create_project(self, body: Any) -> Answer:
        if len(body["title"]) > 50:
            return _invalid(title=["Ensure this field has no more than 50 characters."])
        try:
            parse(body["label_config"])
        except ConfigError as failure:
            return _invalid(label_config=[str(failure)])
        number = self._next("project")
        now = datetime.now(timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")
        defaults = {"model_version": "", "show_collab_predictions": True, "created_at": now}
        self.projects[number] = {**defaults, **body, "id": number}
        return 201, self.projects[number]

    def _import(self, project_id: int, call: Call) -> Answer:
        if project_id not in self.projects:
            return 404, NOT_FOUND
        asked = call.query.get("return_task_ids") == "true"
        plan = AsynchronousImport(polls=0) if call.fault.without_counts else call.asynchronous
        if plan is None:
            status, answer = self._add_tasks(project_id, call, call.body)
            if not asked:
                answer.pop("task_ids", None)
            return status, answer
        number = self._next("import")
        shown = {"id": number, "project": project_id, "return_task_ids": asked, "tasks": call.body}
        self.imports[number] = ProjectImport(shown, plan, partial(self._add_tasks, project_id, call))
        return 201, {"import": number}

    def _add_tasks(self, project_id: int, call: Call, tasks: Any) -> Answer:
        """Import all tasks or none; return the answer."""
        if None in tasks:
            return error(500, "argument of type 'NoneType' is not iterable")
        project = self.projects[project_id]
        wanted = [tag.variable for tag in parse(project["label_config"]).objects]
        errors = [_flaw(index, task, wanted, call.fault) for index, task in enumerate(tasks)]
        if any(errors):
            last = max(index for index, text in enumerate(errors) if text)
            return _invalid(non_field_errors=[text or {} for text in errors[: last + 1]])
        for task in tasks:
            if call.poison and call.poison in (text := json.dumps(task, ensure_ascii=False)):
                return error(500, f"unsupported Unicode escape sequence\nLINE 1: ... VALUES ( E'{text[:200]}")
        siblings = sum(other["project"] == project_id for other in self.tasks.values())
        ids = [self._add_task(project, inner_id, task, call.fault) for inner_id, task in enumerate(tasks, siblings + 1)]
        return 201, {
            "task_count": len(ids),
            "annotation_count": 0,
            "prediction_count": sum(len(self.tasks[number]["predictions"]) for number in ids),
            "duration": 0.01,
            "file_upload_ids": [],
            "could_be_tasks_list": False,
            "found_formats": [],
            "data_columns": [],
            "task_ids": ids,
        }

    def _add_task(self, project: dict[str, Any], inner_id: int, task: dict[str, Any], fault: Fault) -> int:
        number, project_id = self._next("task"), project["id"]
        self.tasks[number] = {
            "id": number,
            "inner_id": inner_id,
            "project": project_id,
            "data": task["data"],
            "meta": task.get("meta", {}),
            "predictions": [],
            "annotations": [],
            "total_predictions": 0,
            "total_annotations": 0,
        }
        for prediction in () if fault.lose_predictions else task.get("predictions", ()):
            self._add_prediction({**prediction, "task": number})
            project["model_version"] = project["model_version"] or prediction.get("model_version", "")
        return number

    def _add_prediction(self, body: Any) -> Answer:
        task = self.tasks.get(body["task"])
        if task is None:
            return _invalid(task=[f'Invalid pk "{body["task"]}" - object does not exist.'])
        defaults = {"model_version": "undefined", "score": None}
        prediction = {**defaults, **body, "id": self._next("prediction"), "project": task["project"]}
        task["predictions"].append(prediction)
        task["total_predictions"] += 1
        return 201, prediction

    def _list_predictions(self, query: Mapping[str, str]) -> Answer:
        tasks = [
            task
            for task in self.tasks.values()
            if query.get("task") == str(task["id"]) or query.get("project") == str(task["project"])
        ]
        return 200, [prediction for task in tasks for prediction in task["predictions"]]

    def _list_tasks(self, query: Mapping[str, str]) -> Answer:
        project_id = int(query["project"])
        if project_id not in self.projects:
            return error(404, "No Project matches the given query.")
        view = json.loads(query.get("query", "{}"))
        items = view.get("filters", {}).get("items", [])
        found = [
            task
            for task in self.tasks.values()
            if task["project"] == project_id and all(_matches(task, item) for item in items)
        ]
        found.sort(key=lambda task: int(task["id"]), reverse=view.get("ordering") == ["-tasks:id"])
        page, size = int(query.get("page", 1)), int(query.get("page_size", 100))
        shown = found[(page - 1) * size : page * size]
        if page > 1 and not shown:
            return error(404, "Invalid page.")
        hidden = () if query.get("fields") == "all" else ("predictions", "annotations")
        tasks = [{key: value for key, value in task.items() if key not in hidden} for task in shown]
        totals = {name: sum(task[name] for task in found) for name in ("total_annotations", "total_predictions")}
        return 200, {**totals, "total": len(found), "tasks": [_included(task, query) for task in tasks]}


def _included(entry: dict[str, Any], query: Mapping[str, str]) -> dict[str, Any]:
    if "include" not in query:
        return entry
    return {key: entry[key] for key in query["include"].split(",") if key in entry}


def _matches(task: dict[str, Any], item: Mapping[str, Any]) -> bool:
    name = item["filter"].removeprefix("filter:tasks:")
    value = task["data"].get(name.removeprefix("data.")) if name.startswith("data.") else task[name]
    if item["operator"] == "greater":
        return bool(value > item["value"])
    if item["operator"] == "in_list":
        return value in item["value"]
    raise NotImplementedError(f"the fake does not know the operator {item['operator']}")


def _flaw(index: int, task: Any, wanted: list[str], fault: Fault) -> str | None:
    """Return the error text of a task that an import refuses, None for a good one; it cites the whole task."""
    if index in fault.reject:
        return f"Error at item {index}: rejected on request :: {task}"
    for name in wanted:
        if name not in task["data"]:
            assumed = '[assume: item["data"] = task root with values]'
            return f'Error at item {index}: "{name}" key is expected in task data {assumed} :: {task}'
    if not all("result" in prediction for prediction in task.get("predictions", ())):
        return f'Error at item {index}: Prediction must have "result" fields :: {task}'
    return None
