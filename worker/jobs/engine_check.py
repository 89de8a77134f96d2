"""After a job has succeeded: the engine is asked for the probe rows' numbers, and the proof says whether they agree.

In the background, and again while no engine answers: nobody waits for it.
"""

import asyncio
from typing import Any

import httpx
import orjson
import structlog

from fettle.errors import InvalidRequest, Unavailable, no_answer
from fettle.inference.client import COMPLETIONS, POOLING, Engine, Servable
from fettle.jobs import proof_checks, proofs
from fettle.registry import catalog
from models import Proof
from worker.attempts.resources import Resources

log = structlog.get_logger()

AT_ONCE = 20  # proofs of one round
LATER = {401, 404, 408, 429}  # statuses that say nothing of the adapter


async def serve(resources: Resources, published: asyncio.Event) -> None:
    """For ever. published: set when a job has ended."""
    engine = Engine(resources.settings, resources.engines)
    try:
        while True:
            published.clear()  # before the look: what is published during it is looked at next
            try:
                await compare_all(resources, engine)
            except Exception as error:  # whatever it is, the next round may go better
                log.warning("not_compared", exc_info=error)
            try:
                await asyncio.wait_for(published.wait(), resources.settings.collect_seconds)
            except TimeoutError:
                continue
    finally:
        await engine.close()


async def compare_all(resources: Resources, engine: Engine) -> None:
    """Those that no engine was compared with yet; none while the engine is away."""
    async with resources.db.snapshot() as session:
        waiting = await proofs.unserved(session, AT_ONCE)
    for proof in waiting:
        try:
            found = await compared(engine, proof)
        except Unavailable as away:
            log.info("engine_not_compared", job_id=proof.job_id, why=away.message)
            return
        async with resources.db.transaction() as session:
            if await proofs.served(session, proof, found):
                log.info("engine_compared", job_id=proof.job_id, kind=proof.kind, status=found["status"])


async def compared(engine: Engine, proof: Proof) -> proof_checks.Check:
    """Raises Unavailable while the engine cannot be asked."""
    assert proof.probe is not None  # noqa: S101 — those without are not looked for
    probe, base = proof.probe, catalog.base_of(proof.model)
    tuned = Servable(proof.model, base, proof.prefix)
    try:
        if probe["scores"]:
            values = await scores(engine, tuned, probe["conversations"])
            return proof_checks.of_engine(probe, values, [])
        prefixes = [probe["rows"][each["row"]][: each["tokens"]] for row in probe["next"] for each in row]
        own = [await likeliest(engine, tuned, ids) for ids in prefixes]
        bare = [await likeliest(engine, Servable(base, base), ids) for ids in prefixes]
        return proof_checks.of_engine(probe, own, bare)
    except InvalidRequest as refusal:
        return proof_checks.check(
            proof_checks.SERVED, "not_checked", f"Not checked. The engine refused the request: {refusal.message}"
        )


async def likeliest(engine: Engine, model: Servable, ids: list[int]) -> float:
    """The log-probability of the likeliest next token."""
    body = await ask(engine, model, COMPLETIONS, prompt=ids, max_tokens=1, temperature=0, logprobs=1)
    return float(body["choices"][0]["logprobs"]["token_logprobs"][0])


async def scores(engine: Engine, model: Servable, conversations: list[Any]) -> list[float]:
    if not conversations:
        return []
    body = await ask(engine, model, POOLING, conversations=conversations)
    return [float(entry["data"][0]) for entry in body["data"]]


async def ask(engine: Engine, model: Servable, path: str, **request: Any) -> Any:
    """Raises Unavailable, and InvalidRequest with the engine's words."""
    answer = await engine.generate(model, request, path)
    try:
        body = b"".join([part async for part in answer.body])
    except httpx.TransportError as error:
        raise Unavailable(f"The engine stopped in the middle of its answer ({no_answer(error)})") from error
    finally:
        await answer.close()
    if answer.status >= 500 or answer.status in LATER:
        raise Unavailable(f"The engine answers {answer.status}")
    try:
        said = orjson.loads(body)
        if answer.status != 200:
            raise InvalidRequest(str(said["error"]["message"]))
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise InvalidRequest(f"its answer (status {answer.status}) is not in the format of OpenAI's API.") from error
    return said
