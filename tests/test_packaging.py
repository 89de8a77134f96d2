"""The images and the compose file: what can be checked of them without a container engine."""

import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema

from deploy.compose import SECRETS
from fettle.settings import Settings

ROOT = Path(__file__).parent.parent
COMPOSE_TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PINNED = re.compile(r"[\w./-]+:v?\d+(\.\d+)+[\w.-]*")
SECRET = re.compile(r"PASSWORD|SECRET|KEY|AUTH")
REQUIRED = re.compile(r"\$\{(\w+):\?[^}]+\}")

PIP_CONF = "--mount=type=secret,id=pip,target=/etc/pip.conf"

Instruction = tuple[str, str]


def read_dockerfile(text: str) -> dict[str, list[Instruction]]:
    """Stage → its instructions, each (NAME, rest), with continued lines joined and comments dropped."""
    joined = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
    stages: dict[str, list[Instruction]] = {}
    defaults: dict[str, str] = {}  # of the ARGs before the first FROM, which a FROM may name
    for line in filter(None, (line.strip() for line in joined.splitlines())):
        name, _, rest = line.partition(" ")
        if name == "FROM":
            image, _, stage = rest.partition(" AS ")
            stages[stage] = [("FROM", re.sub(r"\$\{(\w+)\}", lambda found: defaults[found[1]], image))]
        elif not stages and name == "ARG":
            argument, _, defaults[argument] = rest.partition("=")
        else:
            stages[stage].append((name, rest.strip()))
    return stages


STAGES = read_dockerfile((ROOT / "Dockerfile").read_text())


def of(stage: str, name: str) -> list[str]:
    """What the stage says under this instruction, and before it the stage that it builds on."""
    (_, base), *own = STAGES[stage]
    inherited = of(base, name) if base in STAGES else []
    return inherited + [rest for instruction, rest in own if instruction == name]


def default_secrets(services: dict[str, dict[str, Any]]) -> list[str]:
    """Secrets whose value stands in the file, in whole or as a fallback."""
    found = []
    for service, body in services.items():
        for name, value in body.get("environment", {}).items():
            held = REQUIRED.sub("", str(value))
            is_url = "://" in held and "@" in held
            if (SECRET.search(name) and held) or (is_url and not REQUIRED.search(str(value))):
                found.append(f"{service}: {name}={value}")
    return found


class TestDockerfile:
    def test_there_are_the_targets_api_and_worker(self) -> None:
        assert {"api", "worker"} <= set(STAGES)

    def test_every_base_image_is_pinned_to_a_version(self) -> None:
        bases = {base for (_, base), *_ in STAGES.values()} - set(STAGES) - {"scratch"}
        assert [base for base in bases if not PINNED.fullmatch(base)] == []
        assert bases == {"python:3.11.15-slim-bookworm"}

    def test_the_base_image_can_be_overridden(self) -> None:
        other = read_dockerfile("ARG BASE_IMAGE=a:1\nFROM ${BASE_IMAGE} AS base\nRUN true\n")
        assert other == {"base": [("FROM", "a:1"), ("RUN", "true")]}
        assert "FROM ${BASE_IMAGE} AS base" in (ROOT / "Dockerfile").read_text()

    def test_every_installation_sees_the_builders_pip_configuration(self) -> None:
        installs = [run for stage in STAGES for run in of(stage, "RUN") if "pip install" in run]
        assert [run for run in installs if not run.startswith(PIP_CONF)] == []

    @pytest.mark.parametrize("stage", ["api", "worker"])
    def test_it_runs_as_a_numbered_user_that_is_not_root(self, stage: str) -> None:
        user = of(stage, "USER")[-1]
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
        uid, _ = user.split(":")
        assert any(f"useradd --uid {uid} " in run for run in of(stage, "RUN"))

    @pytest.mark.parametrize("stage", ["api", "worker"])
    def test_nothing_is_installed_after_the_user_changes(self, stage: str) -> None:
        names = [name for name, _ in STAGES[stage]]
        assert "RUN" not in names[names.index("USER") :]

    @pytest.mark.parametrize("stage", ["api", "worker"])
    def test_the_user_can_read_what_was_copied_with_a_narrow_mode(self, stage: str) -> None:
        names = [f"{name} {rest.removeprefix(PIP_CONF).lstrip()}" for name, rest in STAGES[stage]]
        copied = names.index("COPY --from=code /app /app")
        assert any(step.startswith("RUN chmod --recursive a+rX /app") for step in names[copied:])

    def test_every_copied_path_exists(self) -> None:
        missing = []
        for stage in STAGES:
            for rest in of(stage, "COPY"):
                if not rest.startswith("--from="):
                    *sources, _ = rest.split()
                    missing += [source for source in sources if not (ROOT / source).exists()]
        assert missing == []

    def test_every_packaged_module_but_the_examples_is_in_the_images(self) -> None:
        hatch = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]
        packaged = set(hatch["build"]["targets"]["wheel"]["packages"]) - {"examples"}
        assert packaged <= {rest.split()[-1] for rest in of("code", "COPY")}

    def test_the_ignore_file_lets_through_what_is_copied_and_nothing_else(self) -> None:
        copied = {source for stage in ("base", "code") for rest in of(stage, "COPY") for source in rest.split()[:-1]}
        first, *rest = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] != "#"]
        assert first == "*"
        assert {line[1:] for line in rest if line.startswith("!")} == copied

    def test_the_api_image_has_no_torch(self) -> None:
        training = re.compile(r"pip install .*(--requirement /tmp/train.txt|torch)")
        assert [run for run in of("api", "RUN") if training.search(run)] == []
        assert len([run for run in of("worker", "RUN") if training.search(run)]) == 2

    def test_every_installation_keeps_to_the_pins(self) -> None:
        installs = [run for stage in STAGES for run in of(stage, "RUN") if "pip install" in run]
        assert installs
        assert [run for run in installs if "--constraint constraints.txt" not in run and "--no-deps" not in run] == []

    @pytest.mark.parametrize(("stage", "part"), [("api", "api"), ("worker", "worker")])
    def test_the_image_starts_its_part(self, stage: str, part: str) -> None:
        assert of(stage, "CMD") == [f'["python", "-m", "fettle", "{part}"]']

    def test_the_api_tells_whether_it_is_well(self) -> None:
        (check,) = of("api", "HEALTHCHECK")
        assert "http://127.0.0.1:8000/healthz" in check


