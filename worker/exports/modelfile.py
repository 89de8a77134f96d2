"""An Ollama Modelfile for a GGUF file: the template in Ollama's own language, where it says what the model's says."""

from pathlib import Path

CHATML = """{{- if .System }}<|im_start|>system
{{ .System }}<|im_end|>
{{ end }}{{- range .Messages }}{{- if ne .Role "system" }}<|im_start|>{{ .Role }}
{{ .Content }}<|im_end|>
{{ end }}{{- end }}<|im_start|>assistant
"""
BEGIN, END = "<|im_start|>", "<|im_end|>"
SYSTEM, CLOSE = f"{BEGIN}system\n", f"{END}\n"
USER, ANSWER = "How are you?", "Well."
TURNS = [
    {"role": "user", "content": USER},
    {"role": "assistant", "content": ANSWER},
    {"role": "user", "content": USER},
]
SPOKEN = f"{BEGIN}user\n{USER}{END}\n{BEGIN}assistant\n{ANSWER}{END}\n{BEGIN}user\n{USER}{END}\n{BEGIN}assistant\n"


def text(folder: Path, weights: str) -> str:
    """folder: of the merged model. A template that is not ChatML is left to Ollama, which reads it from the weights."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    rendered = str(tokenizer.apply_chat_template(TURNS, tokenize=False, add_generation_prompt=True))
    lines = [f"FROM ./{weights}"]
    if rendered.endswith(SPOKEN):
        lines.append(f'TEMPLATE """{CHATML}"""')
        before = rendered.removesuffix(SPOKEN)
        if before.startswith(SYSTEM) and before.endswith(CLOSE):  # what the template says where nobody does
            lines.append(f'SYSTEM """{before.removeprefix(SYSTEM).removesuffix(CLOSE)}"""')
    if tokenizer.eos_token:
        lines.append(f'PARAMETER stop "{tokenizer.eos_token}"')
    return "\n".join(lines) + "\n"
