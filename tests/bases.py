"""Base models for tests: copies of the starter that differ from it in one thing."""

import json
import shutil
from pathlib import Path

from fettle.registry.catalog import STARTER


def padding_with_eos(folder: Path) -> Path:
    """As SmolLM2 and most Llama bases are: no token of its own to pad with."""
    copy(folder)
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    rewrite(folder / "tokenizer_config.json", pad_token=tokenizer["eos_token"])
    for name in ("config.json", "generation_config.json"):
        rewrite(folder / name, pad_token_id=json.loads((folder / name).read_text())["eos_token_id"])
    return folder


def copy(folder: Path) -> Path:
    return Path(shutil.copytree(STARTER, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__")))


def rewrite(file: Path, **fields: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def trimming(folder: Path) -> Path:
    """Its chat template strips the blanks around what is said, as several public ones do."""
    shutil.copytree(STARTER, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    (folder / "chat_template.jinja").write_text(
        "{%- for m in messages %}{{- '<|im_start|>' + m.role + '\\n' }}{{- m.content | trim }}{{- '<|im_end|>\\n' }}"
        "{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
    )
    return folder


# A chat template that shows no tools
NO_TOOLS = (
    "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}"
    "{% else %}{{ m.content }}{% endif %}{% endfor %}"
)
