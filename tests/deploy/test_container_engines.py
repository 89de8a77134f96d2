import stat
from pathlib import Path

import pytest

from deploy import container_engines
from deploy.container_engines import Buildah, BuildOptions, Docker

OPTIONS = BuildOptions(
    {"BASE_IMAGE": "debian:here", "TORCH_PIP": "--index-url https://a.example"}, Path("/tmp/pip.conf")
)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole PATH; each program in it writes its arguments, one a line, to a file."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def add(programs: Path, name: str, *, status: int = 0, says: str = "") -> Path:
    program = programs / name
    program.write_text(
        f'#!/bin/sh\nfor one in "$@"; do echo "$one" >> {programs}/{name}.asked; done\n{says}\nexit {status}\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return programs / f"{name}.asked"


def test_dockers_client_without_its_daemon_is_passed_over(programs: Path) -> None:
    add(programs, "docker", status=1)
    add(programs, "buildah")
    assert container_engines.choose(None).name == "buildah"
    with pytest.raises(SystemExit, match="docker does not work here"):
        container_engines.choose("docker")


def test_without_any_engine_it_says_what_to_install(programs: Path) -> None:
    with pytest.raises(SystemExit, match="apt-get install buildah"):
        container_engines.choose(None)


def test_an_unknown_engine_is_named(programs: Path) -> None:
    with pytest.raises(SystemExit, match="'lxc', but must be one of docker, podman, buildah"):
        container_engines.choose("lxc")


def test_pips_configuration_is_a_secret_of_the_build(programs: Path) -> None:
    asked = add(programs, "docker")
    Docker().build("api", "fettle-api:1", OPTIONS)
    lines = asked.read_text().splitlines()
    assert "--secret=id=pip,src=/tmp/pip.conf" in lines
    assert lines[lines.index("TORCH_PIP=--index-url https://a.example") - 1] == "--build-arg"
    assert lines[lines.index("--target") + 1] == "api"


def test_docker_refuses_folders_that_it_cannot_show(programs: Path) -> None:
    with pytest.raises(SystemExit, match="/srv/wheels"):
        Docker().build("api", "fettle-api:1", BuildOptions({}, None, [Path("/srv/wheels")]))


def test_buildah_shows_folders_read_only(programs: Path) -> None:
    asked = add(programs, "buildah")
    Buildah().build("api", "fettle-api:1", BuildOptions({}, None, [Path("/srv/wheels")]))
    assert "--volume=/srv/wheels:/srv/wheels:ro" in asked.read_text().splitlines()


@pytest.mark.parametrize("engine", [Docker(), Buildah()])
def test_a_command_gets_its_variables(programs: Path, engine: Docker | Buildah) -> None:
    add(programs, "buildah", says="echo made")
    command = engine.command("fettle-api:1", "api", ["python", "-m", "fettle", "api"], {"FETTLE_PORT": "8000"})
    assert "--env=FETTLE_PORT=8000" in command
    assert command[-4:] == ["python", "-m", "fettle", "api"]


def test_buildah_removes_its_containers_and_no_others(programs: Path) -> None:
    asked = add(programs, "buildah", says="echo made")
    engine = Buildah()
    engine.command("fettle-api:1", "api", ["true"], {})
    engine.remove()
    assert asked.read_text().splitlines()[-2:] == ["rm", "made"]
    assert engine.containers == []


@pytest.mark.parametrize(("size", "wanted"), [("2.18 GB", 2_180_000_000), ("799 MB", 799_000_000), ("12 B", 12)])
def test_sizes_are_bytes(size: str, wanted: int) -> None:
    assert container_engines.as_bytes(size) == wanted
