"""An engine's answer on its way through, in the pieces in which it comes."""

from collections.abc import AsyncIterator, Callable

import httpx
import orjson
import structlog

from fettle.errors import Unavailable
from fettle.observability import metrics

log = structlog.get_logger()


async def chunks(response: httpx.Response, over: Callable[[], None]) -> AsyncIterator[bytes]:
    """over: hears of the end, whatever it is.

    An event stream that breaks off between two events ends with one that says so; SDKs raise it as an error.
    """
    streams = response.headers.get("content-type", "").startswith("text/event-stream")
    between = True
    try:
        async for chunk in response.aiter_raw():
            between = chunk.endswith(b"\n\n")
            yield chunk
    except httpx.TransportError as error:
        metrics.errors.labels("engine").inc()
        log.warning("engine_broke_off", error=type(error).__name__)
        if not (streams and between):
            raise
        yield (
            b"data: "
            + orjson.dumps(
                Unavailable("The engine stopped before its answer was complete. Send the request again.").body()
            )
            + b"\n\n"
        )
    finally:
        over()
        await response.aclose()
