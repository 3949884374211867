"""What Label Studio's responses tell, as values: a project, a task that was found, the result of an import."""

from __future__ import annotations

from dataclasses import dataclass


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
    """An import that Label Studio carries out after its response, as Enterprise and the cloud do."""

    #: False while the job waits or runs.
    ended: bool
    #: Why it failed; None where it did not.
    error: str | None = None


@dataclass(frozen=True, slots=True)
class FoundTask:
    """A task that a look-up by key found."""

    id: int
    predictions: int
    #: Somebody annotated or skipped it, began a draft, or commented on it.
    touched: bool = False
