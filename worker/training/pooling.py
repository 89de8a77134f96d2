"""A reward model's score is read at the last token of each row, whatever the base model pads with.

transformers' own networks look for the last token that is not the padding token. Many base models pad with the token
that ends a response, which is the very token the score belongs to. The attention mask says where a row ends.
"""

from typing import Any

from torch import Tensor, arange
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from fettle.errors import TrainingFailed

HEAD = "score"  # what an adapter of ours holds, and the engine reads


def at_last_token(network: PreTrainedModel) -> PreTrainedModel:
    """The same network for sequence classification. Raises TrainingFailed when its head is none that we know."""
    if not hasattr(network, HEAD):
        raise TrainingFailed(
            "reward_model_unsupported",
            f"{type(network).__name__} has no layer {HEAD!r} to score with: train the reward model on another base.",
            "model",
        )

    def forward(input_ids: Tensor, attention_mask: Tensor, **_: Any) -> SequenceClassifierOutput:
        """Rows are padded on the right. logits: B1."""
        body = network.base_model
        hidden_BTD = body(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).last_hidden_state
        rows_B = arange(len(input_ids), device=hidden_BTD.device)
        last_B = attention_mask.sum(dim=1) - 1
        return SequenceClassifierOutput(logits=getattr(network, HEAD)(hidden_BTD[rows_B, last_B]))

    setattr(network, "forward", forward)  # noqa: B010 — of this one network
    return network
