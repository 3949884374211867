"""Finds the project of a destination, or creates it, for `delivery` and `setup`.

Processes that create the project of a destination at the same time must all end with the same project: Label Studio
accepts several projects of one title.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from label_studio_otel import log
from label_studio_otel.errors import ConfigError, DestinationBlocked
from label_studio_otel.label_studio.client import LabelStudio, Project
from label_studio_otel.outbox.items import DestinationRow
from label_studio_otel.outbox.outbox import Outbox
from label_studio_otel.settings import Destination
from label_studio_otel.tasks import labeling_config
from label_studio_otel.tasks.labeling_config import LabelConfig

#: Seconds after which a project is read again, as its labeling config may have been changed.
REREAD_INTERVAL_S = 30.0
#: Seconds after which a process that created a project looks for others of the same title.
RECHECK_DELAY_S = 0.3
#: Lines, and characters of a line, that a warning shows of the difference between two labeling configs.
MAX_DIFFERENCE_LINES, MAX_DIFFERENCE_LINE = 6, 100


class ResolvedProject(NamedTuple):
    """The project of a destination, as an import needs it."""

    id: int
    config: LabelConfig
    #: The highest id of a task: tasks imported from now on have higher ids.
    watermark: int


class Projects:
    """The projects of destinations, each read again after `REREAD_INTERVAL_S` seconds."""

    def __init__(self, client: LabelStudio, outbox: Outbox, clock: Callable[[], float]) -> None:
        self._client = client
        self._outbox = outbox
        self._clock = clock
        #: By destination: its project, and when to read it again in seconds since the epoch.
        self._read: dict[int, tuple[ResolvedProject, float]] = {}

    def resolve(self, target: DestinationRow) -> ResolvedProject:
        """Return the project of a destination; create it where the destination has a title and there is none.

        Raises:
            DestinationBlocked: there is no project and none can be created, or its labeling config is unusable.
            Retryable: no response came.
        """
        known, stale_at = self._read.get(target.id, (None, 0.0))
        if known is not None and stale_at >= self._clock():
            assert target.watermark is not None
            return known._replace(watermark=target.watermark)
        project = self._find(target)
        config = usable_config(project)
        stale_at = self._clock() + REREAD_INTERVAL_S
        self._warn_if_odd(project, config, target.destination)
        resolved = ResolvedProject(project.id, config, self._watermark(target, project))
        self._read[target.id] = resolved, stale_at
        return resolved

    def _watermark(self, target: DestinationRow, project: Project) -> int:
        """Return the highest id of a task, and keep it in the outbox; warn where it is lower than before."""
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
            self._outbox.destinations.set_project(target.id, project.id, highest, project.created_at)
        return highest

    def invalidate(self, target: int) -> None:
        """Read the project of a destination again next time."""
        self._read.pop(target, None)

    def _warn_if_odd(self, project: Project, config: LabelConfig, destination: Destination) -> None:
        """Warn, once for a project, of a labeling config that works and may not be meant."""
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
        if destination.project_config and (lines := difference(project, destination.project_config)):
            log.warn_once(
                f"config of {where}",
                f"{where} exists with another labeling config than project_config, and keeps it: {lines}",
            )

    def _find(self, target: DestinationRow) -> Project:
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
                # Created at another time, it is another project: the server was set up anew and gave the id again.
                if target.created in ("", project.created_at):
                    return project
        return titled(self._client, destination) or create(self._client, destination)


def titled(client: LabelStudio, destination: Destination) -> Project | None:
    """Return the project of a destination's title, None where there is none.

    Of several it is the oldest whose labeling config fits the destination's mode, else the oldest.
    """
    return _fitting(destination, client.projects_titled(destination.project_name))


def create(client: LabelStudio, destination: Destination) -> Project:
    """Create the project of a destination, or return the one that another process created at the same time.

    Raises:
        DestinationBlocked: Label Studio refuses the title or the labeling config.
    """
    config = destination.project_config or labeling_config.template(destination.mode)
    # Label Studio on SQLite runs a request again that met a locked database, after it created the project. So this
    # one request may create several projects, and the sign tells them from those of other processes.
    sign = f"Made by label-studio-otel ({secrets.token_hex(4)})"
    made = client.create_project(destination.project_name, config, sign)
    # All processes choose the oldest project. One with a lower id can appear later than ours.
    time.sleep(RECHECK_DELAY_S)
    projects = client.projects_titled(destination.project_name)
    first = _fitting(destination, projects) or made
    for surplus in projects:
        if surplus.description == sign and surplus.id != first.id and client.highest_task_id(surplus.id) == 0:
            client.delete_project(surplus.id)
    return first


def difference(project: Project, wanted: str) -> str:
    """Return in one line how a labeling config differs from a project's: the project's lines (-), the other's (+)."""
    try:
        lines = labeling_config.differences(project.label_config, wanted)
    except ConfigError as error:
        return f"project_config: {error}"
    first = lines[:MAX_DIFFERENCE_LINES]
    shown = [line if len(line) <= MAX_DIFFERENCE_LINE else f"{line[:MAX_DIFFERENCE_LINE]}…" for line in first]
    more = [f"{len(lines) - len(first)} more"] if len(lines) > len(first) else []
    return ", ".join(shown + more)


def _fitting(destination: Destination, projects: Sequence[Project]) -> Project | None:
    for project in projects:
        if _fits(project, destination.mode):
            return project
    # The default title is used for both modes, and each mode needs a project of its own.
    return None if destination.default_name or not projects else projects[0]


def _fits(project: Project, mode: str) -> bool:
    try:
        return labeling_config.parse(project.label_config).dialogue == (mode == "chat")
    except ConfigError:
        return False


def usable_config(project: Project) -> LabelConfig:
    """Return a project's labeling config.

    Raises:
        DestinationBlocked: it is none, or shows nothing of a call.
    """
    try:
        config = labeling_config.parse(project.label_config)
    except ConfigError as error:
        raise DestinationBlocked(f"project {project.id}: {error}") from error
    if not config.objects:
        raise DestinationBlocked(
            f"project {project.id} has no labeling config that shows anything; choose one on its settings page"
        )
    return config
