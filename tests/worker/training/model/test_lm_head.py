"""TRL's fused LM head with and without our patch. A new TRL must pass here before it is pinned."""

import inspect

import pytest
import torch
import trl
from trl.kernels import chunked_logprob
from trl.trainer import utils

from fettle.registry.catalog import STARTER
from tests.worker.training.networks import adapted
from worker.training.model import lm_head

pytestmark = pytest.mark.slow  # torch and TRL take seconds to import

IDS_BT = torch.arange(3, 43).reshape(2, 20)
LABELS_BT = torch.where(torch.arange(20) > 12, IDS_BT, -100)


def test_trl_still_asks_where_we_answer() -> None:
    assert trl.__version__ == "1.16.0", "read add_fused_lm_head again, then pin this version here too"
    source = inspect.getsource(utils.add_fused_lm_head)
    assert "compact = _use_triton(hidden_states.device)" in source
    assert lm_head.has_triton is chunked_logprob._use_triton  # which the kernels themselves go on asking


def losses_and_gradients() -> tuple[float, list[torch.Tensor], list[int]]:
    """(loss, gradient of every trained weight, positions that each call of the kernel scored)"""
    network = adapted(STARTER, fused=True)
    scored: list[int] = []
    kernel = utils._ChunkedLogProbFunction.apply
    utils._ChunkedLogProbFunction.apply = lambda hidden, *rest: (scored.append(len(hidden)), kernel(hidden, *rest))[1]
    try:
        outputs = network(input_ids=IDS_BT, labels=LABELS_BT, use_cache=False, fused_lm_head=True)
    finally:
        utils._ChunkedLogProbFunction.apply = kernel
    outputs.loss.backward()
    gradients = [tensor.grad for tensor in network.parameters() if tensor.grad is not None]
    return outputs.loss.item(), gradients, scored


def test_on_a_cpu_only_labelled_positions_are_scored_and_nothing_else_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(utils, "_use_triton", lm_head.has_triton)
    loss, gradients, scored = losses_and_gradients()
    lm_head.score_labels_only()
    patched_loss, patched_gradients, patched_scored = losses_and_gradients()
    assert (scored, patched_scored) == ([2 * 19], [2 * 7])
    assert patched_loss == pytest.approx(loss, rel=1e-6)
    assert len(gradients) == len(patched_gradients) == 2 * 7 * 4
    largest = max(gradient.abs().max() for gradient in gradients)
    assert largest > 0
    for gradient, patched in zip(gradients, patched_gradients, strict=True):
        assert (gradient - patched).abs().max() < 1e-5 * largest


def test_other_devices_are_left_to_trl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lm_head, "has_triton", lambda device: device.type == "cuda")
    assert [lm_head.wants_labels_only(torch.device(name)) for name in ("cpu", "cuda", "mps")] == [True, True, False]
