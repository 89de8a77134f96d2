"""What importing the application loads: the API starts in a moment because it knows no torch."""

import subprocess
import sys

HEAVY = {"torch", "transformers", "trl", "peft", "datasets", "accelerate", "safetensors", "numpy", "pyarrow"}


def loaded_by(statement: str) -> set[str]:
    program = f"import sys; {statement}; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_application_imports_nothing_that_trains() -> None:
    loaded = loaded_by("import api.app")
    assert "fastapi" in loaded
    assert loaded & HEAVY == set()
    assert "worker" not in loaded
