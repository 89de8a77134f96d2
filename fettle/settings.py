"""Every setting, read from `FETTLE_*` variables or a `.env` file; the defaults run everything on one machine."""

from functools import cached_property
from pathlib import Path

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="FETTLE_", env_file=".env", extra="ignore", frozen=True)

    data: Path = Field(Path(".fettle"), description="Where everything that is local lives")
    host: str = Field("127.0.0.1", description="Address that the API listens on")
    port: int = Field(8000, ge=1, le=65535, description="Port that the API listens on")
    database_url: str | None = Field(None, description="postgresql+asyncpg://…; unset: SQLite under the data folder")
    redis_url: SecretStr = Field(SecretStr("redis://127.0.0.1:6379/0"), description="The queue that wakes workers")
    storage_url: str | None = Field(None, description="s3://bucket/prefix; unset: a folder under the data folder")
    s3_endpoint: str | None = Field(None, description="Endpoint of an S3-compatible store; unset: AWS")
    s3_access_key_id: str | None = Field(None, description="Unset: the usual AWS credential chain")
    s3_secret_access_key: SecretStr | None = Field(None, description="Goes with the access key id")
    s3_region: str = Field("us-east-1", description="Region of the bucket")
    engine_url: str = Field("http://127.0.0.1:8001", description="Where the inference engine answers")
    engine_key: SecretStr | None = Field(None, description="Bearer token between API and engine")
    catalog: Path | None = Field(None, description="JSON file with more base models; see docs/base-models.md")
    hf_token: SecretStr | None = Field(None, description="Token for gated models on the Hugging Face hub")
    secret: SecretStr | None = Field(None, description="Pepper of API keys; unset: made once under the data folder")

    max_upload_bytes: int = Field(512 * 2**20, gt=0, description="Largest accepted dataset file")
    max_body_bytes: int = Field(4 * 2**20, gt=0, description="Largest accepted JSON body")
    max_row_bytes: int = Field(1 * 2**20, gt=0, description="Longest accepted dataset line")

    slots: int | None = Field(
        None, ge=1, description="Jobs that one worker runs at a time; unset: one per GPU or group"
    )
    gpus_per_job: int = Field(1, ge=1, description="GPUs that train one job together; see docs/gpus.md")
    threads: int | None = Field(None, ge=1, description="CPU threads per job; unset: cores ÷ slots")
    warm_children: bool = Field(True, description="Fork training children from a process that has torch loaded")
    lease_seconds: float = Field(60, gt=0, description="A worker silent for this long loses its job")
    heartbeat_seconds: float = Field(10, gt=0, description="How often a worker renews its lease")
    poll_seconds: float = Field(2, gt=0, description="How often an idle worker looks for jobs nobody woke it for")
    watch_seconds: float = Field(0.5, gt=0, description="How often a supervisor looks whether its job was cancelled")
    reconcile_seconds: float = Field(5, gt=0, description="How often expired leases are reclaimed")
    drain_seconds: float = Field(20, gt=0, description="How long a stopping worker waits for a last checkpoint")
    max_attempts: int = Field(3, ge=1, description="Deaths of worker or child after which a job fails as worker_lost")
    event_poll_seconds: float = Field(0.5, gt=0, description="How often an event stream looks for new events")

    @model_validator(mode="after")
    def lease_outlives_a_late_heartbeat(self) -> "Settings":
        if self.lease_seconds < 3 * self.heartbeat_seconds:
            raise ValueError(
                f"FETTLE_LEASE_SECONDS={self.lease_seconds:g} must be at least three times "
                f"FETTLE_HEARTBEAT_SECONDS={self.heartbeat_seconds:g}, or living workers lose their jobs"
            )
        return self

    @cached_property
    def database(self) -> str:
        return self.database_url or f"sqlite+aiosqlite:///{self.data.absolute() / 'fettle.db'}"

    @cached_property
    def storage(self) -> str:
        return self.storage_url or str(self.data.absolute() / "storage")
