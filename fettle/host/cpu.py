"""What this machine's CPU can do.

A CPU that multiplies bf16 itself (AVX512_BF16, AMX, Arm's BF16) takes half the time for half the bytes. Others only
emulate it, slower than fp32. Small models gain nothing either: what surrounds their products takes longer than these.
"""

from pathlib import Path

NATIVE_BF16 = {"avx512_bf16", "amx_bf16", "bf16"}  # as Linux names them on x86 and on Arm
LARGE = 100 * 2**20  # bytes of weights; below, bf16 gained nothing
CPUINFO = Path("/proc/cpuinfo")


def bf16_pays(base: Path, cpuinfo: Path = CPUINFO) -> bool:
    """Whether bf16 makes the base model in this folder faster here. False where there is no such file, as on macOS."""
    return is_large(base) and native_bf16(cpuinfo)


def is_large(base: Path) -> bool:
    """Whether the base model in this folder gains from bf16."""
    return sum(path.stat().st_size for path in base.glob("*.safetensors")) >= LARGE


def native_bf16(cpuinfo: Path = CPUINFO) -> bool:
    if not cpuinfo.is_file():
        return False
    lines = cpuinfo.read_text().splitlines()
    return any(line.startswith(("flags", "Features")) and NATIVE_BF16 & {*line.split()} for line in lines)
