"""Reads the file of `serve --config`: YAML with the settings of an application and those of the bridge.

::

    label_studio:                        # as in the SDK's declarative configuration
      url: https://labels.example.com
      api_key: ${LABEL_STUDIO_API_KEY}
    serve:
      host: 0.0.0.0

References to variables have the syntax of OpenTelemetry's declarative configuration
(https://opentelemetry.io/docs/specs/otel/configuration/data-model/#environment-variable-substitution). Other than
there, a reference to a variable that is not set is an error. References are replaced after the file was parsed, so that
no value becomes structure. A value means what it means in its own variable. Secrets must not stand in the file.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from label_studio_otel.errors import ConfigError
from label_studio_otel.receiver.settings import SERVE_SETTINGS, read_secret
from label_studio_otel.settings import SETTINGS, readers
from label_studio_otel.settings.declaration import Setting

#: An escaped dollar sign, a reference to a variable with or without a default, or the beginning of a wrong reference.
_REFERENCE = re.compile(r"\$\$|\$\{(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?::-([^}\n]*))?\}|\$\{")
#: The spellings of null in YAML's core schema.
_NULL = ("", "~", "null", "Null", "NULL")
_YAML_TAGS = "tag:yaml.org,2002:"


@dataclass(frozen=True, slots=True)
class Configuration:
    """The values of a file by key, as text or lists of text, with their references replaced."""

    label_studio: dict[str, Any] = field(repr=False)
    serve: dict[str, Any] = field(repr=False)


class _Key(NamedTuple):
    """A place in the file where a value can stand."""

    setting: Setting
    #: The place of the setting's own value; it is another one where this key names a file.
    path: str
    #: Whether the value is the path of a file that holds the secret.
    is_file: bool


#: Every key of the file, by its path: the names of its sections and its own, with dots between them.
KEYS = {
    f"{section}.{one.key}{end}": _Key(one, f"{section}.{one.key}", is_file=bool(end))
    for section, settings in (("label_studio", SETTINGS), ("serve", SERVE_SETTINGS))
    for one in settings
    for end in (("", "_file") if one.secret else ("",))
}


def read(path: Path, environ: Mapping[str, str]) -> Configuration:
    """Return the values of a file and of the files of secrets that it names.

    Raises:
        ConfigError: some of it cannot be used; the message has a line for each mistake, FILE:LINE:COLUMN: PROBLEM.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is no UTF-8'}") from None
    reader = _FileReader(path, environ)
    reader.read(text)
    if reader.problems:
        raise ConfigError("\n".join(reader.problems))
    return Configuration(reader.values_of("label_studio"), reader.values_of("serve"))


