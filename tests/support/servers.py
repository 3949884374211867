"""The real servers that tests talk to."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from label_studio_otel.cli.demo.label_studio_server import LabelStudioServer

PROMPT_CONFIG = """<View>
  <Text name="prompt" value="$prompt"/>
  <TextArea name="response" toName="prompt" maxSubmissions="1" editable="true" required="true"/>
  <Rating name="rating" toName="prompt"/>
</View>"""


class Api:
    """What tests ask of Label Studio, in its own words, beside the client under test."""

    def __init__(self, server: LabelStudioServer) -> None:
        self.server = server

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Return the decoded answer; an AssertionError cites anything but a 2xx."""
        status, answer = self.server.request(method, path, body)
        assert 200 <= status < 300, f"{method} {path} -> {status} {str(answer)[:500]}"
        return answer

    def projects(self) -> list[dict[str, Any]]:
        return self.call("GET", "/api/projects?page_size=10000")["results"]

    def projects_titled(self, title: str) -> list[dict[str, Any]]:
        return [project for project in self.projects() if project["title"] == title]

    def project(self, title: str) -> dict[str, Any]:
        """Return the one project of exactly this title."""
        (project,) = self.projects_titled(title)
        return project

    def create_project(self, title: str, label_config: str = PROMPT_CONFIG) -> dict[str, Any]:
        return self.call("POST", "/api/projects", {"title": title, "label_config": label_config})

    def delete_project(self, project_id: int) -> None:
        self.call("DELETE", f"/api/projects/{project_id}")

    def import_tasks(self, project_id: int, tasks: list[dict[str, Any]]) -> dict[str, Any]:
        return self.call("POST", f"/api/projects/{project_id}/import?return_task_ids=true", tasks)

    def tasks(self, project_id: int) -> list[dict[str, Any]]:
        """Return all tasks in the order of their ids, each with its predictions and annotations."""
        # Without an explicit page size Label Studio answers with the first 100.
        answer = self.call("GET", f"/api/tasks?project={project_id}&fields=all&page_size=10000")
        assert answer["total"] == len(answer["tasks"])
        return sorted(answer["tasks"], key=lambda task: task["id"])

    def task(self, task_id: int) -> dict[str, Any]:
        return self.call("GET", f"/api/tasks/{task_id}")

    def delete_task(self, task_id: int) -> None:
        self.call("DELETE", f"/api/tasks/{task_id}")

    def wait_for_tasks(self, title: str, count: int, timeout: float = 60) -> list[dict[str, Any]]:
        """Return the tasks of the project once there are at least `count` of them."""

        def found() -> list[dict[str, Any]] | None:
            projects = self.projects_titled(title)
            tasks = self.tasks(projects[0]["id"]) if projects else []
            return tasks if len(tasks) >= count else None

        return wait_for(found, timeout=timeout, what=f"{count} tasks in {title!r}")

    def personal_access_token(self) -> str:
        """Return a new one; a user has one at a time, so any other is revoked."""
        for token in self.call("GET", "/api/token/"):
            self.call("POST", "/api/token/blacklist/", {"refresh": token["token"]})
        return self.call("POST", "/api/token/")["token"]

    def annotate(self, task_id: int, text: str, to_name: str = "prompt") -> dict[str, Any]:
        result = [{"from_name": "response", "to_name": to_name, "type": "textarea", "value": {"text": [text]}}]
        return self.call("POST", f"/api/tasks/{task_id}/annotations", {"result": result})


def wait_for(question: Callable[[], Any], *, timeout: float = 60, what: str = "the answer") -> Any:
    """Ask until the answer is true, and return it."""
    deadline = time.monotonic() + timeout
    while not (answer := question()):
        assert time.monotonic() < deadline, f"no {what} within {timeout:.0f} s"
        time.sleep(0.05)
    return answer
