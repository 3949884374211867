"""The file of `serve --config`: YAML with a section for the settings of the product and one for the service.

::

    label_studio:                        # as in the SDK's declarative configuration
      url: https://labels.example.com
      api_key: ${LABEL_STUDIO_API_KEY}
    serve:
      host: 0.0.0.0

References to variables are those of OpenTelemetry's declarative configuration
(https://opentelemetry.io/docs/specs/otel/configuration/data-model/#environment-variable-substitution), but that one to
a variable which is not set is an error. They are filled in after the file was parsed: a value never becomes structure.
A value then means what it would mean in its own variable. Secrets do not stand in the file.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Union

import yaml

from label_studio_otel.errors import ConfigError
from label_studio_otel.receiver import access
from label_studio_otel.receiver.settings import SERVE_SETTINGS
from label_studio_otel.settings import SETTINGS, readers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["Configuration", "every_key", "read"]

#: A dollar sign, a reference to a variable with its default, or what looks like one.
_REFERENCE = re.compile(r"\$\$|\$\{(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?::-([^}\n]*))?\}|\$\{")
#: YAML's core schema.
_NULL = ("", "~", "null", "Null", "NULL")
#: Settings of which no user of the machine may learn.
SECRETS = ("label_studio.api_key", "serve.token")
_OWN_TAGS = "tag:yaml.org,2002:"


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a file says, as it is written there with its references filled in."""

    #: By argument.
    label_studio: dict[str, Any] = field(default_factory=dict, repr=False)
    #: By key of `SERVE_SETTINGS`.
    serve: dict[str, Any] = field(default_factory=dict, repr=False)


class _Key(NamedTuple):
    """Where a value may stand."""

    path: str
    read: Callable[[Any], Any]
    #: Whether it names the file of a secret.
    is_file: bool = False


_Section = dict[str, Union[_Key, "_Section"]]