class _FileReader:
    """Walks over the nodes of a file and collects their values and their mistakes."""

    def __init__(self, path: Path, environ: Mapping[str, str]) -> None:
        self._path = path
        self._environ = environ
        self._values: dict[str, Any] = {}
        self.problems: list[str] = []

    def read(self, text: str) -> None:
        """Read the text of the file. `BaseLoader` leaves scalars as text and makes no objects of tags."""
        try:
            root = yaml.compose(text, Loader=yaml.BaseLoader)
        except yaml.MarkedYAMLError as error:
            self._wrong(error.problem_mark, f"no YAML: {error.problem}")
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position)
            self.problems.append(f"{self._path}:{line + 1}: no YAML: {error.reason}")
        except RecursionError:
            self.problems.append(f"{self._path}: it is nested too deeply")
        else:
            if root is not None:
                self._section(root, "")

    def values_of(self, section: str) -> dict[str, Any]:
        """Return the values of a section, by their keys within it."""
        begin = f"{section}."
        return {path.removeprefix(begin): value for path, value in self._values.items() if path.startswith(begin)}

    def _section(self, node: yaml.Node, path: str) -> None:
        if _is_null(node):
            return
        begin = f"{path}." if path else ""
        known = {key.removeprefix(begin).partition(".")[0]: None for key in KEYS if key.startswith(begin)}
        if not isinstance(node, yaml.MappingNode):
            self._wrong(
                node.start_mark, f"{path or 'the file'} must be a section with keys; known are {', '.join(known)}"
            )
            return
        lines: dict[str, int] = {}
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else "this"
            if name in lines:
                self._wrong(key.start_mark, f"{begin}{name} stands in line {lines[name]} already")
            elif name not in known:
                self._wrong(key.start_mark, f"{begin}{name} is not known{_suggestion(name, begin, list(known))}")
            else:
                lines[name] = key.start_mark.line + 1
                self._entry(value, f"{begin}{name}")

    def _entry(self, node: yaml.Node, path: str) -> None:
        if path not in KEYS:
            self._section(node, path)
            return
        key = KEYS[path]
        try:
            value = self._value(node, key)
        except _UnusableNode as error:
            self._wrong(error.mark, f"{path}: {error}")
        except (ValueError, TypeError) as error:
            shown = "" if key.setting.secret or not isinstance(node, yaml.ScalarNode) else f", not {node.value[:80]!r}"
            self._wrong(node.start_mark, f"{key.path}: {error}{shown}")
        else:
            if value is not None:
                self._values[key.path] = value

    def _value(self, node: yaml.Node, key: _Key) -> Any:
        """Return text, or a list of texts, that the setting can use; None for null."""
        if isinstance(node, yaml.SequenceNode) and key.setting.read is readers.names:
            return [self._text(item) or "" for item in node.value]
        if key.setting.secret and not key.is_file:
            _must_be_reference(node, key)
        value = self._text(node)
        if value is None:
            return None
        if key.path in self._values:
            self._wrong(node.start_mark, f"{key.path} is given twice: by itself and by {key.path}_file")
        if key.is_file:
            return read_secret(key.setting, readers.path(value))
        key.setting.read(value)
        return value

    def _text(self, node: yaml.Node) -> str | None:
        """Return a scalar with its references replaced; None for null, also where a variable holds null."""
        if not isinstance(node, yaml.ScalarNode):
            raise _UnusableNode(node, "it must be one value, not a list or a section")
        if not node.tag.startswith(_YAML_TAGS):
            raise _UnusableNode(node, f"the tag {node.tag} is not known")
        text = _REFERENCE.sub(lambda found: self._variable(node, found), node.value)
        alone = _REFERENCE.fullmatch(node.value) is not None or text == node.value
        return None if node.style is None and alone and text in _NULL else text

    def _variable(self, node: yaml.Node, found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        if not (name := found[1]):
            raise _UnusableNode(node, "after ${ a variable's name and } must follow; $$ stands for a dollar sign")
        value = self._environ.get(name, "")
        if value == "" and found[2] is not None:
            return found[2]
        if name not in self._environ:
            raise _UnusableNode(node, f"the variable {name} is not set; ${{{name}:-}} may be missing")
        return value

    def _wrong(self, mark: yaml.Mark | None, problem: str) -> None:
        where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        self.problems.append(f"{self._path}{where}: {problem}")


class _UnusableNode(Exception):
    def __init__(self, node: yaml.Node, problem: str) -> None:
        super().__init__(problem)
        self.mark = node.start_mark


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.style is None and node.value in _NULL


def _must_be_reference(node: yaml.Node, key: _Key) -> None:
    """Raise _UnusableNode where a scalar is more than a reference without a default."""
    if not isinstance(node, yaml.ScalarNode) or _is_null(node):
        return
    found = _REFERENCE.fullmatch(node.value)
    if found is None or not found[1] or found[2]:
        file_key = f"{key.setting.key}_file"
        raise _UnusableNode(node, f"a secret must not stand in this file: write ${{VARIABLE}}, or use {file_key}")


def _suggestion(name: str, begin: str, known: list[str]) -> str:
    """Return the end of the message about an unknown key: the known name most like it, else all known names."""
    if near := difflib.get_close_matches(name, known, 1):
        return f"; did you mean {begin}{near[0]}?"
    return f"; known are {', '.join(begin + one for one in sorted(known))}"
