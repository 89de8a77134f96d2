"""An adapter added into its base's weights for a while: decoding then costs what the base alone costs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from peft import PeftModel
from peft.tuners.lora import Linear
from torch import nn


@contextmanager
def folded(network: PeftModel) -> Iterator[None]:
    """The active adapter's product in the weights, the adapter off; afterwards every weight is what it was, to the bit.

    PEFT's own merge is undone by subtraction, which leaves rounding behind. Only for float32 weights: in 16 bits, or
    4, the sum would lose the small updates, and nothing changes here. Needs memory for the layers' weights once more.
    """
    adapter = network.active_adapter
    linears = [
        module
        for module in network.modules()
        if isinstance(module, Linear) and adapter in module.lora_A and not module.disable_adapters
    ]
    weights = [cast(nn.Parameter, linear.get_base_layer().weight) for linear in linears]
    if not linears or any(weight.dtype != torch.float32 for weight in weights):
        yield
        return
    kept = [weight.data for weight in weights]
    with torch.no_grad():
        sums = [old + linear.get_delta_weight(adapter) for old, linear in zip(kept, linears, strict=True)]
    try:
        for weight, summed in zip(weights, sums, strict=True):
            weight.data = summed
        with network.disable_adapter():
            yield
    finally:
        for weight, old in zip(weights, kept, strict=True):
            weight.data = old
