"""python -m worker.vllm: the agent beside a vLLM, where FETTLE_ENGINE_URL says. It imports no torch."""

import signal
import sys
from urllib.parse import urlsplit

import uvicorn

from fettle.logs import configure
from fettle.settings import Settings
from worker.vllm.app import create_app

DRAIN_SECONDS = 10  # for answers that are under way when the agent is told to stop


def main() -> None:
    settings = Settings()
    configure(settings)
    url = urlsplit(settings.engine_url)
    # uvicorn drains, then raises the signal once more: told to stop, the agent ends with 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    uvicorn.run(
        create_app(settings),
        host=url.hostname or "127.0.0.1",
        port=url.port or 80,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )


if __name__ == "__main__":
    main()
