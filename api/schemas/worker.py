from typing import Any

from fettle.jobs import workers
from fettle.jobs.workers import Seen


def worker_object(seen: Seen) -> dict[str, Any]:
    worker, offers = seen.worker, workers.offers(seen.worker)
    return {
        "id": worker.id,
        "object": "worker",
        "host": worker.host,
        "version": worker.version,
        "status": "lost" if not seen.alive else "stopping" if worker.stopping else "ready",
        "slots": [
            {
                "device": device,
                "gpus": offer.gpus,
                "memory_bytes": offer.memory,
                "busy": number in seen.busy,
                "job_id": seen.busy.get(number),
            }
            for number, (device, offer) in enumerate(zip(worker.slots, offers, strict=True))
        ],
        "labels": worker.labels or [],
        "base_models": worker.base_models,
        "sandbox": worker.sandbox,
        "started_at": int(worker.started_at),
        "seen_at": int(worker.seen_at),
    }
