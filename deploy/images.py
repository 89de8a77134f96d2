"""`make images`: builds both images, runs the service through them, trains one model, and says what they weigh.

    CONTAINER_ENGINE=buildah   docker, podman or buildah; else the first of them that works here
    BASE_IMAGE=…               instead of the Dockerfile's; `stand-in` makes one with Debian's own Python by debootstrap
    TORCH_PIP='…'              pip options for torch alone

pip's index and the rest of its configuration are this host's, for the build alone.
"""

import os
import subprocess
import tempfile
import time
from pathlib import Path

from deploy import container_engines, pip_settings, rehearsal
from deploy.container_engines import BuildOptions, ContainerEngine

STAND_IN = "localhost/fettle-debian:bookworm"
TARGETS = {"api": rehearsal.API, "worker": rehearsal.WORKER}


def main() -> None:
    engine = container_engines.choose(os.environ.get("CONTAINER_ENGINE") or None)
    print(f"Built and run by {engine.name}.")
    with tempfile.TemporaryDirectory(prefix="fettle-images-") as folder:
        build(engine, Path(folder))
    rehearsal.rehearse(engine)
    for tag in TARGETS.values():
        print(f"{tag}: {engine.size(tag) / 1e6:,.0f} MB")


def build(engine: ContainerEngine, folder: Path) -> None:
    pip = pip_settings.read()
    pip_conf = folder / "pip.conf"
    pip_conf.write_text(pip_settings.conf(pip))
    options = BuildOptions(arguments(), pip_conf, pip_settings.local_paths(pip))
    for target, tag in TARGETS.items():
        started = time.monotonic()
        engine.build(target, tag, options)
        print(f"{tag} built in {time.monotonic() - started:.0f} s")


def arguments() -> dict[str, str]:
    """The Dockerfile's ARGs that the environment sets."""
    given = {name: value for name in ("BASE_IMAGE", "TORCH_PIP") if (value := os.environ.get(name))}
    if given.get("BASE_IMAGE") == "stand-in":
        given["BASE_IMAGE"] = STAND_IN
        subprocess.run([Path(__file__).parent / "stand_in_base.sh", STAND_IN], check=True)
    return given


if __name__ == "__main__":
    main()
