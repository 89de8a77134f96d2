"""Cursor pages: `after` is the id of the last row that the client has seen."""

from typing import Any, TypeVar

from sqlalchemy import Select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from fettle.errors import InvalidRequest

Row = TypeVar("Row")


async def page(
    session: AsyncSession,
    statement: Select[Row],
    order: tuple[InstrumentedAttribute[Any], ...],
    identity: InstrumentedAttribute[str],
    *,
    after: str | None,
    limit: int,
    newest_first: bool = True,
) -> tuple[list[Row], bool]:
    """Rows after the cursor, and whether there are more.

    order: columns that order the rows totally. Raises InvalidRequest for a cursor that the statement does not hold.
    """
    if after is not None:
        cursor = (await session.execute(statement.with_only_columns(*order).where(identity == after))).first()
        if cursor is None:
            raise InvalidRequest(
                f"Invalid value for 'after': {after!r}. Use the last id of the page before.", param="after"
            )
        position = tuple_(*order)
        statement = statement.where(position < tuple_(*cursor) if newest_first else position > tuple_(*cursor))
    columns = [column.desc() if newest_first else column.asc() for column in order]
    rows = list(await session.scalars(statement.order_by(*columns).limit(limit + 1)))
    return rows[:limit], len(rows) > limit
