"""python -m api"""

import gc
import sys


def main() -> None:
    gc.disable()  # until all is loaded that stays: a seventh of the imports' time went into walking it again and again
    import uvicorn

    from api.app import create_app
    from fettle.host import users
    from fettle.observability.logs import configure
    from fettle.registry import catalog
    from fettle.settings import Settings

    users.conceal()
    settings = Settings()
    try:
        catalog.check_aliases(settings.model_aliases, catalog.load(settings.catalog_file))
    except catalog.CatalogError as error:
        sys.exit(f"error {error.message}")  # a sentence, where the server would show a traceback
    configure(settings)
    app = create_app(settings, warm=True)
    gc.collect()
    gc.freeze()  # the libraries' objects: under load a fifth of the time went into walking them again and again
    gc.enable()
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        http="h11",  # the one that limits the headers' size (64 kB)
        log_config=None,
        access_log=False,
        proxy_headers=False,  # api/edge/proxies.py reads them
        timeout_graceful_shutdown=5,
    )


if __name__ == "__main__":
    main()
