"""The sandbox works wherever Python and Node lie: in a home that only its owner may enter, too."""

import contextlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fettle.rewards.sandbox import Sandbox, SandboxError, Walls, guests, languages

ROOT = Path(__file__).parents[4]
LEFT_OUT = shutil.ignore_patterns(
    "site-packages", "dist-packages", "test", "tests", "idlelib", "tkinter", "turtledemo", "lib2to3", "config-*"
)
ESSENTIAL = "python and (network or import or subprocess or passwd or own)"


def link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or a file of another owner
        shutil.copy2(source, target)


class Home:
    """A folder with an interpreter of its own, and a virtual environment on it that sees what is installed here."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        here, base = Path(languages.interpreter()), Path(sys.base_prefix)
        self.stdlib = folder / "python" / Path(sysconfig.get_path("stdlib")).relative_to(base)
        self.stdlib.parent.mkdir(parents=True)
        shutil.copytree(sysconfig.get_path("stdlib"), self.stdlib, ignore=LEFT_OUT)
        for library in (base / sys.platlibdir).glob("libpython*.so*"):
            shutil.copy2(library, self.stdlib.parent)
        interpreter = folder / "python" / "bin" / here.name
        interpreter.parent.mkdir()
        shutil.copy2(here, interpreter)
        self.environment = {"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": str(self.stdlib.parent)}
        self.run(interpreter, "-m", "venv", "--without-pip", folder / "venv")
        self.python = folder / "venv" / "bin" / "python"
        (site,) = (folder / "venv").glob("lib/python*/site-packages")
        (site / "here.pth").write_text(f"{sysconfig.get_path('purelib')}\n{ROOT}\n")

    def run(self, *command: str | Path) -> str:
        done = subprocess.run(command, env=self.environment, cwd=ROOT, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return done.stdout

    def level(self) -> str:
        """What confines user code there, or what is missing."""
        look = (
            "from fettle.rewards.sandbox import SandboxError, level\n"
            "try: print(level())\nexcept SandboxError as error: print(error)"
        )
        return self.run(self.python, "-c", look)


@contextlib.contextmanager
def folder_of_mode(mode: int) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="fettle-home-"))  # not below pytest's own folder, which is private
    try:
        folder.chmod(mode)
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.parametrize("mode", [0o700, 0o755], ids=["private", "shared"])
def test_python_in_a_home_passes_the_sandboxs_own_tests(mode: int) -> None:
    with folder_of_mode(mode) as folder:
        home = Home(folder)
        assert home.level().startswith("landlock")
        suite = [ROOT / "tests/fettle/rewards/sandbox" / name for name in ("test_attacks.py", "test_imports.py")]
        said = home.run(home.python, "-m", "pytest", "-n0", "-p", "no:cacheprovider", *suite, "-k", ESSENTIAL)
        assert " passed" in said


@pytest.mark.slow
def test_a_library_that_user_code_cannot_read_is_named_with_the_way_out() -> None:
    """Only root's guests have a user of their own; anybody else's read what the worker reads."""
    with folder_of_mode(0o755) as folder:
        home = Home(folder)
        home.stdlib.chmod(0o700)
        closed = home.level()
        home.stdlib.chmod(0o755)
        (home.stdlib / "signal.py").chmod(0o600)
        for compiled in home.stdlib.glob("__pycache__/signal.*"):
            compiled.unlink()
        hidden = home.level()
    if os.geteuid() != 0:
        assert closed.startswith("landlock") and hidden.startswith("landlock")
        return
    assert f"cannot read {home.stdlib}: chmod -R o+rX {home.stdlib}" in closed
    assert "signal.py" in hidden and f"chmod -R o+rX {home.stdlib}" in hidden


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node.js here")
def test_node_in_a_private_home_runs_user_code(monkeypatch: pytest.MonkeyPatch) -> None:
    with folder_of_mode(0o700) as folder:
        link_or_copy(languages.node_and_libraries()[0], str(folder / "node"))
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        languages.node_and_libraries.cache_clear()
        try:
            assert languages.node_and_libraries()[0] == str(folder / "node")
            source = "function grade(sample, item) { return 0.25; }"
            with Sandbox(source, language="javascript", walls=Walls()) as sandbox:
                assert [result.value for result in sandbox.grade([({}, {})])] == [0.25]
        finally:
            languages.node_and_libraries.cache_clear()


class TestTheUserOfGuests:
    """user_namespaces(7): first id inside, first id outside, how many."""

    def test_where_all_ids_exist_it_is_nobodys(self, tmp_path: Path) -> None:
        (tmp_path / "map").write_text("         0          0 4294967295\n")
        assert guests.unused_id(tmp_path / "map") == 2_000_000_000 + os.getpid()

    def test_a_container_that_maps_some_thousands_lends_one_of_its_last(self, tmp_path: Path) -> None:
        (tmp_path / "map").write_text("0 1000 1\n1 100000 65536\n")
        assert 65_536 - 502 <= guests.unused_id(tmp_path / "map") <= 65_535

    def test_a_namespace_of_root_alone_is_refused_with_the_way_out(self, tmp_path: Path) -> None:
        (tmp_path / "map").write_text("0 1000 1\n")
        with pytest.raises(SandboxError, match="run the worker as an ordinary user"):
            guests.unused_id(tmp_path / "map")
