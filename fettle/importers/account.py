"""What can be read of an account at OpenAI, by its owner's own key. Nothing there is changed."""

import os
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from time import sleep
from typing import Any

import httpx

from fettle.errors import FettleError, Unavailable, no_answer

ADDRESS = "https://api.openai.com/v1"
TRIES = 6
WAIT_AT_MOST = 120.0  # seconds; a longer Retry-After ends the command, which can be run again
PAGE = 100
PAGES_AT_MOST = 10_000
AGAIN = (408, 409, 429, 500, 502, 503, 504)  # as the `openai` SDK has them
SECRET = re.compile(r"\bsk-[\w*.-]{4,}")


class AccountError(FettleError):
    """OpenAI said no. `status` is that of its answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status

    @property
    def ends_everything(self) -> bool:
        """No other request with this key would do better."""
        return self.status == 401


class Account:
    """Reads OPENAI_API_KEY, OPENAI_BASE_URL, OPENAI_ORG_ID and OPENAI_PROJECT_ID, as the `openai` SDK does."""

    def __init__(self) -> None:
        key = os.environ.get("OPENAI_API_KEY", "").strip()
        if not key:
            raise FettleError(
                "OPENAI_API_KEY is not set. Set it to a key of the OpenAI project to import, or use --offline with a "
                "folder that an earlier run has filled."
            )
        self.key = key
        self.url = (os.environ.get("OPENAI_BASE_URL") or ADDRESS).rstrip("/")
        named = {"OpenAI-Organization": "OPENAI_ORG_ID", "OpenAI-Project": "OPENAI_PROJECT_ID"}
        headers = {header: os.environ[name] for header, name in named.items() if os.environ.get(name)}
        headers |= {"Authorization": f"Bearer {key}", "User-Agent": "fettle"}
        self.http = httpx.Client(headers=headers, timeout=60, follow_redirects=True)

    def close(self) -> None:
        self.http.close()

    def all(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """Every row of a list, page by page. Raises AccountError."""
        after: str | None = None
        for _ in range(PAGES_AT_MOST):
            given = {"limit": PAGE, **({"after": after} if after else {}), **query}
            page = self.get(path, given)
            rows = page.get("data")
            if not isinstance(rows, list):
                raise AccountError(200, f"{self.url}{path} did not answer with a list. Check OPENAI_BASE_URL.")
            yield from rows
            if not page.get("has_more") or not rows:
                return
            if after == (after := str(rows[-1].get("id"))):
                raise AccountError(
                    200, f"{self.url}{path} gave the page after {after} twice, so the list cannot be read."
                )
        raise AccountError(200, f"{self.url}{path} has more than {PAGES_AT_MOST * PAGE:,} rows.")

    def get(self, path: str, query: dict[str, Any] | None = None) -> dict[str, Any]:
        with closing(self.asked(path, query)) as response:
            try:
                found = response.json()
            except ValueError:
                found = None
        if not isinstance(found, dict):
            raise AccountError(200, f"{self.url}{path} did not answer with JSON. Check OPENAI_BASE_URL.")
        return found

    def download(self, file_id: str, to: Path) -> None:
        """Into a new file; of a download that breaks off nothing is left. Raises AccountError."""
        part = to.with_name(f".{to.name}.part")
        try:
            answer = self.asked(f"/files/{file_id}/content", None, stream=True)
            with closing(answer) as response, part.open("wb") as out:
                for piece in response.iter_bytes():
                    out.write(piece)
            part.replace(to)
        except httpx.TransportError as error:
            raise self.away(error) from error
        finally:
            part.unlink(missing_ok=True)

    def asked(self, path: str, query: dict[str, Any] | None, stream: bool = False) -> httpx.Response:
        """A good answer, whose body is still to come if `stream`. Waits if OpenAI asks for it. Raises AccountError."""
        for tried in range(1, TRIES + 1):
            try:
                request = self.http.build_request("GET", f"{self.url}{path}", params=query)
                response = self.http.send(request, stream=stream)
            except httpx.TransportError as error:
                if tried == TRIES:
                    raise self.away(error) from error
                sleep(backoff(tried))
                continue
            if response.is_success:
                return response
            response.read()
            response.close()
            refusal = self.refusal(response)
            wait = waiting_time(response, tried)
            if tried == TRIES or response.status_code not in AGAIN or is_out_of_credit(response):
                raise refusal
            if wait > WAIT_AT_MOST:
                raise AccountError(
                    response.status_code, f"OpenAI asks to wait {wait:,.0f} s. Run the command again then."
                )
            sleep(wait)
        raise AssertionError("unreachable")

    def refusal(self, response: httpx.Response) -> AccountError:
        found = body(response)
        said = found.get("message") if isinstance(found.get("message"), str) else None
        text = said or f"The answer of {response.url} has the status {response.status_code}."
        return AccountError(response.status_code, self.without_key(text))

    def away(self, error: httpx.TransportError) -> Unavailable:
        return Unavailable(f"{self.url} is not responding ({no_answer(error)}). Run the command again: it continues.")

    def without_key(self, text: str) -> str:
        """Servers repeat a wrong key in their errors."""
        return SECRET.sub("sk-…", text.replace(self.key, "…"))


def body(response: httpx.Response) -> dict[str, Any]:
    try:
        found = response.json().get("error")
    except (ValueError, AttributeError):
        return {}
    return found if isinstance(found, dict) else {}


def is_out_of_credit(response: httpx.Response) -> bool:
    return "insufficient_quota" in (body(response).get("code"), body(response).get("type"))


def waiting_time(response: httpx.Response, tried: int) -> float:
    """Seconds: what the answer asks for, else longer with every try."""
    for name, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        try:
            asked = float(response.headers[name]) / unit
        except (KeyError, ValueError):
            continue
        if asked >= 0:
            return asked
    return backoff(tried)


def backoff(tried: int) -> float:
    return min(8.0, 0.5 * 2.0 ** (tried - 1))