def read(path: Path, environ: Mapping[str, str]) -> Configuration:
    """Read a file, and the files of secrets that it names.

    Raises:
        ConfigError: some of it cannot be used; the message has a line for each, which begins with FILE:LINE:COLUMN.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is no UTF-8'}") from None
    reader = _Reader(path, environ)
    root = reader.parsed(text)
    if root is not None:
        reader.section(root, _schema(), "")
    if reader.problems:
        raise ConfigError("\n".join(reader.problems))
    return Configuration(reader.found("label_studio"), reader.found("serve"))


def every_key() -> Iterator[str]:
    """Yield every key, sections separated by dots."""
    return _paths(_schema())


def _paths(section: _Section) -> Iterator[str]:
    for one in section.values():
        if isinstance(one, dict):
            yield from _paths(one)
        else:
            yield one.path


def _schema() -> _Section:
    root: _Section = {}
    for setting in SETTINGS:
        _declare(root, f"label_studio.{setting.argument}", setting.read)
    for one in SERVE_SETTINGS:
        _declare(root, f"serve.{one.key}", one.read)
    return root


def _declare(root: _Section, path: str, reader: Callable[[Any], Any]) -> None:
    *sections, name = path.split(".")
    for section in sections:
        inner = root.setdefault(section, {})
        assert isinstance(inner, dict)
        root = inner
    root[name] = _Key(path, reader)
    if path in SECRETS:
        root[f"{name}_file"] = _Key(f"{path}_file", readers.path, is_file=True)


class _Reader:
    """Goes through the nodes of a file, and collects what is wrong with them."""

    def __init__(self, path: Path, environ: Mapping[str, str]) -> None:
        self._path = path
        self._environ = environ
        self._values: dict[str, Any] = {}
        self.problems: list[str] = []

    def found(self, section: str) -> dict[str, Any]:
        """Return the values of a section, by what their path is within it."""
        begin = f"{section}."
        return {path.removeprefix(begin): value for path, value in self._values.items() if path.startswith(begin)}

    def parsed(self, text: str) -> yaml.Node | None:
        """Return the only document; scalars are text still, and nothing is made of tags."""
        try:
            return yaml.compose(text, Loader=yaml.BaseLoader)
        except yaml.MarkedYAMLError as error:
            self._wrong(error.problem_mark, f"no YAML: {error.problem}")
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position)
            self.problems.append(f"{self._path}:{line + 1}: no YAML: {error.reason}")
        except RecursionError:
            self.problems.append(f"{self._path}: it is nested too deeply")
        return None

    def section(self, node: yaml.Node, schema: _Section, path: str) -> None:
        """Read a section."""
        if isinstance(node, yaml.ScalarNode) and node.style is None and node.value in _NULL:
            return
        if not isinstance(node, yaml.MappingNode):
            names = ", ".join(schema)
            self._wrong(node.start_mark, f"{path or 'the file'} must be a section with keys; known are {names}")
            return
        lines: dict[str, int] = {}
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else "this"
            whole = f"{path}.{name}" if path else name
            if name in lines:
                self._wrong(key.start_mark, f"{whole} stands in line {lines[name]} already")
            elif name not in schema:
                self._wrong(key.start_mark, f"{whole} is not known{_nearest(whole, path, schema)}")
            else:
                lines[name] = key.start_mark.line + 1
                self._entry(value, schema[name], whole)

    def _entry(self, node: yaml.Node, one: _Key | _Section, path: str) -> None:
        if isinstance(one, dict):
            self.section(node, one, path)
            return
        try:
            given = self._given(node, one)
            if given is None:
                return
            used = one.read(given)
            path = path.removesuffix("_file") if one.is_file else path
            if path in self._values:
                self._wrong(node.start_mark, f"{path} is given twice: by itself and by {path}_file")
            self._values[path] = self._content(node, used, path) if one.is_file else given
        except _Unusable as error:
            self._wrong(error.mark, f"{path}: {error}")
        except (ValueError, TypeError, ArithmeticError) as error:
            shown = "" if path in SECRETS or not isinstance(node, yaml.ScalarNode) else f", not {node.value[:80]!r}"
            self._wrong(node.start_mark, f"{path}: {error}{shown}")

    def _given(self, node: yaml.Node, one: _Key) -> Any:
        """Return text, or a list of texts, None for nothing."""
        if isinstance(node, yaml.SequenceNode) and one.read is readers.names:
            return [self._text(item) or "" for item in node.value]
        if one.path in SECRETS and isinstance(node, yaml.ScalarNode):
            self._must_be_reference(node, one.path)
        return self._text(node)

    def _text(self, node: yaml.Node) -> str | None:
        """Return a scalar with its references filled in, None for YAML's null."""
        if not isinstance(node, yaml.ScalarNode):
            raise _Unusable(node, "it must be one value, not a list or a section")
        if not node.tag.startswith(_OWN_TAGS):
            raise _Unusable(node, f"the tag {node.tag} is not known")
        text = _REFERENCE.sub(lambda found: self._value(node, found), node.value)
        alone = _REFERENCE.fullmatch(node.value) is not None or text == node.value
        return None if node.style is None and alone and text in _NULL else text

    def _value(self, node: yaml.Node, found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        if not (name := found[1]):
            raise _Unusable(node, "after ${ a variable's name and } must follow; $$ stands for a dollar sign")
        value = self._environ.get(name, "")
        if value == "" and found[2] is not None:
            return found[2]
        if name not in self._environ:
            raise _Unusable(node, f"the variable {name} is not set; ${{{name}:-}} may be missing")
        return value

    def _must_be_reference(self, node: yaml.ScalarNode, path: str) -> None:
        found = _REFERENCE.fullmatch(node.value)
        if (found is None or not found[1] or found[2]) and (node.style is not None or node.value not in _NULL):
            name = path.rpartition(".")[2]
            raise _Unusable(node, f"a secret must not stand in this file: write ${{VARIABLE}}, or use {name}_file")

    def _content(self, node: yaml.Node, path: Path, key: str) -> str:
        try:
            content = path.read_text("utf-8").strip()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is no UTF-8"
            raise _Unusable(node, f"{path} cannot be read: {reason}") from None
        if not content or not content.isascii() or (" " in access.words(content) and key != "serve.token"):
            raise _Unusable(node, f"{path} must hold one word in ASCII")
        access.warn_if_others_may_read(path, f"the file of {key}")
        return content

    def _wrong(self, mark: yaml.Mark | None, problem: str) -> None:
        where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        self.problems.append(f"{self._path}{where}: {problem}")


class _Unusable(Exception):
    """A value that cannot even be read."""

    def __init__(self, node: yaml.Node, problem: str) -> None:
        super().__init__(problem)
        self.mark = node.start_mark


def _nearest(path: str, section: str, schema: _Section) -> str:
    """Return a question for the key that was meant: one of this section, or of the same name elsewhere."""
    here = {f"{section}.{name}" if section else name for name in schema}
    elsewhere = {one: one for one in every_key()} | {one.rpartition(".")[2]: one for one in every_key()}
    if near := difflib.get_close_matches(path, here, 1, 0.75):
        return f"; did you mean {near[0]}?"
    name = path.rpartition(".")[2]
    if near := difflib.get_close_matches(name, elsewhere, 1, 0.75):
        return f"; did you mean {elsewhere[near[0]]}?"
    return f"; known are {', '.join(sorted(here))}"
