"""bitsandbytes, kept out of sight until a job asks for nf4.

PEFT imports it wherever it is installed, for every adapter: more than a second for each process, and a line on stderr.
A module that is None in `sys.modules` counts as not installed.
"""

import sys
from typing import Any

from peft import import_utils as peft
from transformers.utils import import_utils as transformers

NAME = "bitsandbytes"


def show() -> None:
    """Before the first use in a process. Nobody may remember that it was not there."""
    modules: dict[str, Any] = sys.modules
    if modules.get(NAME, NAME) is None:
        del modules[NAME]
    for answer in (
        peft.is_bnb_available,
        peft.is_bnb_4bit_available,
        transformers.is_bitsandbytes_available,
    ):
        answer.cache_clear()
