from typing import Any

from fettle.jobs.workers import Seen


def worker_object(seen: Seen) -> dict[str, Any]:
    worker = seen.worker
    return {
        "id": worker.id,
        "object": "worker",
        "host": worker.host,
        "version": worker.version,
        "status": "lost" if not seen.alive else "stopping" if worker.stopping else "ready",
        "slots": [
            {"device": device, "busy": number in seen.busy, "job_id": seen.busy.get(number)}
            for number, device in enumerate(worker.slots)
        ],
        "base_models": worker.base_models,
        "sandbox": worker.sandbox,
        "started_at": int(worker.started_at),
        "seen_at": int(worker.seen_at),
    }
