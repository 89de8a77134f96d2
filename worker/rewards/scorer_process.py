"""`python -m worker.rewards.scorer_process` is one job's scorer: rewards and the sandbox run here.

JSON lines on stdin: {"version", "graders", "models", "limits", "engine", "patience", "rollouts"}; for each one on
stdout: {"scores", "sandbox"} in the batch's order and what held user code, or {"error", "code"} when the graders cannot
be opened. The end of stdin is its end.
"""

import ctypes
import os
import signal
import sys
from contextlib import ExitStack
from typing import Any

import orjson

from fettle.rewards.graders import Graders
from fettle.rewards.samples import Sample, Score
from fettle.rewards.sandbox import LoadError, SandboxError
from worker.rewards import open_graders

PR_SET_PDEATHSIG = 1


def main() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # the libraries print as they like
    version, graders, held = 0, Graders([]), ExitStack()
    for line in sys.stdin.buffer:
        request = orjson.loads(line)
        try:
            if request["version"] != version:
                entered = ExitStack()
                graders = entered.enter_context(open_graders.opened(request, request["patience"]))
                held.close()
                version, held = request["version"], entered
        except SandboxError as error:
            code = "graders_failed" if isinstance(error, LoadError) else "sandbox_unavailable"
            out.write(orjson.dumps({"error": str(error), "code": code}) + b"\n")
            continue
        samples = [Sample(each["messages"], each["completion"], each["item"]) for each in request["rollouts"]]
        scores = [as_json(score) for score in graders.score(samples)]
        out.write(orjson.dumps({"scores": scores, "sandbox": graders.sandbox}) + b"\n")
    held.close()


def as_json(score: Score) -> dict[str, Any]:
    errors = {name: {"flag": failure.flag, "message": failure.message} for name, failure in score.errors.items()}
    return {"reward": score.reward, "scores": score.scores, "printed": score.printed, "errors": errors}


if __name__ == "__main__":
    main()
