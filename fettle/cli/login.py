"""`fettle login` and `logout`: which server commands ask, and with which key."""

import os
import sys
from typing import Annotated

import typer
from rich.text import Text

from fettle.cli import credentials
from fettle.cli.client import Client, Refused, server
from fettle.cli.terminal import console, plain, say
from fettle.settings import Settings


def login(
    url: Annotated[str, typer.Argument(help="The server's address: https://fettle.example.com")],
) -> None:
    """Use a server from now on. Asks for an API key, checks it and stores it in a file that only you can read.

    In scripts, write the key to the standard input or set FETTLE_API_KEY.
    """
    address = credentials.address(url)
    if address.startswith("http:") and not credentials.is_loopback(address):
        console.print(Text("! ", "yellow") + plain(f"{address} is not encrypted: others can read your key on the way."))
    key = read_key(address)
    projects = Client(Settings(), address, key).get("/v1/projects")["data"]
    credentials.store(address, key)
    names = ", ".join(each["name"] for each in projects[:5])
    say(plain(f"Logged in to {address}, project {names}."))
    for name in ("FETTLE_URL", "FETTLE_API_KEY"):
        if name in os.environ:
            console.print(Text("! ", "yellow") + plain(f"{name} is set and is used instead."))


def read_key(address: str) -> str:
    """Not from an option: other users of the machine can read those. Raises Refused for none."""
    if key := os.environ.get("FETTLE_API_KEY"):
        return key.strip()
    key = typer.prompt(f"API key for {address}", hide_input=True) if sys.stdin.isatty() else sys.stdin.read()
    key = key.strip()
    if not key or not key.isascii() or not key.isprintable():
        raise Refused("No API key was given. Create one on the server: fettle keys create NAME")
    return key


def logout(
    url: Annotated[str | None, typer.Argument(help="Unset: the server that commands ask now.")] = None,
) -> None:
    """Forget a server's API key. Commands then ask the server on this machine."""
    address = credentials.address(url) if url else credentials.current()
    if address is None:
        raise Refused(f"You are not logged in. Commands ask {server(Settings())}.")
    credentials.forget(address)
    say(plain(f"Logged out of {address}."))
