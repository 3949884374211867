"""`label-studio-otel setup`: create or check a project before the first call is sent."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace

from label_studio_otel.cli import _settings, config_check
from label_studio_otel.cli._output import print_error, print_line
from label_studio_otel.errors import DeliveryError, DestinationBlocked
from label_studio_otel.label_studio import projects
from label_studio_otel.label_studio.client import LabelStudio, Project
from label_studio_otel.settings import Destination, Settings, labeling_config, load
from label_studio_otel.tasks import labeling_config as label_config
from label_studio_otel.tasks.task import MODEL_VERSION

#: Characters of a project title that Label Studio accepts.
SHORTEST_TITLE, LONGEST_TITLE = 3, 50

SUMMARY = "create or check a project and its labeling config"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options and arguments of the command."""
    parser.add_argument("--url", help="base URL of Label Studio (LABEL_STUDIO_URL)")
    _settings.add_options(parser, _settings.DESTINATION)
    parser.add_argument(
        "--dry-run", action="store_true", help="change nothing; print a sample task as Label Studio would get it"
    )


def run(args: argparse.Namespace) -> int:
    """Create or check the project; return 0 when calls can be sent, else 1, with advice on standard error."""
    names = ("url", "project_id", "project_name", "project_config", "mode")
    settings = load({name: getattr(args, name) for name in names})
    wrong = list(settings.problems)
    try:
        settings = replace(settings, project_config=labeling_config(settings.project_config))
    except (OSError, ValueError) as error:
        wrong.append(f"project_config cannot be read: {error}")
    if not wrong:
        try:
            wrong = _Setup(settings, dry_run=args.dry_run).run()
        except DeliveryError as error:
            wrong = [str(error)]
    for sentence in wrong:
        print_error(f"wrong: {sentence}")
    return 1 if wrong else 0


class _Setup:
    """One run of the command: it finds the project, checks it, and creates or repairs it."""

    def __init__(self, settings: Settings, *, dry_run: bool) -> None:
        self._settings = settings
        self._destination = settings.destination(time.time_ns())
        self._client = LabelStudio(settings.url, settings.api_key)
        self._dry_run = dry_run
        # In a dry run, standard output has the task only.
        self._notes = sys.stderr if dry_run else sys.stdout

    def run(self) -> list[str]:
        """Return a sentence for each thing that is wrong.

        Raises:
            DeliveryError: Label Studio gave no answer, or refused a request.
        """
        destination = self._destination
        if wrong := _wrong_title(destination):
            return [wrong]
        edition = self._client.edition()
        project = self._find()
        xml = project.label_config if project else destination.project_config or label_config.template(destination.mode)
        if wrong_config := config_check.problems(xml, edition):
            whose = f" of project {project.id} “{project.title}”" if project else " for a new project"
            return [f"the labeling config{whose}: {sentence}" for sentence in wrong_config]
        for tag in config_check.unknown_tags(xml, edition):
            self._note(f"note: Label Studio Community 1.23 has no tag <{tag}>; labelers may see an error")
        if project:
            self._check(project)
        elif self._dry_run:
            self._note(f"{destination} would be made")
        else:
            self._note(f"{destination} made: {self._address(projects.create(self._client, destination))}")
        self._note(_summary(xml))
        if self._dry_run:
            sample = config_check.sample_task(
                label_config.parse(xml),
                max_bytes=self._settings.max_task_bytes,
                max_image_bytes=self._settings.max_image_bytes,
                trace_link=self._settings.trace_link,
            )
            json.dump(sample, sys.stdout, indent=2, ensure_ascii=False)
            sys.stdout.write("\n")
        return []

    def _find(self) -> Project | None:
        """Return the project with all its fields, which a list of projects leaves out; None where it does not exist."""
        if self._destination.project_id:
            return self._client.project(self._destination.project_id)
        found = projects.titled(self._client, self._destination)
        return found and self._client.project(found.id)

    def _check(self, project: Project) -> None:
        """Compare the labeling config, switch predictions on, and select our model version, so that labelers see it."""
        self._note(f"project {project.id} “{project.title}” exists: {self._address(project)}")
        wanted = self._destination.project_config
        if wanted and (different := projects.difference(project, wanted)):
            self._note(f"note: it keeps its labeling config, which differs from project_config: {different}")
        will = "would be" if self._dry_run else "is now"
        if not project.show_predictions:
            self._note(f"show_collab_predictions: {will} switched on; labelers saw no predictions")
            if not self._dry_run:
                self._client.change_project(project.id, show_collab_predictions=True)
        version = project.model_version
        if version and version != MODEL_VERSION:
            self._note(
                f"model_version: {will} {MODEL_VERSION} instead of {version}, whose predictions alone were shown"
            )
        if version != MODEL_VERSION and not self._dry_run:
            self._set_model_version(project)

    def _set_model_version(self, project: Project) -> None:
        try:
            self._client.change_project(project.id, model_version=MODEL_VERSION)
        except DestinationBlocked:
            # Label Studio accepts only versions with predictions; the next import sets an empty one.
            if project.model_version:
                self._client.change_project(project.id, model_version="")

    def _address(self, project: Project) -> str:
        return f"{self._settings.url}/projects/{project.id}"

    def _note(self, sentence: str) -> None:
        print_line(sentence, self._notes)


def _summary(xml: str) -> str:
    """Return what a labeling config without errors shows of a call."""
    config = label_config.parse(xml)
    shown = ", ".join(f"${tag.variable}{tag.path} in <{tag.tag}>" for tag in config.objects)
    area = config.response.name if config.response else ""
    return f'labeling config: shows {shown}; the response is to be corrected in <TextArea name="{area}">'


def _wrong_title(destination: Destination) -> str | None:
    title = destination.project_name
    if destination.project_id or SHORTEST_TITLE <= len(title) <= LONGEST_TITLE:
        return None
    return (
        f"the title {title!r} has {len(title)} characters, and Label Studio wants {SHORTEST_TITLE} to {LONGEST_TITLE}: "
        "choose another LABEL_STUDIO_OTEL_PROJECT_NAME"
    )
