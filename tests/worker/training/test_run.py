"""One whole run of a real child: what it says, what it leaves behind, and that both are true."""

import json
import math
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from fettle.datasets.formats.reading import conversations
from fettle.datasets.formats.render import Rendered, Renderer
from fettle.registry.catalog import STARTER
from tests.worker.training.children import Child, Line, Row, contents, of, rows, series, work_folder

pytestmark = pytest.mark.slow

EPOCHS, ROWS, VALID_ROWS = 4, 24, 8  # one batch of 24 rows an epoch: the first loss is the base model's on all of them
RATE = 5e-3


def unfamiliar(count: int, split: str) -> list[Row]:
    """What the base model would never say, so that there is something to learn."""
    return [row | {"completion": f"So it must be {row['answer']}!"} for row in rows(count, split)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Child:
    folder = tmp_path_factory.mktemp("run") / "work"
    work_folder(
        folder,
        unfamiliar(ROWS, "train"),
        unfamiliar(VALID_ROWS, "held_out"),
        n_epochs=EPOCHS,
        batch_size=ROWS,
        learning_rate=RATE,
    )
    return Child(folder)


@pytest.fixture(scope="module")
def heard(finished: Child) -> list[Line]:
    lines = finished.rest()
    assert finished.exit_code() == 0, lines
    return lines


def rendered(path: Path) -> list[Rendered]:
    renderer = Renderer(STARTER)
    return [renderer.render(conversation.messages) for _, conversation in conversations(path)]


def loss_and_accuracy(examples: list[Rendered], adapter: Path | None = None) -> tuple[float, float]:
    """Mean over supervised tokens, row by row without padding: an independent reckoning."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(STARTER, dtype=torch.float32)
    if adapter:
        network = PeftModel.from_pretrained(network, str(adapter))
    network.eval()
    losses: list[float] = []
    right = 0
    with torch.no_grad():
        for example in examples:
            ids_T = torch.tensor(example.ids)
            logprobs_TV = network(input_ids=ids_T[None]).logits[0].log_softmax(-1)
            for position, lesson in enumerate(example.supervised):
                if lesson and position:
                    losses.append(-logprobs_TV[position - 1, ids_T[position]].item())
                    right += int(logprobs_TV[position - 1].argmax() == ids_T[position])
    return sum(losses) / len(losses), right / len(losses)


def test_every_step_reports_its_metrics(heard: list[Line]) -> None:
    training = [line for line in of("metrics", heard) if "valid_loss" not in line["data"]]
    assert [(line["step"], line["total_steps"]) for line in training] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    names = {"train_loss", "train_mean_token_accuracy", "learning_rate", "grad_norm", "epoch", "tokens"}
    names |= {"tokens_per_second"}
    assert all(line["data"].keys() == names for line in training)
    assert [line["data"]["epoch"] for line in training] == [1, 2, 3, 4]


def test_the_loss_falls(heard: list[Line]) -> None:
    steps = series(heard)
    assert steps[4]["train_loss"] < 0.9 * steps[1]["train_loss"]
    assert steps[4]["valid_loss"] < 0.9 * steps[1]["valid_loss"]


def test_the_first_loss_is_the_base_models_on_the_completions(finished: Child, heard: list[Line]) -> None:
    loss, accuracy = loss_and_accuracy(rendered(finished.folder / "train"))
    first = series(heard)[1]
    assert first["train_loss"] == pytest.approx(loss, rel=1e-4)
    assert first["train_mean_token_accuracy"] == pytest.approx(accuracy, abs=1e-6)


def test_the_published_adapter_has_the_validation_loss_that_was_reported(finished: Child, heard: list[Line]) -> None:
    examples = rendered(finished.folder / "valid")
    loss, accuracy = loss_and_accuracy(examples, finished.folder / "out" / "adapter")
    last = series(heard)[4]
    assert last["valid_loss"] == pytest.approx(loss, rel=1e-4)
    assert last["valid_mean_token_accuracy"] == pytest.approx(accuracy, abs=1e-6)
    assert loss != pytest.approx(loss_and_accuracy(examples)[0], rel=1e-3)


def test_the_learning_rate_warms_up_and_then_follows_a_cosine(heard: list[Line]) -> None:
    """5 % of 4 steps rounds up to one, half way up; three steps of decay are left."""
    rates = [step["learning_rate"] for step in series(heard).values()]
    assert rates == pytest.approx([RATE / 2, *(RATE * 0.5 * (1 + math.cos(math.pi * step / 3)) for step in range(3))])


def test_tokens_are_counted_without_padding_and_over_all_epochs(finished: Child, heard: list[Line]) -> None:
    tokens = sum(len(example.ids) for example in rendered(finished.folder / "train"))
    assert [step["tokens"] for step in series(heard).values()] == [tokens, 2 * tokens, 3 * tokens, 4 * tokens]
    assert heard[-1]["trained_tokens"] == 4 * tokens


def test_events_say_what_was_loaded_and_tokenised(finished: Child, heard: list[Line]) -> None:
    train, valid, _, base, _ = (line["data"] for line in of("event", heard))
    examples = rendered(finished.folder / "train")
    assert train == {
        "rows": ROWS,
        "tokens": sum(len(example.ids) for example in examples),
        "supervised_tokens": sum(sum(example.supervised) for example in examples),
        "longest_row_tokens": max(len(example.ids) for example in examples),
        "rows_too_long": 0,
        "rows_without_completion": 0,
    }
    assert valid["rows"] == VALID_ROWS
    # rank 8 × (inputs + outputs) of q, k, v, o, gate, up, down in 4 layers
    layer = (192 + 192) + 2 * (192 + 64) + (192 + 192) + 2 * (192 + 512) + (512 + 192)
    assert base == {"parameters": 1_669_312, "trainable_parameters": 8 * 4 * layer}


def test_every_epoch_ends_with_validation_and_then_its_checkpoint(heard: list[Line]) -> None:
    kinds = [
        "valid" if "valid_loss" in line.get("data", {}) else line["type"] for line in heard if line["type"] != "event"
    ]
    assert kinds == ["metrics", "valid", "checkpoint"] * EPOCHS + ["evaluation", "done"]
    assert all("train_loss" in line["data"] for line in of("metrics", heard))  # plots for OpenAI read it in each
    for line in of("checkpoint", heard):
        names = ("train_loss", "train_mean_token_accuracy", "valid_loss", "valid_mean_token_accuracy")
        expected = {name: series(heard)[line["step"]][name] for name in names} | {"step": line["step"]}
        assert line == {
            "type": "checkpoint",
            "step": line["step"],
            "path": f"out/checkpoint-{line['step']}",
            "metrics": expected,
        }


def test_the_evaluation_compares_the_base_with_what_is_published(finished: Child, heard: list[Line]) -> None:
    examples = rendered(finished.folder / "valid")
    base, base_accuracy = loss_and_accuracy(examples)
    tuned, tuned_accuracy = loss_and_accuracy(examples, finished.folder / "out" / "adapter")
    (line,) = of("evaluation", heard)
    found = line["data"]
    assert (found["step"], found["rows"], found["rows_in_file"]) == (4, VALID_ROWS, VALID_ROWS)
    assert found["supervised_tokens"] == sum(sum(example.supervised[1:]) for example in examples)
    assert found["base"]["loss"] == pytest.approx(base, rel=1e-4)
    assert found["base"]["perplexity"] == pytest.approx(math.exp(base), rel=1e-3)
    assert found["base"]["token_accuracy"] == pytest.approx(base_accuracy, abs=1e-6)
    assert found["tuned"]["loss"] == pytest.approx(tuned, rel=1e-4)
    assert found["tuned"]["token_accuracy"] == pytest.approx(tuned_accuracy, abs=1e-6)


def test_the_evaluation_shows_what_both_say_to_a_few_prompts(finished: Child, heard: list[Line]) -> None:
    (line,) = of("evaluation", heard)
    samples = line["data"]["samples"]
    given = {row["prompt"]: row["completion"] for row in unfamiliar(VALID_ROWS, "held_out")}
    assert len(samples) == min(8, VALID_ROWS)
    for sample in samples:
        (turn,) = sample["prompt"]
        assert (turn["role"], sample["expected"]) == ("user", given[turn["content"]])
        assert sample["base"].endswith("</answer>")  # as the starter was taught, in either of its two ways
    exact = sum(sample["tuned"].strip() == sample["expected"] for sample in samples) / len(samples)
    assert line["data"]["tuned"]["exact_match"] == exact
    assert line["data"]["base"]["exact_match"] == 0


def test_done_names_the_adapter(heard: list[Line]) -> None:
    assert heard[-1]["type"] == "done"
    assert (heard[-1]["path"], heard[-1]["step"], heard[-1]["kept_step"]) == ("out/adapter", 4, 4)


def test_the_adapter_holds_what_serves_it_and_nothing_else(finished: Child, heard: list[Line]) -> None:
    files = contents(finished.folder / "out" / "adapter")
    tokenizer = {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}
    assert files.keys() == {"adapter_config.json", "adapter_model.safetensors"} | tokenizer
    assert all(files[name] == (STARTER / name).read_bytes() for name in tokenizer)
    config = json.loads(files["adapter_config.json"])
    assert (config["base_model_name_or_path"], config["r"], config["lora_alpha"]) == ("starter", 8, 16)
    assert config["task_type"] == "CAUSAL_LM"
    assert len(config["target_modules"]) == 7


def test_a_checkpoint_holds_what_resuming_needs(finished: Child, heard: list[Line]) -> None:
    expected = {
        *("adapter_config.json", "adapter_model.safetensors"),
        *("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"),
        *("optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", "progress.json"),
    }
    for step in (1, 2, 3, 4):
        files = contents(finished.folder / "out" / f"checkpoint-{step}")
        assert files.keys() == expected
        assert json.loads(files["adapter_config.json"])["base_model_name_or_path"] == "starter"


def files_of(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def test_no_file_that_leaves_knows_a_path_of_this_machine(finished: Child, heard: list[Line]) -> None:
    paths = [str(STARTER).encode(), str(finished.folder).encode()]
    knowing = [path.name for path in files_of(finished.folder / "out") if any(p in path.read_bytes() for p in paths)]
    assert knowing == []


def test_every_file_that_leaves_can_be_read_by_all(finished: Child, heard: list[Line]) -> None:
    modes = {stat.S_IMODE(path.stat().st_mode) for path in files_of(finished.folder / "out")}
    assert modes == {0o644}


def test_nothing_but_checkpoints_and_the_adapter_is_left(finished: Child, heard: list[Line]) -> None:
    names = {path.name for path in (finished.folder / "out").iterdir()}
    assert names == {"adapter", "checkpoint-1", "checkpoint-2", "checkpoint-3", "checkpoint-4"}


def test_a_good_run_has_an_empty_log(finished: Child, heard: list[Line]) -> None:
    assert finished.log == ""
