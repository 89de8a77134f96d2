"""Where a guest's memory group may be made. What the kernel makes of one is proved by `walls_of`, where it can be."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from fettle.rewards.sandbox import Limits, Sandbox, Walls, cgroup, languages


def tree(root: Path, *, own: str = "/", ours: str = "", above: str = "") -> Path:
    """A hierarchy as the kernel shows it; returns the file that says which group we are in."""
    group = root / own.lstrip("/")
    group.mkdir(parents=True, exist_ok=True)
    (root / "cgroup.subtree_control").write_text("")
    (group.parent / "cgroup.subtree_control").write_text(above)
    (group / "cgroup.subtree_control").write_text(ours)
    said = root.parent / "cgroup"
    said.write_text(f"4:memory:/old/hierarchy\n0::{own}\n")
    return said


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "fs").mkdir()
    return tmp_path / "fs"


class TestWhereOneMayBeMade:
    def test_below_our_own_group_when_it_hands_memory_on(self, root: Path) -> None:
        own = tree(root, own="/worker", ours="cpu memory", above="cpu memory")
        assert cgroup.find(root, own) == root / "worker"

    def test_beside_our_own_group_otherwise(self, root: Path) -> None:
        """A group with processes cannot hand memory on: its siblings have it from the group above."""
        own = tree(root, own="/fettle.service/worker", above="memory pids")
        assert cgroup.find(root, own) == root / "fettle.service"

    def test_nowhere_when_nobody_hands_memory_on(self, root: Path) -> None:
        assert cgroup.find(root, tree(root, own="/worker", above="cpu pids")) is None

    def test_never_above_the_root_of_the_hierarchy(self, root: Path) -> None:
        own = tree(root)
        (root.parent / "cgroup.subtree_control").write_text("memory")
        assert cgroup.find(root, own) is None

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    def test_not_where_we_may_not_write(self, root: Path) -> None:
        own = tree(root, own="/worker", ours="memory")
        (root / "worker").chmod(0o555)
        assert cgroup.find(root, own) is None

    def test_not_without_the_second_version(self, root: Path) -> None:
        own = root.parent / "cgroup"
        own.write_text("4:memory:/\n")
        assert cgroup.find(root, own) is None
        assert cgroup.find(root, root / "none") is None


class TestSweeping:
    def test_the_groups_of_the_dead_are_taken_away_and_no_others(self, root: Path) -> None:
        dead = next(pid for pid in range(2, 1 << 22) if not Path(f"/proc/{pid}").exists())
        for name in (f"fettle-sandbox-{dead}-0", f"fettle-sandbox-{os.getpid()}-0", "fettle-web", "system.slice"):
            (root / name).mkdir()
        cgroup.sweep(root)
        left = {path.name for path in root.iterdir()}
        assert left == {f"fettle-sandbox-{os.getpid()}-0", "fettle-web", "system.slice"}


@pytest.mark.skipif(cgroup.find() is None, reason="this process may make no memory group")
class TestOneThatIsMade:
    def test_it_ends_what_passes_its_limit_and_is_gone_afterwards(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The group alone: the limit of addresses, which would come first, is left out."""
        group = cgroup.find()
        python = languages.LANGUAGES["python"]
        monkeypatch.setitem(languages.LANGUAGES, "python", lambda limits: replace(python(limits), limits={}))
        hoard = "def grade(sample, item):\n    return float(len([b'x' * (1 << 20) for _ in range(item)]))"
        with Sandbox(hoard, Limits(20, 128 << 20), walls=Walls(group=group)) as sandbox:
            fits, does_not = sandbox.grade([({}, 40), ({}, 400)])
        assert fits.value == 40.0
        assert does_not.error is not None and "signal 9" in does_not.error
        assert group is not None and not [*group.glob(f"{cgroup.PREFIX}{os.getpid()}-*")]
