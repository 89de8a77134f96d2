"""Every request is counted, timed and logged once: when its answer begins, or when its client leaves."""

import time

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fettle.observability import metrics

log = structlog.get_logger()

PROBES = {"/healthz", "/readyz", "/metrics"}  # asked every few seconds by machines: logged at debug
GONE = 499  # nginx's number for a client that left before its answer


class Telemetry:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        status: int | None = None
        received = sent = 0

        async def counted_receive() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            return message

        async def counted_send(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                record(scope, status, time.perf_counter() - began)
            else:
                sent += len(message.get("body", b""))
            await send(message)

        metrics.in_flight.inc()
        try:
            await self.app(scope, counted_receive, counted_send)
        except Exception:  # counted, and raised again
            if status is None:
                status = 500  # Starlette answers it, outside of all middleware
                record(scope, status, time.perf_counter() - began)
            raise
        finally:
            if status is None:
                record(scope, GONE, time.perf_counter() - began)
            metrics.in_flight.dec()
            metrics.received_bytes.inc(received)
            metrics.sent_bytes.inc(sent)


def record(scope: Scope, status: int, seconds: float) -> None:
    """The query stays out of the log: metadata filters are the user's words."""
    method, route = scope["method"], template(scope)
    if method not in METHODS:
        method = "other"
    metrics.requests.labels(method, route, status).inc()
    metrics.request_seconds.labels(method, route).observe(seconds)
    write = log.debug if scope["path"] in PROBES else log.info
    write("request", method=method, path=scope["path"], status=status, seconds=round(seconds, 4))


METHODS = {"GET", "POST", "PATCH", "PUT", "DELETE", "HEAD", "OPTIONS"}  # a client may send any word


def template(scope: Scope) -> str:
    """`/v1/files/{file_id}`: so that ids make no label; `none` where no route was reached."""
    route = scope.get("route")
    return str(getattr(route, "path", "none"))
