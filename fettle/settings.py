"""Every setting, read from `FETTLE_*` variables or a `.env` file; the defaults run everything on one machine."""

import re
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from fettle.errors import brief
from fettle.schemas import phrases

PRICE = re.compile(r"(?P<amount>\d{1,9}(\.\d{1,6})?)\s*(?P<currency>[A-Za-z]{1,8}|[€$£¥])?")
HEADER = re.compile(r"[A-Za-z0-9-]{1,64}")
OWN_HEADERS = {"authorization", "cookie", "host", "origin", "x-csrf-token", "x-forwarded-for", "x-forwarded-proto"}
INTEGRATIONS = ("wandb", "tensorboard", "mlflow")
CREDENTIALS = re.compile(r"//.*@")  # in a URL; an unquoted password may hold any character
POSTGRESQL = ("postgresql+asyncpg", "postgresql", "postgres")
# Options in the URL of a PostgreSQL: those of TLS as libpq names them, and those of asyncpg
TLS_OPTIONS = {
    *("sslmode", "sslrootcert", "sslcert", "sslkey", "sslpassword", "sslcrl"),
    *("ssl_min_protocol_version", "ssl_max_protocol_version"),
}
URL_OPTIONS = {*TLS_OPTIONS, "host", "port", "ssl", "prepared_statement_cache_size", "statement_cache_size"}


