"""What buildah and docker are asked for: to build an image, to run a command in it, to say its size."""

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import psutil

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class BuildOptions:
    """`arguments` are the Dockerfile's; `pip_conf` and the host's `folders` are there during the build only."""

    arguments: dict[str, str]
    pip_conf: Path | None = None
    folders: Sequence[Path] = ()


class ContainerEngine(Protocol):
    name: str

    def build(self, target: str, tag: str, options: BuildOptions) -> None:
        """Raises CalledProcessError."""

    def command(self, tag: str, name: str, command: Sequence[str], variables: Mapping[str, str]) -> list[str]:
        """What runs `command` as the image's user on the host's network."""

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """Sends SIGTERM to what runs in the container that `process` is the client of."""

    def size(self, tag: str) -> int:
        """Bytes, the base included."""

    def remove(self) -> None:
        """Removes the containers that `command` made; the images stay."""


@dataclass
class Buildah:
    """Needs neither a daemon nor an OCI runtime: `--isolation chroot`."""

    name: str = "buildah"
    containers: list[str] = field(default_factory=list)

    def build(self, target: str, tag: str, options: BuildOptions) -> None:
        mounts = [f"--volume={folder}:{folder}:ro" for folder in options.folders]
        # OCI's image format has no health check
        form = ("--isolation", "chroot", "--format", "docker", "--layers")
        subprocess.run(["buildah", "bud", *form, *build_flags(target, tag, options), *mounts, str(ROOT)], check=True)

    def command(self, tag: str, name: str, command: Sequence[str], variables: Mapping[str, str]) -> list[str]:
        container = output("buildah", "from", "--pull-never", "--name", name, tag)
        self.containers.append(container)
        environment = [f"--env={variable}={value}" for variable, value in variables.items()]
        return ["buildah", "run", "--isolation", "chroot", *environment, container, "--", *command]

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """A signal to buildah itself would kill the container without a word to it."""
        for inner in psutil.Process(process.pid).children(recursive=True):
            if not inner.cmdline()[0].startswith("buildah"):
                inner.terminate()
                return

    def size(self, tag: str) -> int:
        (image,) = json.loads(output("buildah", "images", "--json", tag))
        return as_bytes(image["size"])

    def remove(self) -> None:
        while self.containers:
            subprocess.run(["buildah", "rm", self.containers.pop()], check=True, stdout=subprocess.DEVNULL)


@dataclass
class Docker:
    """Docker with BuildKit, or podman."""

    name: str = "docker"

    def build(self, target: str, tag: str, options: BuildOptions) -> None:
        if options.folders:
            listed = ", ".join(map(str, options.folders))
            raise SystemExit(f"pip's configuration names files of this host ({listed}); {self.name} cannot show them.")
        subprocess.run([self.name, "build", *build_flags(target, tag, options), str(ROOT)], check=True)

    def command(self, tag: str, name: str, command: Sequence[str], variables: Mapping[str, str]) -> list[str]:
        environment = [f"--env={variable}={value}" for variable, value in variables.items()]
        as_compose = ("--init", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
        flags = ["--rm", "--network", "host", "--name", name, *as_compose, *environment]
        return [self.name, "run", *flags, tag, *command]

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        process.terminate()  # the client passes it on

    def size(self, tag: str) -> int:
        return int(output(self.name, "image", "inspect", "--format", "{{.Size}}", tag))

    def remove(self) -> None: ...


ENGINES: dict[str, type[Buildah] | type[Docker]] = {"docker": Docker, "podman": Docker, "buildah": Buildah}


def choose(name: str | None) -> ContainerEngine:
    """The one that is named, or the first that works here."""
    for candidate in [name] if name else ENGINES:
        if candidate not in ENGINES:
            raise SystemExit(f"CONTAINER_ENGINE is {candidate!r}, but must be one of {', '.join(ENGINES)}.")
        if works(candidate):
            return ENGINES[candidate](candidate)
    raise SystemExit(
        f"{name or 'No container engine'} does not work here: start Docker, or as root on Debian or Ubuntu: "
        "apt-get install buildah"
    )


def works(name: str) -> bool:
    """Docker's client without its daemon does not."""
    found = shutil.which(name)
    return found is not None and subprocess.run([found, "info"], capture_output=True).returncode == 0


def build_flags(target: str, tag: str, options: BuildOptions) -> list[str]:
    flags = ["--target", target, "--tag", tag]
    for name, value in options.arguments.items():
        flags += ["--build-arg", f"{name}={value}"]
    if options.pip_conf:
        flags.append(f"--secret=id=pip,src={options.pip_conf}")
    return flags


def output(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def as_bytes(size: str) -> int:
    """buildah's "2.18 GB"."""
    number, unit = size.split()
    return round(float(number) * {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}[unit.upper()])
