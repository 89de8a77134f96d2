"""The command line's own small client of the API."""

import os
from collections.abc import Iterator
from typing import Any

import httpx
import orjson

from fettle.errors import FettleError, Unavailable
from fettle.settings import Settings


class Refused(FettleError):
    """The API said no."""


class Client:
    def __init__(self, settings: Settings) -> None:
        self.url = os.environ.get("FETTLE_URL", f"http://{settings.host}:{settings.port}")
        key = os.environ.get("FETTLE_API_KEY")
        file = settings.data / "admin.key"
        if key is None and file.is_file():
            key = file.read_text().strip()
        if key is None:
            raise Refused(
                f"No API key found. Set FETTLE_API_KEY, or set FETTLE_DATA to a folder with admin.key (not in {file})."
            )
        self.http = httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {key}"}, timeout=30)

    def get(self, path: str, **query: Any) -> Any:
        try:
            return checked(self.http.get(path, params=query)).json()
        except httpx.TransportError as error:
            raise self.away(error) from error

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """However long the answer takes."""
        try:
            return checked(self.http.post(path, json=body, timeout=httpx.Timeout(None, connect=30))).json()
        except httpx.TransportError as error:
            raise self.away(error) from error

    def away(self, error: httpx.TransportError) -> Unavailable:
        return Unavailable(
            f"{self.url} is not responding ({type(error).__name__}). Check that `fettle up` is running, or set "
            "FETTLE_URL."
        )

    def events(self, job_id: str) -> Iterator[dict[str, Any]]:
        """A job's events, from the first one until it ends."""
        path = f"/v1/fine_tuning/jobs/{job_id}/events"
        try:
            with self.http.stream("GET", path, params={"stream": "true"}, timeout=None) as response:
                if not response.is_success:
                    response.read()
                checked(response)
                for line in response.iter_lines():
                    if line.startswith("data: ") and line != "data: [DONE]":
                        yield orjson.loads(line[len("data: ") :])
        except httpx.TransportError as error:
            raise self.away(error) from error


def checked(response: httpx.Response) -> httpx.Response:
    if response.is_success:
        return response
    try:
        message = response.json()["error"]["message"]
    except (ValueError, KeyError, TypeError):
        message = f"status {response.status_code} from {response.url}"
    raise Refused(message)
