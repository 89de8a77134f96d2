"""python -m api"""

import gc

import uvicorn

from api.app import create_app
from fettle.logs import configure
from fettle.settings import Settings


def main() -> None:
    settings = Settings()
    configure(settings)
    app = create_app(settings)
    gc.collect()
    gc.freeze()  # the libraries' objects: under load a fifth of the time went into walking them again and again
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=5,
    )


if __name__ == "__main__":
    main()
