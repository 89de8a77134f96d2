"""Whether training moves the adapter: which of its matrices had a gradient, and which have changed since the start."""

import hashlib
from dataclasses import dataclass
from typing import Any

import torch

NAMED = 10  # matrices that a report names


@dataclass(frozen=True)
class Counts:
    """steps: optimizer steps. teaching: those with a learning rate above 0 and a gradient above 0. had: for each
    matrix, whether one of these had a gradient for it.
    """

    steps: int = 0
    teaching: int = 0
    had: str = ""  # 0 or 1 a matrix, in the order of their names
    largest: float = 0.0  # norm of a matrix's gradient

    def to_json(self) -> dict[str, Any]:
        return dict(self.__dict__)


class Watch:
    """Looks at every step of an optimizer, whoever takes it.

    B begins at 0, so that A has no gradient in the first step that teaches: only from the second one on must it move.
    """

    def __init__(self, network: torch.nn.Module) -> None:
        """Before anything is trained or restored: what the weights are now is what they move away from."""
        found = sorted((name, tensor) for name, tensor in network.named_parameters() if tensor.requires_grad)
        self.names = [name for name, _ in found]
        self.tensors = [tensor for _, tensor in found]
        self.digests = [digest(tensor) for tensor in self.tensors]
        self.steps = 0
        self.before = Counts()
        device = self.tensors[0].device if self.tensors else torch.device("cpu")
        self.teaching = torch.zeros((), dtype=torch.long, device=device)  # read at the end only: no step waits for it
        self.had_M = torch.zeros(len(self.tensors), dtype=torch.bool, device=device)
        self.largest = torch.zeros((), device=device)
        self.hook: Any = None

    def follow(self, optimizer: Any) -> None:
        """From its next step on. optimizer: torch's own, or accelerate's around it."""
        if self.hook is not None:
            self.hook.remove()
        inner = getattr(optimizer, "optimizer", optimizer)
        self.hook = inner.register_step_pre_hook(self.look)

    @torch.no_grad()
    def look(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        known = [(number, tensor.grad) for number, tensor in enumerate(self.tensors) if tensor.grad is not None]
        self.steps += 1
        if not known or not any(float(group["lr"]) > 0 for group in optimizer.param_groups):
            return
        norms_K = torch.stack(torch._foreach_norm([grad.float() for _, grad in known])).to(self.had_M.device)
        above_K = norms_K > 0
        places = torch.tensor([number for number, _ in known], device=self.had_M.device)
        self.had_M[places] |= above_K
        self.teaching += above_K.any().long()
        self.largest = torch.maximum(self.largest, norms_K.max())

    def counts(self) -> Counts:
        own = self.had_M.tolist()
        earlier = self.before.had if len(self.before.had) == len(own) else "0" * len(own)
        had = "".join(str(int(now or then == "1")) for now, then in zip(own, earlier, strict=True))
        largest = max(self.before.largest, float(self.largest))
        return Counts(self.before.steps + self.steps, self.before.teaching + int(self.teaching), had, largest)

    def restore(self, counts: dict[str, Any]) -> None:
        """What an earlier process counted, up to the checkpoint that the run goes on from."""
        self.before = Counts(**counts)

    def found(self, counts: Counts) -> dict[str, Any]:
        """Of the weights as they are now, which `counts` led to."""
        had = counts.had or "0" * len(self.names)
        moved = [digest(tensor) != before for tensor, before in zip(self.tensors, self.digests, strict=True)]
        finite = [bool(torch.isfinite(tensor).all()) for tensor in self.tensors]
        due = [counts.teaching >= (2 if "lora_A" in name or "embedding" in name else 1) for name in self.names]
        still = [name for name, one, has in zip(self.names, moved, had, strict=True) if has == "1" and not one]
        idle = [name for name, has, must in zip(self.names, had, due, strict=True) if has == "0" and must]
        broken = [name for name, ok in zip(self.names, finite, strict=True) if not ok]
        return {
            "matrices": len(self.names),
            "moved": sum(moved),
            "not_moved": {"matrices": len(still), "first": still[:NAMED]},
            "without_gradient": {"matrices": len(idle), "first": idle[:NAMED]},
            "not_finite": {"matrices": len(broken), "first": broken[:NAMED]},
            "optimizer_steps": counts.steps,
            "steps_with_gradient": counts.teaching,
            "largest_gradient": counts.largest,
        }


def digest(tensor: torch.Tensor) -> bytes:
    plain = tensor.detach().float().cpu().contiguous()
    return hashlib.blake2b(plain.numpy().tobytes(), digest_size=16).digest()
