"""Finds the project of a destination, or makes it, so that everybody who looks ends with the same one."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, NamedTuple

from label_studio_otel import log
from label_studio_otel.errors import ConfigError, DestinationBlocked
from label_studio_otel.tasks import labeling_config

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from label_studio_otel.label_studio.client import LabelStudio, Project
    from label_studio_otel.outbox.items import Outbox, Target
    from label_studio_otel.settings import Destination
    from label_studio_otel.tasks.labeling_config import LabelConfig

__all__ = ["Projects", "Resolved", "create", "difference", "titled"]

#: Seconds after which a project is read again, so that a change made in its settings page is honoured.
FRESH = 30.0
#: Seconds between making a project and looking who else made one.
SECOND_LOOK = 0.3
#: Of the difference between two labeling configs, so much is said.
SHOWN_LINES = 6
LONGEST_LINE = 100


class Resolved(NamedTuple):
    """A destination's project, ready to be sent to."""

    id: int
    config: LabelConfig
    #: Tasks imported from now on have higher ids.
    watermark: int


class Projects:
    """Projects by destination, read again when they are older than `FRESH`."""

    def __init__(self, client: LabelStudio, outbox: Outbox, clock: Callable[[], float]) -> None:
        self._client = client
        self._outbox = outbox
        self._clock = clock
        self._known: dict[int, tuple[Project, LabelConfig, float]] = {}

    def resolve(self, target: Target) -> Resolved:
        """Return the project of a destination; make it where it is named and does not exist.

        Raises:
            DestinationBlocked: there is no such project and none can be made, or its labeling config is unusable.
            Retryable: Label Studio did not answer.
        """
        known = self._known.get(target.id)
        if known is None or known[2] < self._clock():
            project = self._find(target)
            known = self._known[target.id] = (project, _parsed(project), self._clock() + FRESH)
            self._say_what_is_odd(project, known[1], target.destination)
            return Resolved(project.id, known[1], self._watermark(target, project))
        project, config, _ = known
        assert target.watermark is not None
        return Resolved(project.id, config, target.watermark)

    def _watermark(self, target: Target, project: Project) -> int:
        """Note and return the highest task id; a lower one than before is said, once."""
        highest, known = self._client.highest_task_id(project.id), target.watermark
        same = target.project == project.id and target.created in ("", project.created_at)
        if same and known is not None and highest < known:
            log.warn_once(
                f"{self._client.url} went back",
                f"the newest task of project {project.id} of {self._client.url} is {highest}, though {known} was "
                "delivered: tasks were deleted, or Label Studio was restored from a backup. What was delivered before "
                "is not sent again",
            )
        if not same or highest != known or not target.created:
            self._outbox.resolve(target.id, project.id, highest, project.created_at)
        return highest

    def config(self, project_id: int) -> LabelConfig:
        """Return a project's labeling config as it is now."""
        return _parsed(self._client.project(project_id))

    def forget(self, target: int) -> None:
        """Read the project again next time."""
        self._known.pop(target, None)

    def forget_all(self) -> None:
        """Read every project again."""
        self._known.clear()

    def _say_what_is_odd(self, project: Project, config: LabelConfig, destination: Destination) -> None:
        """Warn of what works and may not be meant, once per project."""
        where = f"project {project.id} of {self._client.url}"
        if config.response is not None:
            log.resolved(
                f"{where} has no <TextArea>", f"the labeling config of {where} has a <TextArea> for the response now"
            )
        else:
            log.warn_once(
                f"{where} has no <TextArea>",
                f"the labeling config of {where} has no <TextArea> for the response: its tasks come without prediction",
            )
        if destination.project_config and (different := difference(project, destination.project_config)):
            log.warn_once(
                f"config of {where}",
                f"{where} exists with another labeling config than project_config, and keeps it: {different}",
            )

    def _find(self, target: Target) -> Project:
        destination = target.destination
        if destination.project_id:
            return self._client.project(destination.project_id)
        if target.project:
            try:
                project = self._client.project(target.project)  # it may have got another title since
            except DestinationBlocked as error:
                if not error.missing:
                    raise
            else:
                if target.created in ("", project.created_at):
                    return project  # else the server was set up anew, and somebody else's project has this id now
        return titled(self._client, destination) or create(self._client, destination)


def titled(client: LabelStudio, destination: Destination) -> Project | None:
    """Return the oldest project of a destination's title, one that fits the mode first."""
    return _fitting(destination, client.projects_titled(destination.project_name))


def create(client: LabelStudio, destination: Destination) -> Project:
    """Make a destination's project, or return the one that somebody else made at the same time.

    Raises:
        DestinationBlocked: Label Studio refuses the title or the labeling config.
    """
    config = destination.project_config or labeling_config.template(destination.mode)
    # Label Studio on SQLite runs a request again that met a locked database, after it had made the project: this one
    # request may make several, and the sign tells them from those of others.
    sign = f"Made by label-studio-otel ({secrets.token_hex(4)})"
    made = client.create_project(destination.project_name, config, sign)
    # Label Studio accepts equal titles: of those who made one at the same time, the oldest project wins. One of a lower
    # id can appear after ours.
    time.sleep(SECOND_LOOK)
    projects = client.projects_titled(destination.project_name)
    first = _fitting(destination, projects) or made
    for surplus in projects:
        if surplus.description == sign and surplus.id != first.id and client.highest_task_id(surplus.id) == 0:
            client.delete_project(surplus.id)
    return first


def difference(project: Project, wanted: str) -> str:
    """Return in one line what a project's labeling config has (-) and what another one has instead (+)."""
    try:
        lines = labeling_config.differences(project.label_config, wanted)
    except ConfigError as error:
        return f"project_config: {error}"
    shown = [line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}…" for line in lines[:SHOWN_LINES]]
    more = [f"{len(lines) - SHOWN_LINES} more"] if len(lines) > SHOWN_LINES else []
    return ", ".join(shown + more)


def _fitting(destination: Destination, projects: Sequence[Project]) -> Project | None:
    for project in projects:
        if _fits(project, destination.mode):
            return project
    # Under a name that nobody chose, prompts and chats go to projects of their own.
    return None if destination.default_name or not projects else projects[0]


def _fits(project: Project, mode: str) -> bool:
    try:
        return labeling_config.parse(project.label_config).dialogue == (mode == "chat")
    except ConfigError:
        return False


def _parsed(project: Project) -> LabelConfig:
    try:
        config = labeling_config.parse(project.label_config)
    except ConfigError as error:
        raise DestinationBlocked(f"project {project.id}: {error}") from error
    if not config.objects:
        raise DestinationBlocked(
            f"project {project.id} has no labeling config that shows anything; choose one on its settings page"
        )
    return config
