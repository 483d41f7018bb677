"""Statements for the driver's own cursor: SQLAlchemy's way to each statement costs more than what the database does."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.sql.compiler import SQLCompiler

from satchel.gateway.store.tables import UtcDateTime

Converter = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A statement as a driver takes it. `names` are those of the parameters in their order, None for a driver that
    takes them by name."""

    sql: str
    constants: Mapping[str, Any]
    names: Sequence[str] | None

    def parameters(self, **values: Any) -> Any:
        """The statement's parameters, as the driver takes them."""
        known = {**self.constants, **values}
        return known if self.names is None else [known[name] for name in self.names]


@contextmanager
def driver_cursor(connection: sa.Connection) -> Iterator[DBAPICursor]:
    """A cursor of the driver's own, closed at the end. What the driver raises becomes the SQLAlchemyError that it would
    be elsewhere, so that nobody has to know of two kinds."""
    cursor = connection.connection.cursor()
    drivers_own = connection.dialect.loaded_dbapi.Error
    try:
        yield cursor
    except drivers_own as error:
        raise sa.exc.DBAPIError.instance(None, None, error, drivers_own, dialect=connection.dialect) from error
    finally:
        cursor.close()


def prepare(statement: sa.Select[*tuple[Any, ...]], dialect: sa.Dialect, *names: str) -> Prepared:
    """A statement whose values to be given later have these names."""
    compiled = statement.compile(dialect=dialect)
    assert isinstance(compiled, SQLCompiler)
    return Prepared(str(compiled), compiled.construct_params(dict.fromkeys(names)), compiled.positiontup)


def reader(column: sa.Column[Any], dialect: sa.Dialect) -> Converter:
    """Makes Python's value of what the driver gives of a column."""
    if isinstance(column.type, UtcDateTime) and dialect.name == "sqlite":
        # SQLAlchemy's own takes five times as long, which shows on a page of 500 rows.
        return _instant
    return column.type.dialect_impl(dialect).result_processor(dialect, None) or _as_it_is


def writer(column: sa.Column[Any], dialect: sa.Dialect) -> Converter:
    """Makes what the driver takes for a column of Python's value."""
    return column.type.dialect_impl(dialect).bind_processor(dialect) or _as_it_is


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text + "+00:00")


def _as_it_is(value: Any) -> Any:
    return value
