"""What importing the application loads: the API starts in a moment because it knows no torch."""

import os
import subprocess
import sys
from pathlib import Path

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


def test_an_alias_that_leads_nowhere_stops_the_start_with_one_sentence(tmp_path: Path) -> None:
    env = {**os.environ, "FETTLE_DATA": str(tmp_path), "FETTLE_MODEL_ALIASES": '{"gpt-4o": "llama"}'}
    done = subprocess.run([sys.executable, "-m", "api"], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "FETTLE_MODEL_ALIASES: 'gpt-4o' stands for 'llama'" in done.stderr
