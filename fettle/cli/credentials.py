"""The servers that `fettle login` has stored, and which of them commands ask. Only their owner can read the file."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fettle.errors import FettleError

LOOPBACK = ("127.0.0.1", "::1", "localhost")


class CredentialsError(FettleError):
    """What keeps the stored credentials from being used, and the way out."""


def file() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "fettle" / "credentials.json"


def current() -> str | None:
    """The server that commands ask."""
    found = load()["current"]
    return found if isinstance(found, str) else None


def key_of(url: str) -> str | None:
    found = load()["servers"].get(url)
    return str(found["key"]) if found else None


def load() -> dict[str, Any]:
    """Raises CredentialsError for a file that others can read, or that is none of ours."""
    path = file()
    try:
        mode = path.stat().st_mode
        content = path.read_bytes()
    except FileNotFoundError:
        return {"current": None, "servers": {}}
    except OSError as error:
        raise CredentialsError(f"{path} cannot be read: {error.strerror}.") from error
    if mode & 0o077:
        raise CredentialsError(f"Other users can read {path}, which has API keys. Run: chmod 600 {path}")
    try:
        stored = json.loads(content)
        servers = {str(url): {"key": str(each["key"])} for url, each in stored["servers"].items()}
        return {"current": stored["current"] if stored["current"] in servers else None, "servers": servers}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CredentialsError(f"{path} is damaged. Delete it, and run `fettle login` again.") from error


def store(url: str, key: str) -> None:
    """The server becomes the one that commands ask."""
    stored = load()
    write({"current": url, "servers": {**stored["servers"], url: {"key": key}}})


def forget(url: str) -> None:
    """Raises CredentialsError for a server that is not stored."""
    stored = load()
    if url not in stored["servers"]:
        known = ", ".join(sorted(stored["servers"])) or "none"
        raise CredentialsError(f"You are not logged in to {url}. Stored servers: {known}.")
    del stored["servers"][url]
    write({**stored, "current": None if stored["current"] == url else stored["current"]})


def write(stored: dict[str, Any]) -> None:
    path = file()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, whole = tempfile.mkstemp(dir=path.parent, prefix=".credentials-")  # mkstemp: 0600 from the first byte
    with os.fdopen(handle, "w") as out:
        out.write(json.dumps(stored, indent=1) + "\n")
    Path(whole).replace(path)


def address(text: str) -> str:
    """A server's address as it is stored: without /v1. Raises CredentialsError for what is none."""
    url = text.strip().rstrip("/").removesuffix("/v1").rstrip("/")
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.username is None
        valid = valid and not (parts.query or parts.fragment) and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    if not valid:
        raise CredentialsError(f"{text!r} is not the address of a server. Write it as https://fettle.example.com.")
    return url


def is_loopback(url: str) -> bool:
    return urlsplit(url).hostname in LOOPBACK
