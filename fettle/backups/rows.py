"""Rows as they go from one kind of database to the other: JSON as the text that it is, states as they are written."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    JSON,
    Enum,
    Insert,
    RowMapping,
    Select,
    String,
    Table,
    Text,
    bindparam,
    cast,
    insert,
    select,
    type_coerce,
)

AT_ONCE = 500  # in memory
GIVEN = "given_"  # SQLAlchemy keeps the columns' own names for itself


def reading(table: Table) -> Select[Any]:
    columns: list[Any] = []
    for column in table.columns:
        if isinstance(column.type, JSON):  # NULL and JSON's null are two things
            columns.append(cast(column, Text).label(column.name))
        else:
            columns.append(type_coerce(column, String).label(column.name) if isinstance(column.type, Enum) else column)
    return select(*columns).execution_options(yield_per=AT_ONCE)


def writing(table: Table, *, to_json: bool = False) -> Insert:
    """to_json: PostgreSQL takes no text for JSON."""
    values: dict[str, Any] = {}
    for column in table.columns:
        as_text = isinstance(column.type, JSON | Enum)
        given: Any = bindparam(GIVEN + column.name, type_=Text() if as_text else column.type)
        if isinstance(column.type, JSON):
            given = cast(given, JSON) if to_json else type_coerce(given, Text)
        values[column.name] = given
    return insert(table).values(values)


def named(found: Sequence[RowMapping]) -> list[dict[str, Any]]:
    return [{GIVEN + name: value for name, value in row.items()} for row in found]
