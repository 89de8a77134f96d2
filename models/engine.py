from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class InferenceEngine(Base):
    """An engine that is alive, or was: it renews `seen_at` with every heartbeat and goes when it stops."""

    __tablename__ = "engines"

    id: Mapped[str] = mapped_column(primary_key=True)  # "<host>:<pid>"
    url: Mapped[str]  # where others reach it
    host: Mapped[str]
    version: Mapped[str]
    kind: Mapped[str]  # fettle | vllm
    base_models: Mapped[list[str]]  # that it serves
    adapters: Mapped[list[str]]  # that it has loaded
    requests: Mapped[int]  # in progress
    stopping: Mapped[bool] = mapped_column(default=False)
    started_at: Mapped[float]  # database clock, as `seen_at`
    seen_at: Mapped[float] = mapped_column(index=True)
