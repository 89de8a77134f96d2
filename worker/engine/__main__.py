"""python -m worker.engine: the inference engine, where FETTLE_ENGINE_URL says."""

import os
import signal
import sys
import warnings
from urllib.parse import urlsplit

import uvicorn

from fettle.logs import configure
from fettle.settings import Settings
from worker.engine.app import create_app

DRAIN_SECONDS = 10  # for answers that are under way when the engine is told to stop


def main() -> None:
    # Read when torch and the hub are imported, which is later, on the decode thread
    os.environ |= {
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "OMP_WAIT_POLICY": "PASSIVE",  # the cores are shared with training, and passive threads yield theirs
    }
    warnings.simplefilter("ignore")  # the libraries' advice to developers; stderr is for our JSON lines
    settings = Settings()
    configure(settings)
    url = urlsplit(settings.engine_url)
    # uvicorn drains, then raises the signal once more: told to stop, the engine ends with 0
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
