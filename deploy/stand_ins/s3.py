"""moto's S3 in the place of versitygw: a folder of the root is a bucket, VGW_HEALTH a route. Objects are in memory."""

import os
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from moto.core import DEFAULT_ACCOUNT_ID
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.models import s3_backends
from werkzeug.serving import run_simple

HEALTH = os.environ["VGW_HEALTH"]
STORE = DomainDispatcherApplication(create_backend_app)


def application(request: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    if request["PATH_INFO"] == HEALTH:
        start("200 OK", [("Content-Length", "0")])
        return [b""]
    answer: Iterable[bytes] = STORE(request, start)
    return answer


def main() -> None:
    for folder in Path(sys.argv[1]).iterdir():
        s3_backends[DEFAULT_ACCOUNT_ID]["aws"].create_bucket(folder.name, os.environ["VGW_REGION"])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # process 1 has no default for it
    port = int(os.environ["VGW_PORT"].removeprefix(":"))
    run_simple("0.0.0.0", port, application, threaded=True)  # noqa: S104 — in a container


if __name__ == "__main__":
    main()
