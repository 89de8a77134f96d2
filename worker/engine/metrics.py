"""What the engine tells Prometheus, on its own port. docs/metrics.md lists every name."""

from prometheus_client import CollectorRegistry, Counter, Gauge

ENGINE = CollectorRegistry()

batch_rows = Gauge("fettle_engine_batch_rows", "Answers being decoded, of all bases; n of a request", registry=ENGINE)
queue_length = Gauge("fettle_engine_queue_length", "Requests that wait for room in a batch", registry=ENGINE)
bases_loaded = Gauge("fettle_engine_bases_loaded", "Base models with weights in memory", registry=ENGINE)
adapters_loaded = Gauge("fettle_engine_adapters_loaded", "Adapters in memory", registry=ENGINE)
steps = Counter("fettle_engine_steps", "Decode steps; each writes one token a row", registry=ENGINE)
prompt_tokens = Counter("fettle_engine_prompt_tokens", "Prompt tokens read; once for all of n", registry=ENGINE)
cached_tokens = Counter("fettle_engine_cached_tokens", "Prompt tokens that were read before", registry=ENGINE)
completion_tokens = Counter("fettle_engine_completion_tokens", "Tokens written, end tokens included", registry=ENGINE)
scored = Counter("fettle_engine_conversations_scored", "Conversations, by reward models", registry=ENGINE)
requests = Counter(
    "fettle_engine_requests", "Generating requests that were queued or refused a place", ("outcome",), registry=ENGINE
)

OUTCOMES = ("answered", "cancelled", "failed", "refused")
for outcome in OUTCOMES:
    requests.labels(outcome)
