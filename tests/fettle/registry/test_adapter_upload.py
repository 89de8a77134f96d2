"""What of an uploaded adapter is refused, with the reason."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from fettle.errors import InvalidRequest
from fettle.registry import adapter_upload
from fettle.registry.adapter_upload import Base
from fettle.registry.adapter_weights import PREFIX, A, B
from fettle.registry.catalog import STARTER

CONFIG, WEIGHTS = adapter_upload.FILES
OTHERS = {"qwen": "Qwen/Qwen3-0.6B"}
BASE = Base("starter", STARTER, None, OTHERS)
RANK = 4
Files = dict[str, bytes]


def adapter(layers: tuple[str, ...] = ("q_proj",), **config: Any) -> Files:
    """As PEFT saves it: on these layers of every block."""
    linears = adapter_upload.linear_layers(STARTER)
    tensors = {}
    for name, (rows, columns) in linears.items():
        if name.rpartition(".")[2] in layers:
            tensors[PREFIX + name + A] = np.ones((RANK, columns), np.float32)
            tensors[PREFIX + name + B] = np.ones((rows, RANK), np.float16)
    known = {"peft_type": "LORA", "r": RANK, "lora_alpha": 8, "lora_dropout": 0.1, "bias": "none", **config}
    return {CONFIG: json.dumps(known).encode(), WEIGHTS: save(tensors)}


def zipped(files: Files, within: str = "") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(within + name, content)
    return out.getvalue()


def take(tmp_path: Path, files: Files, base: Base = BASE) -> dict[str, Any]:
    sources = {}
    for number, (name, content) in enumerate(files.items()):
        sources[name] = tmp_path / str(number)
        sources[name].write_bytes(content)
    return adapter_upload.take(sources, tmp_path / "adapter", base)


def changed(change: Callable[[dict[str, Any]], Any]) -> Files:
    files = adapter()
    tensors = load(files[WEIGHTS])
    change(tensors)
    return {**files, WEIGHTS: save({name: np.ascontiguousarray(each) for name, each in tensors.items()})}


@pytest.mark.parametrize("within", ["", "my-adapter/"])
def test_a_zip_is_taken_without_what_is_not_the_adapters(within: str, tmp_path: Path) -> None:
    files = adapter()
    extra = {"training_args.bin": b"\x80\x04K\x01.", "README.md": b"x", "chat_template.jinja": b"another"}
    found = take(tmp_path, {"my.zip": zipped(files | extra, within)})
    assert {path.name: path.read_bytes() for path in (tmp_path / "adapter").iterdir()} == files
    assert sorted(found["left_out"]) == sorted(within + name for name in extra)
    assert "another chat template" in found["notes"][0]
    assert found["kind"] == "chat"
    assert found["lora"] == {
        "rank": RANK,
        "alpha": 8,
        "dropout": 0.1,
        "use_rslora": False,
        "target_modules": ["q_proj"],
    }


def test_the_two_files_are_taken(tmp_path: Path) -> None:
    assert take(tmp_path, adapter(("q_proj", "down_proj")))["lora"]["target_modules"] == ["down_proj", "q_proj"]


@pytest.mark.parametrize("dropout", ["much", float("nan"), 7, -1.0, None])
def test_a_dropout_that_no_job_could_have_is_none(dropout: Any, tmp_path: Path) -> None:
    assert take(tmp_path, adapter(lora_dropout=dropout))["lora"]["dropout"] == 0.0


def test_an_adapter_of_some_blocks_is_served_but_no_job_goes_on_from_it(tmp_path: Path) -> None:
    files = changed(lambda tensors: [tensors.pop(name) for name in list(tensors) if ".layers.0." not in name])
    assert take(tmp_path, files)["lora"] is None


def nan(tensors: dict[str, Any], kind: Any, value: float) -> None:
    name = next(name for name in tensors if name.endswith(B))
    tensors[name] = tensors[name].astype(kind)
    tensors[name][-1, -1] = value


WHOLE = zipped(adapter())
DAMAGED = WHOLE[:60] + b"\xff" * 9 + WHOLE[69:]
REFUSED: dict[str, tuple[Files, str]] = {
    "NaN": (changed(lambda t: nan(t, np.float32, np.nan)), "are not numbers"),
    "infinity in half precision": (changed(lambda t: nan(t, np.float16, -np.inf)), "are not numbers"),
    "doubles": (changed(lambda t: nan(t, np.float64, 1)), "has the type F64. Save the adapter as one of: F32"),
    "no B": (changed(lambda t: t.pop(next(n for n in t if n.endswith(B)))), "is incomplete"),
    "another base's width": (
        changed(lambda t: t.update({name: each[:, :-1] for name, each in t.items() if name.endswith(A)})),
        "has the shape (4, 191), but the base model needs (4, 192)",
    ),
    "a layer that the base does not have": (
        changed(lambda t: t.update({PREFIX + "model.layers.99.self_attn.q_proj" + A: np.ones((4, 192), np.float32)})),
        "the base model has no linear layer for",
    ),
    "an embedding": (
        changed(lambda t: t.update({"base_model.model.model.embed_tokens.weight": np.ones((4, 4), np.float32)})),
        "the base model has no linear layer for",
    ),
    "another method": (adapter(peft_type="IA3"), "sets 'peft_type' to 'IA3'"),
    "DoRA": (adapter(use_dora=True), "sets 'use_dora' to true, which is not supported"),
    "trained layers beside it": (adapter(modules_to_save=["lm_head"]), "sets 'modules_to_save'"),
    "too high a rank": (adapter(r=129), "'r' is 129, but the limit is 128"),
    "alpha without a value": (adapter(lora_alpha=float("nan")), "must be numbers"),
    "an alpha beyond all numbers": (adapter(lora_alpha=10**400), "must be numbers"),
    "a head that is not a list": (adapter(task_type="SEQ_CLS", modules_to_save=5), "sets 'modules_to_save' to 5"),
    "another base of ours": (adapter(base_model_name_or_path="qwen"), "which is the base model 'qwen' here"),
    "another base on the hub": (
        adapter(base_model_name_or_path="Qwen/Qwen3-0.6B"),
        "'Qwen/Qwen3-0.6B', which is the base model 'qwen' here, not 'starter'. Send it with the base model 'qwen'",
    ),
    "no configuration": ({WEIGHTS: b""}, f"{CONFIG} is missing; the upload has {WEIGHTS}"),
    "a pickle": ({CONFIG: b"{}", "adapter_model.bin": b"\x80"}, "adapter_model.bin is a pickle"),
    "a pickle in a zip": ({"a.zip": zipped({CONFIG: b"{}", "adapter_model.bin": b"\x80"})}, "is a pickle"),
    "a pickle by the right name": ({CONFIG: adapter()[CONFIG], WEIGHTS: b"\x80\x04K\x01."}, "not a safetensors file"),
    "a cut file": ({**adapter(), WEIGHTS: adapter()[WEIGHTS][:-1]}, "not a safetensors file"),
    "a configuration that is none": ({**adapter(), CONFIG: b"[1]"}, "is not a LoRA configuration"),
    "a long configuration": ({**adapter(), CONFIG: b" " * (1 << 21)}, "has more than 1,048,576 bytes"),
    "a cut zip": ({"a.zip": zipped(adapter())[:-40]}, "is missing; the upload has a.zip"),
    "a damaged zip": (
        {"a.zip": zipped(adapter())[:60] + b"\xff" * 9 + zipped(adapter())[69:]},
        "not a zip file that can be read",
    ),
    "an empty zip": ({"a.zip": zipped({})}, "the upload has no file"),
    "two adapters": (
        {"a.zip": zipped({f"{where}/{name}": each for where in "ab" for name, each in adapter().items()})},
        "The zip has 2 adapters: a, b",
    ),
    "something else": ({"a.tar.gz": b"\x1f\x8b"}, "Send a zip of the folder"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_served_is_refused_with_the_reason(case: str, tmp_path: Path) -> None:
    files, told = REFUSED[case]
    with pytest.raises(InvalidRequest) as raised:
        take(tmp_path, files)
    assert told in raised.value.message
    assert (raised.value.code, raised.value.param) == ("adapter_rejected", "files")


@pytest.mark.parametrize(
    ("trained_on", "same"),
    [
        ("Qwen/Qwen3-0.6B", True),
        ("unsloth/Qwen3-0.6B-unsloth-bnb-4bit", True),
        ("mirror/qwen3-0.6b", True),
        ("/home/ann/qwen", True),
        ("Qwen/Qwen3-0.6B-Base", False),
        ("meta-llama/Llama-3.2-1B", False),
    ],
)
def test_a_base_is_told_by_its_name_on_the_hub(trained_on: str, same: bool, tmp_path: Path) -> None:
    base = Base("small", STARTER, "Qwen/Qwen3-0.6B", {})
    files = adapter(base_model_name_or_path=trained_on)
    if same:
        assert len(take(tmp_path, files, base)["notes"]) == (trained_on != base.hub)
        return
    with pytest.raises(InvalidRequest, match=r"but 'small' is 'Qwen/Qwen3-0\.6B'"):
        take(tmp_path, files, base)


def test_a_file_that_unpacks_to_more_than_an_adapter_has_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter_upload, "BYTES_AT_MOST", 1 << 20)
    files = {**adapter(), WEIGHTS: bytes(5 << 20)}
    with pytest.raises(InvalidRequest, match="has more than 1,048,576 bytes, which is the limit"):
        take(tmp_path, {"a.zip": zipped(files)})
    assert (tmp_path / "adapter" / WEIGHTS).stat().st_size <= 1 << 20


def test_bfloat16_is_looked_at_by_its_bits(tmp_path: Path) -> None:
    """numpy has no bfloat16: the header is changed by hand, from float16 of the same size."""
    files = adapter()
    tensors = load(files[WEIGHTS])
    for value, fine in ((0x3F80, True), (0x7F80, False), (0xFFC0, False)):
        bits = {name: np.full(each.shape, 0x3F80, np.uint16).view(np.float16) for name, each in tensors.items()}
        next(iter(bits.values())).view(np.uint16)[0, 0] = value
        content = save(bits).replace(b'"F16"', b'"BF16"')
        grown = content.count(b'"BF16"')  # bytes of the header, which is as long as its padding to 8 lets it be
        size = int.from_bytes(content[:8], "little") + grown
        header = content[8 : 8 + size] + b" " * (-size % 8)
        weights = (size + -size % 8).to_bytes(8, "little") + header + content[8 + size :]
        folder = tmp_path / str(value)
        folder.mkdir()
        if fine:
            assert take(folder, {**files, WEIGHTS: weights})["rank"] == RANK
        else:
            with pytest.raises(InvalidRequest, match="are not numbers"):
                take(folder, {**files, WEIGHTS: weights})
