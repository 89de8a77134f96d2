"""What every row shares: the declarative base and a creation time in seconds since 1970."""

import enum
import time
from typing import Any, ClassVar

from sqlalchemy import JSON, Enum
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

# Kept as text, so that a new state needs no migration
TEXT_ENUM = Enum(enum.StrEnum, native_enum=False, length=32, values_callable=lambda states: [str(s) for s in states])


class Base(DeclarativeBase):
    type_annotation_map: ClassVar = {
        dict[str, Any]: JSON,
        list[str]: JSON,
        list[dict[str, Any]]: JSON,
        enum.StrEnum: TEXT_ENUM,
    }


class Created:
    created_at: Mapped[float] = mapped_column(default=time.time)
