"""One try to deliver an event: signed as Standard Webhooks says, to a pinned address, without redirects."""

import asyncio
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

import httpx
from standardwebhooks import Webhook

from fettle.errors import no_answer
from fettle.webhooks import addresses
from fettle.webhooks.addresses import Network
from models import WebhookEndpoint

SECONDS = 10  # for a whole try
PREFIX = "whsec_"


@dataclass(frozen=True)
class Outcome:
    status: int | None  # HTTP; None: there was no answer
    error: str | None

    @property
    def delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def headers(endpoint: WebhookEndpoint, event_id: str, body: str, now: float) -> dict[str, str]:
    secrets = [endpoint.secret]
    if endpoint.old_secret is not None and (endpoint.old_secret_until or 0) > now:
        secrets.append(endpoint.old_secret)
    at = datetime.fromtimestamp(int(now), UTC)
    return {
        "content-type": "application/json",
        "user-agent": "Fettle-Webhooks",
        "webhook-id": event_id,
        "webhook-timestamp": str(int(now)),
        "webhook-signature": " ".join(Webhook(secret).sign(event_id, at, body) for secret in secrets),
    }


async def send(endpoint: WebhookEndpoint, event_id: str, body: str, allowed: Sequence[Network]) -> Outcome:
    """Never raises for what the other side does."""
    try:
        async with asyncio.timeout(SECONDS):
            return await attempt(endpoint, event_id, body, allowed)
    except addresses.Forbidden as error:
        return Outcome(None, str(error))
    except TimeoutError:
        return Outcome(None, f"No answer within {SECONDS} seconds.")
    except (httpx.HTTPError, OSError, UnicodeError) as error:
        return Outcome(None, f"No answer ({no_answer(error)})."[:300])


@cache
def tls() -> ssl.SSLContext:
    """Made once: it takes longer than a try."""
    return httpx.create_ssl_context(trust_env=False)


async def attempt(endpoint: WebhookEndpoint, event_id: str, body: str, allowed: Sequence[Network]) -> Outcome:
    url = httpx.URL(endpoint.url)
    port = url.port or (443 if url.scheme == "https" else 80)
    address = await addresses.resolve(url.host, port, allowed, plain=url.scheme == "http")
    sent = headers(endpoint, event_id, body, time.time()) | {"host": url.netloc.decode("ascii")}
    async with httpx.AsyncClient(trust_env=False, verify=tls(), timeout=SECONDS) as client:
        request = client.build_request(
            "POST",
            url.copy_with(host=address),
            content=body.encode(),
            headers=sent,
            extensions={"sni_hostname": url.host},
        )
        answer = await client.send(request, stream=True)  # its body is not read
        await answer.aclose()
    error = None if 200 <= answer.status_code < 300 else f"The endpoint answered {answer.status_code}."
    return Outcome(answer.status_code, error)
