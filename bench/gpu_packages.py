"""The Python packages that the GPU benchmarks need beside torch, for a machine without a network.

    python -m bench.gpu_packages packages.tar.xz [--python 3.12] [--cuda 130]

Downloads the wheels of this list in the versions of constraints.txt, leaves out what training never opens, packs the
rest and says how large it is. It must be under 60 MB. torch and what comes with it (sympy, networkx, numpy) are
not in it: an image for GPUs has them.
"""

import argparse
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIMIT = 60_000_000  # bytes
PRESET = 4  # of xz; 6 takes three times as long
PLATFORMS = (
    "manylinux_2_31_x86_64",
    "manylinux_2_28_x86_64",
    "manylinux_2_27_x86_64",
    "manylinux_2_24_x86_64",
    "manylinux_2_17_x86_64",
)
NEEDED = (
    # training, and what it imports
    *("transformers", "trl", "peft", "accelerate", "datasets", "tokenizers", "safetensors", "huggingface_hub"),
    *("bitsandbytes", "pyarrow", "pandas", "dill", "multiprocess", "xxhash", "regex", "tqdm", "PyYAML", "packaging"),
    *("psutil", "requests", "httpx", "httpcore", "httpx2", "httpcore2", "h11", "anyio", "sniffio", "idna", "certifi"),
    *("truststore", "urllib3", "charset-normalizer", "python-dateutil", "six", "fsspec", "typer", "shellingham"),
    *("rich", "Pygments", "Jinja2", "MarkupSafe", "filelock"),
    # the project's own
    *("pydantic", "pydantic_core", "pydantic-settings", "python-dotenv", "annotated-types", "typing-inspection"),
    *("typing_extensions", "orjson", "structlog", "prometheus_client", "llguidance", "fastapi", "starlette"),
    *("annotated-doc", "jsonschema", "jsonschema-specifications", "referencing", "rpds-py", "attrs"),
    *("opentelemetry-api", "importlib_metadata", "zipp"),
    *("openai", "jiter", "distro"),  # of examples/grpo.py, whose rows GRPO learns from
)
UNUSED = (  # of pyarrow: servers, other clouds, headers; of all: tests
    *("pyarrow/*flight*", "pyarrow/*substrait*", "pyarrow/libarrow_s3*", "pyarrow/*_s3fs*", "pyarrow/*gandiva*"),
    *("pyarrow/*_orc*", "pyarrow/*encryption*", "pyarrow/include/*", "pyarrow/src/*", "pyarrow/*.pxd", "pyarrow/*.pyx"),
    *("*/tests/*", "*/testing/_*", "*.pyi", "bitsandbytes/*rocm*", "bitsandbytes/*xpu*"),
)
OF_CUDA = "bitsandbytes/libbitsandbytes_cuda"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu_packages")
    parser.add_argument("file", type=Path)
    parser.add_argument("--python", default=f"{sys.version_info.major}.{sys.version_info.minor}")
    parser.add_argument("--cuda", nargs="+", default=["130"], help="versions for bitsandbytes: 128 takes 20 MB")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fettle-bench-") as name:
        wheels, tree = Path(name) / "wheels", Path(name) / "packages"
        download(wheels, asked.python)
        for wheel in sorted(wheels.glob("*.whl")):
            unpack(wheel, tree, asked.cuda)
        (tree / "PYTHON").write_text(asked.python)
        with tarfile.open(asked.file, "w:xz", preset=PRESET) as archive:
            archive.add(tree, ".")
    size = asked.file.stat().st_size
    print(f"{asked.file}: {len(NEEDED)} packages for Python {asked.python}, {size / 1e6:.1f} MB")
    if size > LIMIT:
        asked.file.unlink()
        sys.exit(f"That is more than {LIMIT / 1e6:.0f} MB. Name fewer versions with --cuda.")


def download(wheels: Path, python: str) -> None:
    """Raises CalledProcessError where a package has no wheel."""
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    names = [f"{name}=={pins[name].split(';')[0].strip()}" for name in NEEDED if name in pins]
    missing = [name for name in NEEDED if name not in pins]
    if missing:
        sys.exit(f"constraints.txt does not name {', '.join(missing)}.")
    platforms = [word for platform in (*PLATFORMS, "any") for word in ("--platform", platform)]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", *platforms]
    subprocess.run(
        [*pip, "--python-version", python, "--implementation", "cp", "--dest", str(wheels), *names], check=True
    )


def unpack(wheel: Path, tree: Path, cuda: list[str]) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            of_others = name.startswith(OF_CUDA) and not any(name == f"{OF_CUDA}{each}.so" for each in cuda)
            if name.endswith("/") or of_others or any(fnmatch(name, pattern) for pattern in UNUSED):
                continue
            target = tree / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(name) as source, target.open("wb") as copy:
                shutil.copyfileobj(source, copy)


if __name__ == "__main__":
    main()
