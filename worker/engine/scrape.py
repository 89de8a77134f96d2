"""The page for Prometheus, with what is read from the pool at that moment."""

from prometheus_client import generate_latest

from worker.engine import metrics
from worker.engine.model_pool import Pool


def page(pool: Pool) -> bytes:
    """The numbers of the decode thread are those of its last step."""
    metrics.batch_rows.set(pool.thread.rows)
    metrics.queue_length.set(len(pool.thread.waiting))
    metrics.bases_loaded.set(len(pool.resident))
    metrics.adapters_loaded.set(len(pool.adapters))
    return generate_latest(metrics.ENGINE)
