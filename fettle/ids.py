"""Ids: a prefix that says what the thing is, then 24 random letters and digits (142 bits)."""

import secrets
import string
from typing import Literal

ALPHABET = string.ascii_letters + string.digits
LENGTH = 24
Prefix = Literal[
    "proj_",
    "audit_log-",
    "key_",
    "file-",
    "upload_",
    "part_",
    "batch_",
    "batch_req_",
    "ftjob-",
    "ftevent-",
    "ftckpt_",
    "adapter_",
    "cp_",
    "rollouts-",
    "grading_",
    "rewfn_",
    "cmp_",
    "cmpitem_",
    "cmpresp_",
    "annot_",
    "vote_",
    "session_",
    "chatcmpl-",
    "cmpl-",
    "resp_",
    "msg_",
    "req_",
    "call_",
    "fc_",
    "eval_",
    "evalrun_",
    "outputitem_",
    "evt_",
    "whep_",
    "whd_",
]


def new(prefix: Prefix) -> str:
    number, letters = secrets.randbelow(len(ALPHABET) ** LENGTH), ""  # asks the system once, not for each letter
    for _ in range(LENGTH):
        number, rest = divmod(number, len(ALPHABET))
        letters += ALPHABET[rest]
    return prefix + letters
