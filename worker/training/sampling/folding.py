"""An adapter added into its base's weights for a while: decoding then costs what the base alone costs."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from peft import PeftModel
from peft.tuners.lora import Linear


@contextmanager
def folded(network: PeftModel) -> Iterator[None]:
    """The active adapter's product in the weights, the adapter off; afterwards every weight is what it was, to the bit.

    PEFT's own merge is undone by subtraction, which leaves rounding behind. Only for float32 weights: in 16 bits, or
    4, the sum would lose the small updates, and nothing changes here. Needs memory for the layers' weights once more.
    """
    adapter = network.active_adapter
    layers = [
        module
        for module in network.modules()
        if isinstance(module, Linear) and adapter in module.lora_A and not module.disable_adapters
    ]
    if not layers or any(layer.get_base_layer().weight.dtype != torch.float32 for layer in layers):
        yield
        return
    kept = [layer.get_base_layer().weight.data for layer in layers]
    with torch.no_grad():
        sums = [
            weight + layer.get_delta_weight(adapter)  # type: ignore[no-untyped-call]
            for weight, layer in zip(kept, layers, strict=True)
        ]
    try:
        for layer, weight in zip(layers, sums, strict=True):
            layer.get_base_layer().weight.data = weight
        with network.disable_adapter():
            yield
    finally:
        for layer, weight in zip(layers, kept, strict=True):
            layer.get_base_layer().weight.data = weight
