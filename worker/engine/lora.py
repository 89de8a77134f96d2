"""LoRA for rows that want different adapters: y = Wx + BAx with each row's own A and B (Hu et al. 2021), in one batch.

Every linear layer of a base is a `MixedLinear`. Before a forward pass its `Routing` is told who sits in which row. Rows
are gathered by adapter and multiplied group by group (bmm), as Punica (arXiv 2310.18547) does in one kernel, so no
row ever meets another tenant's weights: what is wrong with an adapter stays in its own rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from worker.engine import packing

Pair = tuple[Tensor, Tensor]  # A_DR and B_RO, transposed for x @ A @ B; the adapter's scaling is in B
Lora = Mapping[str, Pair]  # by the name of the linear layer


@dataclass(frozen=True)
class Stacks:
    """The weights of G adapters side by side, by layer: A_GDR and B_GRO; smaller ranks are filled up with zeros."""

    slots: tuple[str, ...]
    pairs: Mapping[str, Pair]


def stacked(loras: Mapping[str, Lora]) -> Stacks:
    """loras: by slot. A layer that an adapter leaves alone is zero for it."""
    names = {name: pair for lora in loras.values() for name, pair in lora.items()}
    pairs = {}
    for name, (any_A_DR, any_B_RO) in names.items():
        own = [lora.get(name) for lora in loras.values()]
        rank = max(pair[0].shape[1] for pair in own if pair is not None)
        if len(own) == 1:
            pairs[name] = (any_A_DR[None], any_B_RO[None])
            continue
        alike = [pair for pair in own if pair is not None and pair[0].shape[1] == rank]
        if len(alike) == len(own):  # as it mostly is: two copies of everything, and not two for each adapter
            pairs[name] = (torch.stack([A_DR for A_DR, _ in alike]), torch.stack([B_RO for _, B_RO in alike]))
            continue
        A_GDR = any_A_DR.new_zeros(len(own), any_A_DR.shape[0], rank)
        B_GRO = any_B_RO.new_zeros(len(own), rank, any_B_RO.shape[1])
        for group, pair in enumerate(own):
            if pair is not None:
                A_GDR[group, :, : pair[0].shape[1]] = pair[0]
                B_GRO[group, : pair[1].shape[0]] = pair[1]
        pairs[name] = (A_GDR, B_GRO)
    return Stacks(tuple(loras), pairs)


@dataclass(frozen=True)
class LoraPlan:
    """Which rows of a batch go to which group of `stacks`.

    gather_GM: rows by group; groups with fewer than M rows repeat one. scatter_K: where, among the G·M results, those
    of the K rows rows_K lie. All three are None when the batch is G groups of M rows already, in order.
    """

    stacks: Stacks
    groups: int
    gather_GM: Tensor | None
    scatter_K: Tensor | None
    rows_K: Tensor | None

    def add(self, y_BTO: Tensor, x_BTD: Tensor, pair: Pair) -> Tensor:
        """y plus what each row's adapter adds. Changes y in place."""
        A_GDR, B_GRO = pair
        D = x_BTD.shape[-1]
        if self.gather_GM is None or self.scatter_K is None or self.rows_K is None:
            x_GND = x_BTD.reshape(self.groups, -1, D)
            y_GNO = y_BTO.view(self.groups, x_GND.shape[1], -1)
            y_GNO.baddbmm_(torch.bmm(x_GND, A_GDR), B_GRO)
            return y_BTO
        x_GND = x_BTD.index_select(0, self.gather_GM).view(self.groups, -1, D)
        delta_GNO = torch.bmm(torch.bmm(x_GND, A_GDR), B_GRO)
        delta_KTO = delta_GNO.view(self.gather_GM.shape[0], *y_BTO.shape[1:]).index_select(0, self.scatter_K)
        return y_BTO.index_add_(0, self.rows_K, delta_KTO)


def plan(slots_B: Sequence[str | None], loras: Mapping[str, Lora], before: LoraPlan | None) -> LoraPlan | None:
    """How to compute a batch whose row b wants slots_B[b]; None when all want the base.

    before: the plan of the last step, whose stacked weights are used again if the adapters are the same. Raises
    KeyError for a slot that nobody sits in: the base never answers in an adapter's place.
    """
    rows: dict[str, list[int]] = {}
    for row, slot in enumerate(slots_B):
        if slot is not None:
            rows.setdefault(slot, []).append(row)
    if not rows:
        return None
    if before is not None and before.stacks.slots == tuple(sorted(rows)):
        stacks = before.stacks
    else:
        stacks = stacked({slot: loras[slot] for slot in sorted(rows)})
    members = [rows[slot] for slot in stacks.slots]
    most = max(len(group) for group in members)
    wanted = [row for group in members for row in group]
    if wanted == list(range(len(slots_B))) and all(len(group) == most for group in members):
        return LoraPlan(stacks, len(members), None, None, None)
    device = next(iter(stacks.pairs.values()))[0].device

    def indices(values: list[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.long, device=device)

    gather = [row for group in members for row in group + group[:1] * (most - len(group))]
    scatter = [number * most + place for number, group in enumerate(members) for place in range(len(group))]
    return LoraPlan(stacks, len(members), indices(gather), indices(scatter), indices(wanted))


@dataclass
class Routing:
    """What the layers of one base are to add in the forward pass that is about to run."""

    plan: LoraPlan | None = field(default=None)


class MixedLinear(nn.Linear):
    """A linear layer that adds each row's own adapter."""

    packed: Tensor | None = None

    def __init__(self, linear: nn.Linear, name: str, routing: Routing) -> None:
        nn.Module.__init__(self)  # the weights are there already
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, self.bias = linear.weight, linear.bias
        self.name, self.routing = name, routing

    def pack(self) -> None:
        """Keeps the weight in the order that this CPU reads fastest, and in no other, unless an embedding shares it.

        An embedding looks up single rows, which a packed weight does not have; without packing, a step's product with
        SmolLM2's tied LM head took twice as long (16 rows, fp32).
        """
        self.packed = packing.packed(self.weight)
        if self.packed is not None:
            self.weight = nn.Parameter(self.weight.to("meta"), requires_grad=False)  # whoever reads it gets an error

    def forward(self, input: Tensor) -> Tensor:
        if self.packed is None:
            y_BTO = functional.linear(input, self.weight, self.bias)
        else:
            y_BTO = packing.linear(input, self.packed, self.bias)
        plan = self.routing.plan
        if plan is None or (pair := plan.stacks.pairs.get(self.name)) is None:
            return y_BTO
        return plan.add(y_BTO, input, pair)
