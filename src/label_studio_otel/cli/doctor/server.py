"""Check Label Studio: its address, the token, the project and the project's labeling config."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from label_studio_otel.cli.doctor.finding import error, ok, warning
from label_studio_otel.errors import ConfigError, DeliveryError, DestinationBlocked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from label_studio_otel.cli.doctor.finding import Finding
    from label_studio_otel.cli.doctor.installation import SetUp
    from label_studio_otel.label_studio.client import LabelStudio
    from label_studio_otel.label_studio.resources import Project
    from label_studio_otel.settings import Settings
    from label_studio_otel.tasks.labeling_config import LabelConfig

__all__ = ["label_studio", "settings"]

#: Seconds to wait for one response.
READ_TIMEOUT_S = 10.0
NEW_KEY = (
    "make a personal access token in Label Studio (Account & Settings → Personal Access Token) and "
    "export LABEL_STUDIO_API_KEY=it"
)
NEW_KEY_OR_LEGACY = (
    "make a personal access token (Account & Settings → Personal Access Token) and export LABEL_STUDIO_API_KEY=it, or "
    "allow legacy tokens (Organization → Access Token Settings; for a new server "
    "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN=true)"
)


def settings(set_up: SetUp) -> Iterator[Finding]:
    """Report the settings of this package that cannot be used."""
    for problem in set_up.settings.problems:
        yield error("settings", problem, f"correct or unset {problem.partition('=')[0].partition(' ')[0]}")


def label_studio(set_up: SetUp) -> Iterator[Finding]:
    """Read the project from the server with the application's token."""
    from label_studio_otel.label_studio.client import LabelStudio

    client = LabelStudio(set_up.settings.url, set_up.settings.api_key, read_timeout=READ_TIMEOUT_S)
    try:
        projects = _projects(client, set_up.settings)
    except DeliveryError as problem:
        yield _refused(set_up.settings, problem)
        return
    yield ok("Label Studio", f"{set_up.settings.url} knows the token")
    yield from _named(set_up.settings, projects)
    if projects:
        yield from _project(set_up.settings, projects[0])


def _projects(client: LabelStudio, settings: Settings) -> list[Project]:
    if settings.project_id:
        return [client.project(settings.project_id)]
    return client.projects_titled(_title(settings))


def _title(settings: Settings) -> str:
    return settings.destination(time.time_ns()).project_name


def _refused(settings: Settings, problem: DeliveryError) -> Finding:
    """Return the finding about an error of Label Studio's answer, or of no answer."""
    text = str(problem)
    met, _, fix = text.partition("; ")
    if not settings.api_key:
        return error("token", "there is no token", NEW_KEY)
    if isinstance(problem, DestinationBlocked) and problem.missing:
        return error(
            "project",
            f"Label Studio has no project {settings.project_id} that this token may see",
            "export LABEL_STUDIO_PROJECT_ID=the number in the project's address, or unset it",
        )
    if "legacy token authentication has been disabled" in text:
        return error("token", "legacy token authentication has been disabled in this Label Studio", NEW_KEY_OR_LEGACY)
    if " 401 " in text:
        return _token_refused(settings.api_key, met)
    if isinstance(problem, DestinationBlocked) and not problem.passing:
        question = not fix or fix.endswith("?")
        address = f"export LABEL_STUDIO_URL=the address of Label Studio (now {settings.url})"
        return error("Label Studio", met, address if question else fix)
    return error(
        "Label Studio",
        met,
        f"start Label Studio, or export LABEL_STUDIO_URL=where it is (now {settings.url}); calls wait until then",
    )


def _token_refused(key: str, met: str) -> Finding:
    from label_studio_otel.label_studio.authorization import jwt_expiry

    expiry = jwt_expiry(key)
    if expiry is None:
        return error("token", f"Label Studio does not know the token ({met})", NEW_KEY)
    if expiry < time.time():
        day = time.strftime("%Y-%m-%d", time.gmtime(expiry))
        return error("token", f"the personal access token expired on {day}", NEW_KEY)
    return error("token", f"the personal access token is not valid: revoked, or another server's ({met})", NEW_KEY)


def _named(settings: Settings, projects: list[Project]) -> Iterator[Finding]:
    """Say which project the title selects."""
    if settings.project_id:
        return
    from label_studio_otel.cli.setup import SHORTEST_TITLE

    title = _title(settings)
    if projects[1:]:
        yield warning(
            "project",
            f"{len(projects)} projects are titled {title!r}; the oldest ({projects[0].id}) gets the tasks",
            f"export LABEL_STUDIO_PROJECT_ID={projects[0].id}",
        )
    elif not projects and len(title) < SHORTEST_TITLE:
        yield error(
            "project",
            f"Label Studio takes no title under {SHORTEST_TITLE} characters, such as {title!r}",
            "export LABEL_STUDIO_OTEL_PROJECT_NAME='a longer one'",
        )
    elif not projects:
        yield ok("project", f"{title!r} does not exist yet; the first call makes it ({settings.mode} mode)")
        yield from _given_config(settings)


def _given_config(settings: Settings) -> Iterator[Finding]:
    """Check the labeling config that the new project would get."""
    from label_studio_otel.settings import labeling_config
    from label_studio_otel.tasks import labeling_config as label_config

    try:
        xml = labeling_config(settings.project_config)
        if xml is not None:
            yield from _fillable(label_config.parse(xml), "the labeling config of LABEL_STUDIO_OTEL_PROJECT_CONFIG")
    except (OSError, ValueError, ConfigError) as problem:
        yield error(
            "labeling config",
            f"LABEL_STUDIO_OTEL_PROJECT_CONFIG cannot be used: {problem}",
            "correct it, or unset LABEL_STUDIO_OTEL_PROJECT_CONFIG to take the config of the mode",
        )


def _project(settings: Settings, project: Project) -> Iterator[Finding]:
    """Check the labeling config of an existing project."""
    from label_studio_otel.tasks import labeling_config as label_config

    where = f"project {project.id} ({project.title})"
    page = f"{settings.url}/projects/{project.id}/settings/labeling"
    try:
        config = label_config.parse(project.label_config)
    except ConfigError as problem:
        yield error("labeling config", f"{where}: {problem}", f"mend it at {page}")
        return
    if not config.objects:
        yield error("labeling config", f"{where} shows nothing yet", f"choose a labeling config at {page}")
        return
    yield from _fillable(config, where, page)
    mode = "chat" if config.dialogue else "prompt"
    if mode != settings.mode:
        yield warning(
            "mode",
            f"the mode is {settings.mode}, and {where} shows {'a dialogue' if config.dialogue else 'a text'}",
            f"export LABEL_STUDIO_OTEL_MODE={mode}",
        )


def _fillable(config: LabelConfig, where: str, page: str = "its place") -> Iterator[Finding]:
    """Check that a call can be rendered for a labeling config, as delivery renders it."""
    from label_studio_otel.cli.config_check import sample_task

    try:
        sample_task(config)
    except DestinationBlocked as problem:
        yield error("labeling config", f"{where}: {problem}", f"rename or remove that variable at {page}")
        return
    if config.response is None:
        yield warning(
            "labeling config",
            f"{where} has no TextArea, so its tasks show no response to correct",
            f'add <TextArea name="response" toName="{config.objects[0].name}"/> at {page}',
        )
    else:
        yield ok("labeling config", f"{where} can be filled; responses go to the TextArea {config.response.name!r}")