def split(named: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in named.split(",") if name.strip())


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="FETTLE_", env_file=".env", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    data: Path = Field(Path(".fettle"), description="Folder for local data: database, files, keys and logs")
    host: str = Field("127.0.0.1", description="Address that the API listens on")
    port: int = Field(8000, ge=1, le=65535, description="Port that the API listens on")
    allowed_hosts: str = Field(
        "", description="Host names that requests may use, or *; unset: only localhost on loopback, otherwise any"
    )
    proxy_user_header: str | None = Field(
        None, description="Header in which a proxy names who signed in, such as X-Auth-Request-Email; unset: none"
    )
    trusted_proxies: str = Field(
        "", description="Addresses or networks whose FETTLE_PROXY_USER_HEADER counts, such as 10.0.0.5,10.1.0.0/16"
    )
    database_url: str | None = Field(
        None, description="postgresql://…, with sslmode if you like; unset: SQLite under the data folder"
    )
    redis_url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"), description="Redis server whose queue wakes workers"
    )
    storage_url: str | None = Field(None, description="s3://bucket/prefix; unset: a folder under the data folder")
    s3_endpoint: str | None = Field(None, description="Endpoint of an S3-compatible store; unset: AWS")
    s3_access_key_id: str | None = Field(None, description="Unset: the usual AWS credential chain")
    s3_secret_access_key: SecretStr | None = Field(None, description="Secret for the access key id")
    s3_region: str = Field("us-east-1", description="Region of the bucket")
    s3_public_endpoint: str | None = Field(None, description="Endpoint in presigned URLs; unset: FETTLE_S3_ENDPOINT")
    engine_url: str = Field("http://127.0.0.1:8001", description="Address of the inference engine")
    engine_key: SecretStr | None = Field(None, description="Bearer token between API and engine")
    engine_models: str = Field("", description="Base models that an engine serves, such as qwen,phi; unset: all")
    engine_announce_url: str | None = Field(
        None, description="Where others reach an engine; unset: FETTLE_ENGINE_URL, or this host if that is 0.0.0.0"
    )
    vllm_url: str = Field("http://127.0.0.1:8002", description="The vLLM server behind `fettle vllm-agent`")
    vllm_key: SecretStr | None = Field(None, description="The --api-key of that vLLM server")
    catalog: Path | None = Field(
        None, description="JSON file with more base models; unset: catalog.json in the data folder"
    )
    model_aliases: dict[str, str] = Field(
        {}, description='Other names of base models, a JSON object such as {"gpt-4o-mini": "starter"}'
    )
    hf_token: SecretStr | None = Field(None, description="Token for gated models on the Hugging Face hub")
    secret: SecretStr | None = Field(None, description="Secret for hashing API keys; unset: created in the data folder")

    max_upload_bytes: int = Field(512 * 2**20, gt=0, description="Largest accepted dataset file")
    max_chunked_upload_bytes: int = Field(
        5 * 2**30, gt=0, description="Largest accepted file that is uploaded in parts"
    )
    max_body_bytes: int = Field(4 * 2**20, gt=0, description="Largest accepted JSON body")
    max_row_bytes: int = Field(1 * 2**20, gt=0, description="Longest accepted dataset line")

    quota_files: int | None = Field(None, ge=0, description="Largest number of files per project; unset: no limit")
    quota_bytes: int | None = Field(
        None,
        ge=0,
        description="Bytes of a project's files, uploaded models, rollouts and stored answers; unset: no limit",
    )
    quota_queued_jobs: int | None = Field(None, ge=0, description="Queued and paused jobs per project; unset: no limit")
    quota_running_jobs: int | None = Field(None, ge=0, description="Running jobs per project; unset: no limit")
    quota_high_priority_jobs: int | None = Field(
        1, ge=0, description="High-priority jobs per project that have not ended; they interrupt others' jobs"
    )
    quota_job_hours: int | None = Field(None, ge=0, description="Hours that one job may run; unset: no limit")
    quota_gpu_hours: int | None = Field(
        None, ge=0, description="GPU-hours of a project in 30 days; a CPU slot counts as one GPU; unset: no limit"
    )
    quota_tokens: int | None = Field(
        None, ge=0, description="Tokens that a project may train in 30 days; unset: no limit"
    )

    slots: int | None = Field(
        None, ge=1, description="Jobs that one worker runs at a time; unset: one per GPU or group"
    )
    worker_labels: str = Field("", description="What jobs can ask this worker for, such as a100,eu; unset: no labels")
    executor: Literal["worker", "ray"] = Field(
        "worker", description="worker | ray: where `fettle worker` runs jobs, on this machine or on a Ray cluster"
    )
    ray_address: str = Field(
        "auto", description="Address of the Ray cluster; auto: the one that this machine is part of"
    )
    ray_gpus: int = Field(
        1, ge=0, description="GPUs that Ray reserves for a job that does not ask for any; 0: CPUs only"
    )
    ray_node_gpus: int | None = Field(
        None,
        ge=1,
        description="GPUs of a Ray node; a job that asks for more gets several nodes. Unset: every job gets one",
    )
    ray_pending_jobs: int = Field(8, ge=1, description="Jobs for which Ray looks for a place at the same time")
    gpus_per_job: int = Field(1, ge=1, description="GPUs that train one job together; see docs/gpus.md")
    threads: int | None = Field(None, ge=1, description="CPU threads per job; unset: cores ÷ slots")
    cpu_bf16: bool = Field(
        True,
        description="Train and serve larger models in bf16 on CPUs that compute in it natively; 0: in fp32",
    )
    warm_children: bool = Field(True, description="Fork training children from a process that has torch loaded")
    lease_seconds: float = Field(60, gt=0, description="A worker that does not respond for this long loses its job")
    heartbeat_seconds: float = Field(10, gt=0, description="How often a worker renews its lease")
    poll_seconds: float = Field(2, gt=0, description="How often an idle worker looks for jobs")
    watch_seconds: float = Field(0.5, gt=0, description="How often a worker checks whether its job was cancelled")
    reconcile_seconds: float = Field(5, gt=0, description="How often expired leases are reclaimed")
    collect_seconds: float = Field(3600, gt=0, description="How often unused objects are deleted from storage")
    rollout_days: float | None = Field(
        None, gt=0, description="How long an ended job's rollouts are kept; unset: for ever"
    )
    response_days: float = Field(
        30, ge=0, description="How long stored responses are kept; 0: responses are not stored"
    )
    completion_days: float = Field(30, gt=0, description="How long stored chat completions are kept")
    resume_days: float = Field(7, gt=0, description="How long a failed job's checkpoints can be resumed from")
    storage_retry_seconds: float = Field(
        15, gt=0, description="Longest pause between retries while storage is not responding"
    )
    drain_seconds: float = Field(20, gt=0, description="How long a stopping worker waits for a last checkpoint")
    stall_seconds: float = Field(
        1800,
        gt=0,
        description="A run that reports nothing for this long gets a warning, and ends after twice that time",
    )
    max_attempts: int = Field(3, ge=1, description="Attempts without progress after which a job fails as worker_lost")
    grading_seconds: float = Field(150, gt=0, description="How long a request to run a grader waits for its answer")
    grader_seconds: float = Field(120, gt=0, description="Longest time that user code may run for one sample")
    grader_memory_bytes: int = Field(2 * 2**30, ge=2**28, description="Memory that user code may use")
    graders_memory_bytes: int | None = Field(
        None, ge=2**28, description="Memory for all user code of a worker together; unset: as for one grader"
    )
    judge_retry_seconds: float = Field(
        240, ge=0, description="How long a job's graders wait for an engine that is not responding"
    )
    event_poll_seconds: float = Field(0.5, gt=0, description="How often an event stream looks for new events")

    log_format: Literal["json", "console"] | None = Field(
        None, description="json | console; unset: console in a terminal"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="debug | info | warning | error"
    )
    metrics_key: SecretStr | None = Field(
        None, description="Bearer token for GET /metrics; unset: no token, loopback only"
    )
    worker_metrics_port: int | None = Field(
        None, ge=1, le=65535, description="Port of the worker's metrics; unset: none"
    )
    worker_metrics_host: str = Field("127.0.0.1", description="Address that the worker's metrics listen on")

    gpu_hour_price: str | None = Field(
        None, description='Price of an hour on one GPU, or on a CPU slot, such as "2.50 EUR"; unset: no costs are shown'
    )

    webhook_allow_networks: str = Field(
        "", description="Private networks that webhooks may reach, such as 10.0.0.0/8; unset: public addresses only"
    )

    integrations: str = Field("", description="Where jobs may report to: wandb,tensorboard,mlflow; unset: nowhere")
    wandb_api_key: SecretStr | None = Field(None, description="Weights & Biases API key for jobs' reports")
    wandb_base_url: str | None = Field(None, description="A W&B server of your own; unset: the public one")
    wandb_mode: Literal["online", "offline"] = Field("online", description="online | offline: to the data folder only")
    mlflow_uri: str | None = Field(None, description="MLflow's tracking server; unset: mlflow.db in the data folder")
    mlflow_token: SecretStr | None = Field(None, description="Bearer token for MLflow's tracking server")

    @model_validator(mode="after")
    def lease_outlives_a_late_heartbeat(self) -> "Settings":
        if self.lease_seconds < 3 * self.heartbeat_seconds:
            raise ValueError(
                f"FETTLE_LEASE_SECONDS={self.lease_seconds:g} must be at least three times "
                f"FETTLE_HEARTBEAT_SECONDS={self.heartbeat_seconds:g}, or workers that are alive lose their jobs"
            )
        return self

    @field_validator("database_url")
    @classmethod
    def database_is_known(cls, url: str | None) -> str | None:
        """Takes what hosted PostgreSQL services print, such as postgres://…?sslmode=require. Shows no password."""
        if url is None or url.startswith("sqlite+aiosqlite:"):
            return url
        scheme, _, rest = url.partition("://")
        if scheme not in POSTGRESQL:
            raise ValueError(
                f"{brief(scheme)} is not a supported database. Use postgresql://user:password@host/database, "
                "or unset it for SQLite"
            )
        if unknown := {name for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)} - URL_OPTIONS:
            raise ValueError(
                f"unknown option in the URL: {brief(min(unknown))}. Remove it. Choose from: "
                f"{', '.join(sorted(URL_OPTIONS))}"
            )
        return f"postgresql+asyncpg://{rest}"

    @field_validator("integrations")
    @classmethod
    def integrations_are_known(cls, named: str) -> str:
        if unknown := set(split(named)) - set(INTEGRATIONS):
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}. Choose from: {', '.join(INTEGRATIONS)}")
        return named

    @model_validator(mode="after")
    def somebody_is_trusted(self) -> "Settings":
        if self.proxy_user_header is not None and not self.proxy_networks:
            raise ValueError(
                f"FETTLE_PROXY_USER_HEADER={self.proxy_user_header} counts only for the proxies in "
                "FETTLE_TRUSTED_PROXIES, and there are none. Name their addresses"
            )
        return self

    @field_validator("proxy_user_header")
    @classmethod
    def header_is_free(cls, name: str | None) -> str | None:
        if name is not None and (not HEADER.fullmatch(name) or name.lower() in OWN_HEADERS):
            raise ValueError("Use the name of a header that only the proxy sets, such as X-Auth-Request-Email")
        return name

    @field_validator("trusted_proxies")
    @classmethod
    def not_everyone_is_trusted(cls, named: str) -> str:
        if any(ip_network(network).prefixlen == 0 for network in split(named)):
            raise ValueError("Every address would be trusted. Name the proxies")
        return named

    @field_validator("webhook_allow_networks")
    @classmethod
    def networks_are_networks(cls, named: str) -> str:
        for network in split(named):
            ip_network(network)
        return named

    @field_validator("gpu_hour_price")
    @classmethod
    def price_is_an_amount(cls, price: str | None) -> str | None:
        if price is not None and not PRICE.fullmatch(price.strip()):
            raise ValueError("Use an amount and a currency, such as 2.50 EUR")
        return price

    @cached_property
    def price(self) -> tuple[float, str] | None:
        """Of an hour on one GPU: amount and currency; None: not set."""
        found = PRICE.fullmatch((self.gpu_hour_price or "").strip())
        return (float(found["amount"]), found["currency"] or "") if found else None

    @cached_property
    def enabled_integrations(self) -> tuple[str, ...]:
        return split(self.integrations)

    @cached_property
    def proxy_networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        return tuple(ip_network(network) for network in split(self.trusted_proxies))

    @cached_property
    def webhook_networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        return tuple(ip_network(network) for network in split(self.webhook_allow_networks))

    @cached_property
    def hosts(self) -> tuple[str, ...]:
        return tuple(name.lower() for name in split(self.allowed_hosts))

    @cached_property
    def database(self) -> str:
        return self.database_url or f"sqlite+aiosqlite:///{self.data.absolute() / 'fettle.db'}"

    @cached_property
    def storage(self) -> str:
        return self.storage_url or str(self.data.absolute() / "storage")

    @cached_property
    def own_catalog(self) -> Path:
        """Where commands that add a base model write it, unless FETTLE_CATALOG names a file."""
        return self.data.absolute() / "catalog.json"

    @cached_property
    def catalog_file(self) -> Path | None:
        """None where only the built-in base models are."""
        return self.catalog or (self.own_catalog if self.own_catalog.is_file() else None)


def invalid_setting(error: ValidationError) -> str:
    """Names the variable and its value. A problem of several variables shows none: some of them are secrets."""
    first = error.errors()[0]
    advice = phrases.advice([first])
    if not first["loc"]:
        return advice
    value = CREDENTIALS.sub("//…@", str(first["input"])) if isinstance(first["input"], str) else first["input"]
    return f"FETTLE_{str(first['loc'][0]).upper()}={brief(value)}: {advice}"
