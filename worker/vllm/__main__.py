"""python -m worker.vllm: the agent beside a vLLM, where FETTLE_ENGINE_URL says. It imports no torch."""

from fettle.host import data_folder, users
from fettle.observability.logs import configure
from fettle.settings import Settings
from worker.engine.serve import serve
from worker.vllm.app import create_app


def main() -> None:
    users.conceal()
    settings = Settings()
    configure(settings)
    data_folder.prepare(settings.data)
    serve(create_app(settings), settings)


if __name__ == "__main__":
    main()
