"""What this machine's CPU can do.

A CPU that multiplies bf16 itself (AVX512_BF16, AMX, Arm's BF16) takes half the time for half the bytes. Others only
emulate it, slower than fp32. Small models gain nothing either: what surrounds their products takes longer than these.
"""

from pathlib import Path

NATIVE_BF16 = {"avx512_bf16", "amx_bf16", "bf16"}  # as Linux names them on x86 and on Arm
LARGE = 100 * 2**20  # bytes of weights; below, bf16 gained nothing


def bf16_pays(base: Path, cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether bf16 makes the base model in this folder faster here. False where there is no such file, as on macOS."""
    weights = sum(path.stat().st_size for path in base.glob("*.safetensors"))
    return weights >= LARGE and native_bf16(cpuinfo)


def native_bf16(cpuinfo: Path) -> bool:
    if not cpuinfo.is_file():
        return False
    lines = cpuinfo.read_text().splitlines()
    return any(line.startswith(("flags", "Features")) and NATIVE_BF16 & {*line.split()} for line in lines)
