"""Ids: a prefix that says what the thing is, then 24 random letters and digits (142 bits)."""

import secrets
import string
from typing import Literal

ALPHABET = string.ascii_letters + string.digits
Prefix = Literal["proj_", "key_", "file-", "ftjob-", "ftevent-", "ftckpt_", "chatcmpl-", "cmpl-", "req_"]


def new(prefix: Prefix) -> str:
    return prefix + "".join(secrets.choice(ALPHABET) for _ in range(24))
