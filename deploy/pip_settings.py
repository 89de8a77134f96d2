"""The host's pip configuration, for the build of an image and for nothing later."""

import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlparse

# What says where packages come from, and how they are reached
TAKEN = ("index-url", "extra-index-url", "find-links", "no-index", "trusted-host", "cert", "proxy", "default-timeout")


def read() -> dict[str, str]:
    """Option → its values, one a space. A variable goes before a file, as with pip itself."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return parse(listed)


def parse(listed: str) -> dict[str, str]:
    """The lines of `pip config list`, such as `global.index-url='https://…'` and `:env:.cert='…'`."""
    found: dict[str, str] = {}
    for line in sorted(listed.splitlines(), key=lambda line: line.startswith(":env:")):
        name, _, quoted = line.partition("=")
        option = name.rpartition(".")[2].removeprefix(":env:.").replace("_", "-").lower()
        section = name.rpartition(".")[0]
        if option in TAKEN and section in ("global", "install", ":env:"):
            found[option] = " ".join(quoted.strip("'\"").split("\\n")).strip()
    return found


def conf(options: dict[str, str]) -> str:
    return "\n".join(["[global]", *(f"{name} = {value}" for name, value in options.items())]) + "\n"


def local_paths(options: dict[str, str]) -> list[Path]:
    """Files and folders of this host that the options name; the build must see them at the same place."""
    paths = []
    for value in " ".join(options.values()).split():
        path = Path(unquote(urlparse(value).path)) if value.startswith("file://") else Path(value)
        if path.is_absolute() and path.exists():
            paths.append(path)
    return sorted({*paths} | {extra for path in paths for extra in beside(path)})


def beside(index: Path) -> list[Path]:
    """An index in a folder, `simple`, links to files that lie next to it."""
    return [index.parent] if index.is_dir() and index.name == "simple" else []
