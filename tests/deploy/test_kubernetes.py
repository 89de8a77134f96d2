"""The manifests against Kubernetes' own schemas, and against the commands, settings and paths that they name."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from fastapi.routing import APIRoute

from api.routes import health
from fettle.cli.main import app as commands
from fettle.settings import Settings

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
UNITS = Path(__file__).parents[2] / "deploy" / "systemd"
VERSIONS = ("1.31", "1.37")
OURS = ("fettle-api", "fettle-worker")


def objects() -> Iterator[tuple[str, dict[str, Any]]]:
    for file in sorted(FOLDER.rglob("*.yaml")):
        if file.name != "kustomization.yaml":
            for number, each in enumerate(yaml.safe_load_all(file.read_text())):
                yield f"{file.relative_to(FOLDER)}:{number}", each


def known_to_kubernetes() -> Iterator[tuple[str, dict[str, Any]]]:
    """What Kubernetes itself defines; of KEDA's ScaledJob the Job that it starts."""
    for name, each in objects():
        if each["kind"] == "ScaledJob":
            body = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": each["metadata"]["name"]}}
            yield name, {**body, "spec": each["spec"]["jobTargetRef"]}
        elif ".coreos.com/" not in each["apiVersion"] and "keda.sh/" not in each["apiVersion"]:
            yield name, each


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, each in known_to_kubernetes():
        if "template" in each.get("spec", {}):
            yield name, each["spec"]["template"]["spec"]


def named(value: object) -> str:
    return value if isinstance(value, str) else ""


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("name", "manifest"), list(known_to_kubernetes()), ids=named)
def test_every_object_is_valid(name: str, manifest: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(manifest, version, strict=True)


def test_a_wrong_field_is_found() -> None:
    """Or else the test above could not fail."""
    manifest = next(each for _, each in known_to_kubernetes() if each["kind"] == "Deployment")
    manifest["spec"]["replica"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, VERSIONS[0], strict=True)


@pytest.mark.parametrize(("name", "pod"), list(pods()), ids=named)
def test_no_container_has_more_rights_than_it_needs(name: str, pod: dict[str, Any]) -> None:
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    for container in pod["containers"]:
        rights = container["securityContext"]
        assert rights["readOnlyRootFilesystem"] is True
        assert rights["allowPrivilegeEscalation"] is False
        assert rights["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"]


@pytest.mark.parametrize(("name", "pod"), list(pods()), ids=named)
def test_every_command_setting_and_probe_exists(name: str, pod: dict[str, Any]) -> None:
    known = {each.name or each.callback.__name__ for each in commands.registered_commands if each.callback}
    paths = {route.path for route in health.router.routes if isinstance(route, APIRoute)} | {"/health"}  # the engine's
    for container in pod["containers"]:
        assert container["image"] in OURS
        if "command" in container:
            assert container["command"][:3] == ["python", "-m", "fettle"]
            assert container["command"][3] in known
        for each in container.get("env", []):
            assert each["name"].removeprefix("FETTLE_").lower() in setting_names()
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert container.get(probe, {"httpGet": {"path": "/health"}})["httpGet"]["path"] in paths


def setting_names() -> set[str]:
    return {str(field.alias or name).lower().removeprefix("fettle_") for name, field in Settings.model_fields.items()}


def test_every_setting_of_the_config_exists() -> None:
    (config,) = (each for _, each in objects() if each["kind"] == "ConfigMap")
    assert {name.removeprefix("FETTLE_").lower() for name in config["data"]} <= setting_names()


def test_a_worker_has_longer_to_stop_than_its_run_has_for_a_checkpoint() -> None:
    stops = [pod["terminationGracePeriodSeconds"] for name, pod in pods() if "worker" in name]
    assert len(stops) == 2
    assert min(stops) > Settings(_env_file=None).drain_seconds + 10


def test_the_systemd_units_start_commands_that_exist() -> None:
    known = {each.name or each.callback.__name__ for each in commands.registered_commands if each.callback}
    units = sorted(UNITS.glob("*.service"))
    assert len(units) == 3
    for unit in units:
        starts = [
            line.partition("=")[2].split() for line in unit.read_text().splitlines() if line.startswith("ExecStart")
        ]
        assert starts
        for program, command in starts:
            assert program == "/opt/fettle/bin/fettle"
            assert command in known
