"""What a training child needs in memory: the forkserver imports it once, a child that is not forked for itself.

Nothing here touches CUDA or computes: neither CUDA nor torch's threads survive a fork. The starter's first optimizer
step on 800 rows ends 0.45 s of CPU time after the fork; a new process would need 5 s more.
"""

import gc
import os
import sys
import warnings
from typing import Any, cast

# Read when the libraries are imported, so they come first. The child has no business on any network; passive threads
# yield the core while they wait (two greedy threads on two busy cores were 9 times slower).
os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_WAIT_POLICY": "PASSIVE",
}
# None counts as not installed: TRL and transformers import what reports and what detects objects wherever they find it.
# A child needs neither. For bitsandbytes see `quantization`.
for name in ("bitsandbytes", "mlflow", "wandb", "scipy"):
    cast(dict[str, Any], sys.modules).setdefault(name, None)
warnings.simplefilter("ignore", FutureWarning)  # renames in the next major versions of what is pinned here

gc.disable()  # what is imported stays: to walk it again and again was a sixth of the work
from transformers import Qwen3ForCausalLM  # noqa: E402, F401 — the starter's; families are imported when first named
from transformers.conversion_mapping import get_checkpoint_conversion_mapping  # noqa: E402 — after what it reads

import worker.training.loop  # noqa: E402, F401 — torch, transformers, trl, peft and datasets come with it

get_checkpoint_conversion_mapping("qwen3")  # compiles 943 patterns, then keeps them
gc.collect()
gc.freeze()  # a collection in the child would walk, and so copy, a million objects: 0.3 s at the start
gc.enable()
