"""The supervisor's end of a job's scorer process: started when it is needed, killed and replaced when it overruns."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

import orjson
import structlog

from fettle.inference.client import Servable
from fettle.inference.routing import Route
from fettle.rewards.sandbox import cgroup
from fettle.wording import quantity

log = structlog.get_logger()

COMMAND = (sys.executable, "-m", "worker.rewards.scorer_process")
LINE_LIMIT = 64 << 20  # bytes: a batch's scores, with what user code printed
OVERRUN_SECONDS = 600.0  # for a batch, beside the own limit that each sample of a grader and each call has

Line = dict[str, Any]
NO_MODELS: Mapping[str, Servable] = MappingProxyType({})


class GradersUnavailable(Exception):
    """The graders cannot be opened on this machine; the message is for the user."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class Scorer:
    """resources: what graders are opened with, as `worker.rewards.open_graders` tells it.

    sandbox: what held user code, where there was any.
    progress: how far a batch is that takes long; None between batches.
    """

    def __init__(self, resources: Line, seconds: float = OVERRUN_SECONDS) -> None:
        self.resources, self.seconds = resources, seconds
        self.process: asyncio.subprocess.Process | None = None
        self.sandbox: str | None = None
        self.progress: Line | None = None  # of the batch that is being scored

    async def score(
        self,
        version: int,
        graders: Sequence[Line],
        rollouts: Sequence[Line],
        models: Mapping[str, Servable] = NO_MODELS,
        engines: Sequence[Route] = (),
    ) -> list[Line]:
        """{reward, scores, printed, errors} of each rollout. A slow grader costs the rollouts that it is slow with; a
        scorer that hangs or dies costs all of them their rewards.

        models: whom the graders ask; engines: where. Raises GradersUnavailable.
        """
        sent = [
            {name: rollout[name] for name in ("messages", "completion", "item")} | {"turns": rollout.get("turns", [])}
            for rollout in rollouts
        ]
        asked = {"models": {name: asdict(servable) for name, servable in models.items()}, **self.resources}
        asked["engines"] = [asdict(engine) for engine in engines]  # as they are now
        request = {"version": version, "graders": list(graders), "rollouts": sent, **asked}
        seconds = self.seconds + len(graders) * len(rollouts) * self.resources["limits"]["seconds"]
        answer, why = await self._answer(request, "The graders", quantity(len(rollouts), "completion"), seconds)
        if answer is not None:
            return list(answer["scores"])
        names = [entry["name"] for entry in graders]
        errors = {name: {"flag": "other_error", "message": why} for name in names}
        lost = {"reward": None, "scores": dict.fromkeys(names), "printed": "", "errors": errors}
        return [lost for _ in rollouts]

    async def call(self, tools: Sequence[Line], calls: Sequence[Line]) -> list[Line]:
        """{text, failed} of each tool call. tools: all of the job's. However many there are, each has its own limit.

        Raises GradersUnavailable.
        """
        sent = [{name: tool[name] for name in ("name", "source")} for tool in tools]
        request = {"tools": sent, "calls": list(calls), "limits": self.resources["limits"]}
        seconds = self.seconds + len(calls) * self.resources["limits"]["seconds"]
        answer, why = await self._answer(request, "The tools", quantity(len(calls), "tool call"), seconds)
        return (
            list(answer["results"])
            if answer is not None
            else [{"text": f"Error: {why}", "failed": True} for _ in calls]
        )

    async def _answer(self, request: Line, who: str, what: str, seconds: float) -> tuple[Line | None, str]:
        """None, and why, where the process was lost over it. Raises GradersUnavailable."""
        try:
            async with asyncio.timeout(seconds):
                answer = await self._ask(orjson.dumps(request) + b"\n")
        except TimeoutError:
            why = f"{who} took longer than {seconds:.0f} s for {what}."
        except (OSError, EOFError):
            why = "The scorer process stopped unexpectedly."
        except ValueError:  # asyncio's, of a line over its limit, or of what is no JSON
            why = f"{who} returned more than {LINE_LIMIT >> 20} MiB for {what}."
        else:
            if "error" in answer:
                raise GradersUnavailable(answer["error"], answer["code"])
            self.sandbox = answer["sandbox"] or self.sandbox
            return answer, ""
        log.warning("scorer_lost", why=why)
        await self.close()
        return None, why

    async def _ask(self, request: bytes) -> Line:
        if self.process is None:
            self.process = await asyncio.create_subprocess_exec(
                *COMMAND,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=LINE_LIMIT,
                start_new_session=True,
            )
        assert self.process.stdin is not None and self.process.stdout is not None  # noqa: S101 — started with pipes
        self.process.stdin.write(request)
        await self.process.stdin.drain()
        self.progress = None
        try:
            while True:
                line = await self.process.stdout.readline()
                if not line.endswith(b"\n"):
                    raise EOFError
                answer: Line = orjson.loads(line)
                if "progress" not in answer:
                    return answer
                self.progress = answer["progress"]
        finally:
            self.progress = None

    async def close(self) -> None:
        """The process, and the sandbox in its group."""
        process, self.process = self.process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            await asyncio.to_thread(cgroup.sweep)  # it had no time to
