"""`<think>…</think><answer>…</answer>`, the form of reasoning completions (DeepSeek-R1, 2025, table 1)."""

import re

ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
THINK_END = "</think>"


def answer_of(completion: str) -> str:
    """What stands in the last answer tags; without them what follows the reasoning; else the whole completion."""
    if found := ANSWER.findall(completion):
        return str(found[-1]).strip()
    return completion.rpartition(THINK_END)[2].strip()


def reasoning_of(completion: str) -> str:
    """What stands before the answer: inside the think tags where there are any."""
    before, end, _ = completion.partition(THINK_END)
    if not end:
        before = completion.partition("<answer>")[0]
    return before.removeprefix("<think>").strip()
