from pathlib import Path

import pytest

from fettle.host import cpu
from fettle.registry.catalog import STARTER


def cpuinfo(folder: Path, line: str) -> Path:
    file = folder / "cpuinfo"
    file.write_text(f"processor\t: 0\nmodel name\t: bf16 machine\n{line}\n")
    return file


@pytest.mark.parametrize(
    ("line", "native"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16 avx512_vnni", True),
        ("flags\t\t: fpu avx512f amx_bf16 amx_tile", True),
        ("Features\t: fp asimd bf16 i8mm", True),
        ("flags\t\t: fpu avx2 avx512f", False),  # multiplies bf16 by turning it into fp32
        ("power management: bf16", False),
    ],
)
def test_bf16_is_native_where_linux_says_so(tmp_path: Path, line: str, native: bool) -> None:
    assert cpu.native_bf16(cpuinfo(tmp_path, line)) is native


def test_other_systems_are_taken_to_emulate_it(tmp_path: Path) -> None:
    assert not cpu.native_bf16(tmp_path / "none")


def test_bf16_pays_for_large_models_only(tmp_path: Path) -> None:
    native = cpuinfo(tmp_path, "flags: avx512_bf16")
    assert not cpu.bf16_pays(STARTER, native)
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.truncate(cpu.LARGE)  # sparse
    assert cpu.bf16_pays(tmp_path, native)
    assert not cpu.bf16_pays(tmp_path, cpuinfo(tmp_path, "flags: avx2"))
