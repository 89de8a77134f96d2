"""An application where FETTLE_ENGINE_URL says: the engine, or the agent that stands in its place."""

import signal
import sys
from types import FrameType
from urllib.parse import urlsplit

import uvicorn
from fastapi import FastAPI

from fettle.settings import Settings

DRAIN_SECONDS = 10  # for answers that are under way when the process is told to stop


def serve(app: FastAPI, settings: Settings) -> None:
    """Until SIGTERM or SIGINT."""
    url = urlsplit(settings.engine_url)
    # uvicorn drains, then raises the signal once more: told to stop, the process ends with 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    config = uvicorn.Config(
        app,
        host=url.hostname or "127.0.0.1",
        port=url.port or 80,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    Server(config).run()


class Server(uvicorn.Server):
    """Lets the application know at once that it is to stop, while it still answers."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if tell := getattr(self.config.app.state, "told_to_stop", None):  # type: ignore[union-attr]  # it is a FastAPI
            tell()
        super().handle_exit(sig, frame)
