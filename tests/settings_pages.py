"""The two pages that list every setting. `python -m tests.settings_pages` writes them anew from `fettle.settings`."""

from pathlib import Path

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from fettle.settings import Settings

ROOT = Path(__file__).parent.parent
ENV_EXAMPLE = ROOT / ".env.example"
CONFIGURATION = ROOT / "docs" / "configuration.md"
TABLE_HEAD = "| variable | default | what it is |\n|---|---|---|\n"

ENV_HEAD = """\
# Every setting, with its default. Copy this file to .env and uncomment what you change.
# The same variables in the environment win over the file.
"""
ENV_TAIL = """
# For docker compose alone, which also requires FETTLE_S3_ACCESS_KEY_ID, FETTLE_S3_SECRET_ACCESS_KEY, FETTLE_ENGINE_KEY
# and FETTLE_SECRET; docs/deployment.md makes them all in one command, and explains the rest.
# COMPOSE_PROFILES=
# POSTGRES_PASSWORD=
# REDIS_PASSWORD=
# BASE_IMAGE=
# TORCH_PIP=
# WORKER_MEMORY=16g
# ENGINE_MEMORY=16g
# WORKER_GPUS=0
# ENGINE_GPUS=1
"""


def default_of(field: FieldInfo) -> str:
    """As it would stand in the file; empty for unset."""
    value = field.default
    if value is None:
        return ""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return str(value).lower() if isinstance(value, bool) else str(value)


def example_env() -> str:
    fields = Settings.model_fields.items()
    lines = [f"\n# {field.description}\n# FETTLE_{name.upper()}={default_of(field)}\n" for name, field in fields]
    return ENV_HEAD + "".join(lines) + ENV_TAIL


def settings_table() -> str:
    rows = []
    for name, field in Settings.model_fields.items():
        default = default_of(field)
        shown = f"`{default}`" if default else "unset"
        rows.append(f"| `FETTLE_{name.upper()}` | {shown} | {field.description} |\n")
    return TABLE_HEAD + "".join(rows)


def configuration_page(old: str) -> str:
    """The page with its table renewed; the table is its last part."""
    return old[: old.index(TABLE_HEAD)] + settings_table()


if __name__ == "__main__":
    ENV_EXAMPLE.write_text(example_env())
    CONFIGURATION.write_text(configuration_page(CONFIGURATION.read_text()))
