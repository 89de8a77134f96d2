from typing import Any

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Created


class ComparisonExport(Base, Created):
    """Which votes a dataset file was made of."""

    __tablename__ = "comparison_exports"

    file_id: Mapped[str] = mapped_column(primary_key=True)  # the file may have been deleted since
    comparison_id: Mapped[str] = mapped_column(ForeignKey("comparisons.id"), index=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    provenance: Mapped[dict[str, Any]]  # {"rows", "rule", "written", "votes", "annotators", "left_out"}
