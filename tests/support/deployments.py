"""What the files of `deploy/` say, and an environment made and run as they say."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from support.manifests import image, project
from support.pages import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

DEPLOY = ROOT / "deploy"
UNIT = DEPLOY / "label-studio-otel.service"
UNIT_TLS = DEPLOY / "label-studio-otel.service.d" / "tls.conf"
CONTAINERFILE = DEPLOY / "Containerfile"
COMPOSE = DEPLOY / "compose.yaml"
KUBERNETES = DEPLOY / "kubernetes"
#: What `serve --config` is given.
CONFIGURATION = DEPLOY / "bridge.yaml"
#: Ways to run the bridge.
WAYS = ("unit", "image", "statefulset", "sidecar", "compose")
#: What must be set for the Compose file.
SECRETS = {"LABEL_STUDIO_PASSWORD": "pass", "LABEL_STUDIO_API_KEY": "key", "LABEL_STUDIO_OTEL_SERVE_TOKEN": "token"}
#: What an environment lies in, where the deployments have it.
PREFIX = "/opt/label-studio-otel"


def referenced(path: Path) -> set[str]:
    """Return the variables that a configuration refers to."""
    return set(re.findall(r"\$\{(?:env:)?(\w+)", path.read_text("utf-8")))


def documents(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a Kubernetes manifest."""
    return list(yaml.safe_load_all(path.read_text("utf-8")))


def pod_of(name: str) -> dict[str, Any]:
    """Return the pod that a Kubernetes manifest makes, a pod's template."""
    workloads = [one for one in documents(KUBERNETES / f"{name}.yaml") if "template" in one["spec"]]
    (workload,) = workloads
    template: dict[str, Any] = workload["spec"]["template"]
    return template


def container_of(name: str) -> dict[str, Any]:
    """Return the bridge's container in it."""
    spec = pod_of(name)["spec"]
    (container,) = (one for one in [*spec.get("initContainers", []), *spec["containers"]] if one["name"] == "bridge")
    made: dict[str, Any] = container
    return made


def unit(key: str, path: Path = UNIT) -> list[str]:
    """Return the values of a key of the systemd unit."""
    return re.findall(rf"^{key}=(.*)$", path.read_text("utf-8"), re.MULTILINE)


@cache
def configuration_of_image() -> dict[str, Any]:
    """Return what the image says of its containers."""
    configuration: dict[str, Any] = image(CONTAINERFILE)["image"]["config"]
    return configuration


@cache
def services() -> dict[str, Any]:
    """Return the services of the Compose file."""
    found: dict[str, Any] = project(COMPOSE, **SECRETS)["services"]
    return found


def variables_of(way: str) -> dict[str, str]:
    """Return what a deployment sets for the bridge; secrets of Kubernetes and systemd are "secret"."""
    if way == "unit":
        return dict(one.split("=", 1) for one in unit("Environment"))
    of_image = dict(one.split("=", 1) for one in configuration_of_image()["Env"])
    if way == "image":
        return of_image
    if way == "compose":
        return {**of_image, **services()["label-studio-otel"]["environment"]}
    return {**of_image, **{one["name"]: one.get("value", "secret") for one in container_of(way)["env"]}}


def here(word: str, folder: Path) -> str:
    """Return a word of a deployment with its paths as they are in the test."""
    for there in ("%d", "%S", "/run/secrets/label-studio-otel", "/var/lib/label-studio-otel"):
        word = word.replace(there, str(folder))
    return word.replace("/etc/label-studio-otel/bridge.yaml", str(CONFIGURATION))


def command_of(way: str) -> list[str]:
    """Return what a deployment tells `label-studio-otel`."""
    if way == "unit":
        return shlex.split(unit("ExecStart")[0])[1:]
    if way == "compose":
        return list(services()["label-studio-otel"]["command"])
    return list(configuration_of_image()["Cmd"] if way == "image" else container_of(way)["args"])


@contextmanager
def installed() -> Iterator[Path]:
    """Make an environment by the commands of the Containerfile, of what it copies alone; everybody may read it."""
    with tempfile.TemporaryDirectory(prefix="label-studio-otel-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        stage = image(CONTAINERFILE)["stages"][0]
        for *sources, destination in stage["copy"]:
            for source in sources:
                _copy(ROOT / source, folder / "source" / destination)
        env = {**os.environ, **stage["env"], "UV_PYTHON": _interpreter()}
        env.pop("VIRTUAL_ENV", None)
        for command in stage["run"][1:]:  # the first installs uv, with which the tests are run already
            there = command.replace(PREFIX, str(folder / "environment"))
            where = folder / "source"
            ran = subprocess.run(there, shell=True, cwd=where, env=env, capture_output=True, text=True, check=False)
            assert ran.returncode == 0, ran.stderr
        yield folder / "environment"


def answer_of(probe: list[str]) -> int:
    """Return what a health check of a container ends with."""
    kind, *command = probe
    assert kind == "CMD"
    command[0] = sys.executable
    return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode


def _copy(source: Path, destination: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, destination, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        destination.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, destination)


def _interpreter() -> str:
    """Return one that another user may run, too."""
    found = (Path(sys.executable).resolve(), Path("/usr/bin/python3").resolve())
    return str(next(path for path in found if all(one.stat().st_mode & 1 for one in (path, *path.parents))))


def contained(command: list[str], writable: Path) -> list[str]:
    """Return the command as it runs in the image: as its user, without capabilities, with one folder that it may write.

    Who is not root has one user alone; the folders are the same.
    """
    if os.getuid() != 0:
        return command
    os.chown(writable, 65532, 65532)
    mounts = 'mount --bind "$0" "$0" && mount -o remount,bind,ro / && exec "$@"'
    ids = ("--reuid=65532", "--regid=65532", "--clear-groups", "--no-new-privs")
    capabilities = ("--bounding-set=-all", "--inh-caps=-all")
    return ["unshare", "--mount", "sh", "-ec", mounts, str(writable), "setpriv", *ids, *capabilities, *command]
