"""An application behind a real uvicorn on loopback, in a thread of its own."""

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send


@contextmanager
def served(app: ASGIApp, port: int = 0) -> Iterator[str]:
    """Its URL."""
    listener = socket.create_server(("127.0.0.1", port))
    server = uvicorn.Server(
        uvicorn.Config(app, log_config=None, access_log=False, proxy_headers=False, timeout_graceful_shutdown=2)
    )
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the application did not start"
        time.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


class Wire:
    """Counts the requests that reach the application, and can lose an answer on its way back."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.requests: Counter[str] = Counter()
        self.lose_next = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        self.requests[f"{scope['method']} {scope['path']}"] += 1
        if not self.lose_next:
            await self.app(scope, receive, send)
            return
        self.lose_next = False
        await self.app(scope, receive, lose)
        await JSONResponse({"error": {"message": "bad gateway"}}, 502)(scope, receive, send)


async def lose(message: Message) -> None: ...
