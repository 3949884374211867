"""Check Label Studio: its address, the token, the project and the project's labeling config."""

from __future__ import annotations

import time

from label_studio_otel.cli.config_check import sample_task
from label_studio_otel.cli.doctor.finding import Finding, Findings, error, ok, warning
from label_studio_otel.cli.doctor.installation import SetUp
from label_studio_otel.cli.setup import SHORTEST_TITLE
from label_studio_otel.errors import ConfigError, DeliveryError, DestinationBlocked
from label_studio_otel.label_studio.client import LabelStudio, Project
from label_studio_otel.label_studio.session import jwt_expiry
from label_studio_otel.settings import Settings, labeling_config
from label_studio_otel.tasks import labeling_config as label_config

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


def settings(set_up: SetUp) -> Findings:
    """Report the settings of this package that cannot be used."""
    for problem in set_up.settings.problems:
        yield error("settings", problem, f"correct or unset {problem.partition('=')[0].partition(' ')[0]}")


def label_studio(set_up: SetUp) -> Findings:
    """Read the project from the server with the application's token."""
    settings = set_up.settings
    client = LabelStudio(settings.url, settings.api_key, read_timeout=READ_TIMEOUT_S)
    title = settings.destination(time.time_ns()).project_name
    try:
        projects = [client.project(settings.project_id)] if settings.project_id else client.projects_titled(title)
    except DeliveryError as problem:
        yield _refused(settings, problem)
        return
    yield ok("Label Studio", f"{settings.url} knows the token")
    if not settings.project_id:
        yield from _titled(settings, title, projects)
    if projects:
        yield from _project(settings, projects[0])


def _refused(settings: Settings, problem: DeliveryError) -> Finding:
    """Return the finding about an error of Label Studio's answer, or of no answer."""
    text = str(problem)
    met, _, fix = text.partition("; ")
    if not settings.api_key:
        return error("token", "there is no token", NEW_KEY)
    if isinstance(problem, DestinationBlocked) and problem.missing:
        met = f"Label Studio has no project {settings.project_id} that this token may see"
        fix = "export LABEL_STUDIO_PROJECT_ID=the number in the project's address, or unset it"
        return error("project", met, fix)
    if "legacy token authentication has been disabled" in text:
        return error("token", "legacy token authentication has been disabled in this Label Studio", NEW_KEY_OR_LEGACY)
    if " 401 " in text:
        return error("token", _why_token_refused(settings.api_key, met), NEW_KEY)
    if isinstance(problem, DestinationBlocked) and not problem.passing:
        if not fix or fix.endswith("?"):
            fix = f"export LABEL_STUDIO_URL=the address of Label Studio (now {settings.url})"
        return error("Label Studio", met, fix)
    fix = f"start Label Studio, or export LABEL_STUDIO_URL=where it is (now {settings.url}); calls wait until then"
    return error("Label Studio", met, fix)


def _why_token_refused(key: str, met: str) -> str:
    expiry = jwt_expiry(key)
    if expiry is None:
        return f"Label Studio does not know the token ({met})"
    if expiry < time.time():
        return f"the personal access token expired on {time.strftime('%Y-%m-%d', time.gmtime(expiry))}"
    return f"the personal access token is not valid: revoked, or another server's ({met})"


def _titled(settings: Settings, title: str, projects: list[Project]) -> Findings:
    """Yield a finding if the title selects several projects, or none, or can be no title."""
    if projects[1:]:
        first = projects[0].id
        met = f"{len(projects)} projects are titled {title!r}; the oldest ({first}) gets the tasks"
        yield warning("project", met, f"export LABEL_STUDIO_PROJECT_ID={first}")
    elif not projects and len(title) < SHORTEST_TITLE:
        met = f"Label Studio takes no title under {SHORTEST_TITLE} characters, such as {title!r}"
        yield error("project", met, "export LABEL_STUDIO_OTEL_PROJECT_NAME='a longer one'")
    elif not projects:
        yield ok("project", f"{title!r} does not exist yet; the first call makes it ({settings.mode} mode)")
        yield from _given_config(settings)


def _given_config(settings: Settings) -> Findings:
    """Check the labeling config that the new project would get."""
    variable = "LABEL_STUDIO_OTEL_PROJECT_CONFIG"
    try:
        xml = labeling_config(settings.project_config)
        if xml is not None:
            yield _fillable(label_config.parse(xml), f"the labeling config of {variable}")
    except (OSError, ValueError, ConfigError) as problem:
        fix = f"correct it, or unset {variable} to take the config of the mode"
        yield error("labeling config", f"{variable} cannot be used: {problem}", fix)


def _project(settings: Settings, project: Project) -> Findings:
    """Check the labeling config of an existing project."""
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
    yield _fillable(config, where, page)
    mode, shown = ("chat", "a dialogue") if config.dialogue else ("prompt", "a text")
    if mode != settings.mode:
        met = f"the mode is {settings.mode}, and {where} shows {shown}"
        yield warning("mode", met, f"export LABEL_STUDIO_OTEL_MODE={mode}")


def _fillable(config: label_config.LabelConfig, where: str, page: str = "its place") -> Finding:
    """Return the finding whether a call can be rendered for a labeling config, as delivery renders it."""
    try:
        sample_task(config)
    except DestinationBlocked as problem:
        return error("labeling config", f"{where}: {problem}", f"rename or remove that variable at {page}")
    if config.response is None:
        met = f"{where} has no TextArea, so its tasks show no response to correct"
        fix = f'add <TextArea name="response" toName="{config.objects[0].name}"/> at {page}'
        return warning("labeling config", met, fix)
    return ok("labeling config", f"{where} can be filled; responses go to the TextArea {config.response.name!r}")
