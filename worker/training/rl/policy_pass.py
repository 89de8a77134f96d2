"""How TRL's group trainers get log-probabilities and entropies: a prompt is read once for its completions."""

from typing import Any

import torch
from torch import Tensor

from worker.training.rl import shared_prompts
from worker.training.rl.sampling.completions import base_of

Pass = tuple[Tensor, Tensor | None, Tensor | None]  # logprobs_BT, entropy_BT and what a mixture of experts adds


class PolicyPass:
    """TRL's trainer comes after it. The members without a value are TRL's."""

    model: Any
    accelerator: Any

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: Tensor,
        attention_mask: Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        compute_aux_loss: bool = False,
        **options: Any,
    ) -> Pass:
        padded: Any = super()._get_per_token_logps_and_entropies  # type: ignore[misc]  # TRL's
        base = base_of(self.accelerator.unwrap_model(self.model))
        found: list[Pass] = []
        for rows in torch.split(torch.arange(len(input_ids), device=input_ids.device), batch_size or len(input_ids)):
            batch = (input_ids[rows], attention_mask[rows], logits_to_keep)
            layout = None if compute_aux_loss else shared_prompts.layout_of(base, *batch)
            if layout is None:
                found.append(padded(model, *batch, None, compute_entropy, compute_aux_loss, **options))
                continue
            with self.accelerator.autocast():
                output = model(**layout.inputs())
            entropy_BT = layout.by_completion(output.entropy) if compute_entropy else None
            found.append((layout.by_completion(output.log_probs), entropy_BT, None))
        logprobs, entropies, extra = zip(*found, strict=True)
        return (
            torch.cat(logprobs),
            torch.cat(entropies) if compute_entropy else None,
            torch.stack(extra).mean() if compute_aux_loss else None,
        )