class TestCompose:
    def test_it_follows_composes_schema(self) -> None:
        schema = get_builtin_schema("vendor.compose-spec")
        jsonschema.validate(COMPOSE, schema)
        with pytest.raises(jsonschema.ValidationError, match="helthcheck"):
            jsonschema.validate({"services": {"api": {"image": "a:1", "helthcheck": {}}}}, schema)

    def test_every_part_is_there(self) -> None:
        always = {"postgres", "redis", "objectstore", "migrate", "api"}
        assert {name for name, body in SERVICES.items() if "profiles" not in body} == always
        by_profile = {name: body["profiles"] for name, body in SERVICES.items() if "profiles" in body}
        on_gpus = {"worker-gpu": ["gpu"], "engine-gpu": ["gpu"]}
        assert by_profile == {"worker": ["cpu"], "engine": ["cpu"]} | on_gpus

    def test_without_a_profile_compose_refuses_to_start(self) -> None:
        assert "COMPOSE_PROFILES" in REQUIRED.findall(str(SERVICES["api"]["labels"]))

    def test_only_the_profile_gpu_asks_for_gpus_and_each_service_for_its_own(self) -> None:
        asked = {name: re.findall(r"'device_ids': \['(.*?)'\]", str(body)) for name, body in SERVICES.items()}
        given = {name: ids for name, ids in asked.items() if ids}
        assert given == {"worker-gpu": ["${WORKER_GPUS:-0}"], "engine-gpu": ["${ENGINE_GPUS:-1}"]}

    def test_on_gpus_a_service_is_otherwise_as_on_cpus(self) -> None:
        for name in ("worker", "engine"):
            own = {key: value for key, value in SERVICES[f"{name}-gpu"].items() if key not in ("deploy", "networks")}
            assert own | {"profiles": ["cpu"]} == SERVICES[name]

    def test_the_engine_has_the_same_name_for_the_api_in_both_profiles(self) -> None:
        assert SERVICES["engine-gpu"]["networks"]["default"]["aliases"] == ["engine"]

    def test_every_image_is_pinned_to_a_version(self) -> None:
        assert [body["image"] for body in SERVICES.values() if not PINNED.fullmatch(body["image"])] == []

    @pytest.mark.parametrize("service", sorted(set(SERVICES) - {"migrate", "api"}))
    def test_every_service_has_a_health_check(self, service: str) -> None:
        """The API's is its image's."""
        assert {"test", "interval", "timeout", "retries"} <= set(SERVICES[service]["healthcheck"])

    def test_postgresql_is_healthy_only_when_it_answers_over_the_network(self) -> None:
        assert "--host=127.0.0.1" in SERVICES["postgres"]["healthcheck"]["test"]

    def test_nothing_waits_for_the_health_of_a_service_that_does_not_tell(self) -> None:
        for body in SERVICES.values():
            for other, wait in body.get("depends_on", {}).items():
                if wait["condition"] == "service_healthy":
                    assert "test" in SERVICES[other]["healthcheck"]

    @pytest.mark.parametrize("service", ["api", "worker", "engine"])
    def test_nothing_of_ours_starts_before_the_schema_is_new(self, service: str) -> None:
        assert SERVICES[service]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}

    @pytest.mark.parametrize("service", sorted(SERVICES))
    def test_no_log_fills_the_disk(self, service: str) -> None:
        assert {"max-size", "max-file"} <= set(SERVICES[service]["logging"]["options"])

    @pytest.mark.parametrize("service", ["worker", "engine"])
    def test_ranks_that_share_tensors_have_room(self, service: str) -> None:
        assert SERVICES[service]["shm_size"] == "2gb"

    @pytest.mark.parametrize("service", sorted(set(SERVICES) - {"migrate"}))
    def test_no_service_takes_the_memory_of_the_others(self, service: str) -> None:
        assert "mem_limit" in SERVICES[service]

    @pytest.mark.parametrize("service", ["migrate", "api", "worker", "engine"])
    def test_ours_can_write_only_to_their_volume_and_tmp(self, service: str) -> None:
        assert (SERVICES[service]["read_only"], SERVICES[service]["tmpfs"]) == (True, ["/tmp"])

    def test_migrate_runs_once(self) -> None:
        assert SERVICES["migrate"]["restart"] == "no"
        assert SERVICES["migrate"]["command"] == ["python", "-m", "fettle", "migrate"]

    def test_no_secret_has_a_value_here(self) -> None:
        assert default_secrets(SERVICES) == []

    @pytest.mark.parametrize("value", ["hunter2", "${PASSWORD:-hunter2}", "${PASSWORD}"])
    def test_a_secret_with_a_value_or_without_a_must_is_found(self, value: str) -> None:
        assert len(default_secrets({"db": {"environment": {"DB_PASSWORD": value}}})) == 1
        assert len(default_secrets({"api": {"environment": {"URL": f"redis://:{value}@redis"}}})) == 1

    def test_every_required_variable_is_in_the_example_env(self) -> None:
        named = set(re.findall(r"^# (\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
        assert set(REQUIRED.findall(COMPOSE_TEXT)) - named == set()

    def test_the_page_and_the_rehearsal_make_every_required_secret(self) -> None:
        wanted = set(REQUIRED.findall(COMPOSE_TEXT)) - {"COMPOSE_PROFILES"}
        (names,) = re.findall(r"^for name in (.*); do$", (ROOT / "docs" / "deployment.md").read_text(), re.MULTILINE)
        assert set(names.split()) == set(SECRETS) == wanted

    def test_only_the_api_is_published_and_only_to_this_host(self) -> None:
        published = {name: body["ports"] for name, body in SERVICES.items() if "ports" in body}
        assert published == {"api": ["127.0.0.1:8000:8000"]}

    def test_every_fettle_variable_is_a_setting(self) -> None:
        known = {f"FETTLE_{name.upper()}" for name in Settings.model_fields}
        given = {name for body in SERVICES.values() for name in body.get("environment", {}) if "FETTLE" in name}
        assert given - known == set()

    def test_every_built_target_is_in_the_dockerfile(self) -> None:
        assert {body["build"]["target"] for body in SERVICES.values() if "build" in body} == {"api", "worker"}

    def test_every_named_volume_is_declared(self) -> None:
        used = {volume.split(":")[0] for body in SERVICES.values() for volume in body.get("volumes", [])}
        assert used == set(COMPOSE["volumes"])

    def test_the_mounted_folder_is_the_bucket_that_the_storage_url_names(self) -> None:
        (volume,) = SERVICES["objectstore"]["volumes"]
        bucket = SERVICES["api"]["environment"]["FETTLE_STORAGE_URL"].removeprefix("s3://")
        assert volume.split(":")[1] == f"{SERVICES['objectstore']['command'][-1]}/{bucket}"

    def test_a_stopping_worker_has_time_for_its_last_checkpoint(self) -> None:
        patience = float(SERVICES["worker"]["stop_grace_period"].removesuffix("s"))
        assert patience > Settings(_env_file=None).drain_seconds + 10
