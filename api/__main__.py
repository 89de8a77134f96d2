"""python -m api"""

import uvicorn

from fettle.logs import configure
from fettle.settings import Settings


def main() -> None:
    settings = Settings()
    configure(settings)
    uvicorn.run(
        "api.app:create_app",
        factory=True,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=5,
    )


if __name__ == "__main__":
    main()
