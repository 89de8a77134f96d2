"""python -m worker.engine: the inference engine, where FETTLE_ENGINE_URL says."""

import gc
import os
import warnings


def main() -> None:
    gc.disable()  # while the libraries load; those of the decode thread come later
    from fettle.host import data_folder, users
    from fettle.observability.logs import configure
    from fettle.settings import Settings
    from worker.engine.app import create_app
    from worker.engine.serve import serve

    # Read when torch and the hub are imported, which is later, on the decode thread
    os.environ |= {
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "OMP_WAIT_POLICY": "PASSIVE",  # the cores are shared with training, and passive threads yield theirs
    }
    warnings.simplefilter("ignore")  # the libraries' advice to developers; stderr is for our JSON lines
    users.conceal()
    settings = Settings()
    configure(settings)
    data_folder.prepare(settings.data)
    app = create_app(settings)
    gc.freeze()
    gc.enable()
    serve(app, settings)


if __name__ == "__main__":
    main()
