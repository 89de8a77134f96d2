from typing import Any

from models import InferenceEngine


def engine_object(engine: InferenceEngine, alive: bool, *, with_url: bool) -> dict[str, Any]:
    return {
        "id": engine.id,
        "object": "engine",
        "url": engine.url if with_url else None,
        "host": engine.host,
        "version": engine.version,
        "kind": engine.kind,
        "status": "lost" if not alive else "stopping" if engine.stopping else "ready",
        "base_models": engine.base_models,
        "adapters": len(engine.adapters),
        "requests": engine.requests,
        "started_at": int(engine.started_at),
        "seen_at": int(engine.seen_at),
    }
