"""What queries return: lists like any other that read as a table, and give a pandas DataFrame to those who have pandas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from durable_ray.actors.instances.status import OrchestrationStatus
from durable_ray.notebook.markup import cut, muted, table, text
from durable_ray.notebook.statuses import COLUMNS, MAX_ROWS, counted, row_of, statuses_html
from durable_ray.notebook.timeline import timeline_svg

#: Rows of a table in text, and characters of one cell.
_TEXT_ROWS, _CELL = 20, 36


class PandasMissing(ImportError):
    """pandas is not installed in this environment; the message has the line that installs it."""


class StatusList(list[OrchestrationStatus]):
    """Instances. A plain list, which shows itself as a table.

    Example:
        >>> client.list_instances(runtime_status="Failed").to_pandas()  # doctest: +SKIP
    """

    def __repr__(self) -> str:
        if not self:
            return "[]"
        rows = [tuple(cut(cell.replace("\n", " "), _CELL) for cell in row_of(status)) for status in self[:_TEXT_ROWS]]
        left = len(self) - len(rows)
        return "\n".join([*_aligned(COLUMNS, rows), *([f"… and {left} more"] if left else []), counted_all(self)])

    def _repr_html_(self) -> str:
        return statuses_html(self)

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame`: a row for each instance, a column for each attribute but the history; times are UTC.

        Raises:
            PandasMissing: pandas is not installed.
        """
        return frame_of(self)


def counted_all(statuses: Sequence[OrchestrationStatus]) -> str:
    """How many there are, in words."""
    return counted(statuses[:MAX_ROWS]) if len(statuses) <= MAX_ROWS else f"{len(statuses)} instances"


def _aligned(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table in text. Columns of which no row has anything are left out."""
    used = [i for i, _ in enumerate(columns) if any(row[i] for row in rows)]
    widths = {i: max(len(columns[i]), *(len(row[i]) for row in rows)) for i in used}
    return ["  ".join(line[i].ljust(widths[i]) for i in used).rstrip() for line in (columns, *rows)]


def frame_of(statuses: Sequence[OrchestrationStatus]) -> Any:
    """Instances as a `pandas.DataFrame`. Raises PandasMissing."""
    try:
        import pandas
    except ImportError as error:
        raise PandasMissing("to_pandas() needs pandas, which is not installed here: pip install pandas") from error
    names = [name for name in OrchestrationStatus.__struct_fields__ if name != "history"]
    rows = [{name: _cell(name, getattr(status, name)) for name in names} for status in statuses]
    return pandas.DataFrame(rows, columns=names)


def _cell(name: str, value: Any) -> Any:
    if name in ("runtime_status", "failure"):
        return None if value is None else str(value)
    return dict(value) if name == "tags" else value


class HistoryList(list[dict[str, Any]]):
    """What happened in an instance. A plain list of entries, which shows itself as a timeline."""

    def __repr__(self) -> str:
        rows = [_entry_cells(entry) for entry in self[:_TEXT_ROWS]]
        left = len(self) - len(rows)
        return "\n".join([*_aligned(_ENTRY, rows), *([f"… and {left} more"] if left else [])]) if self else "[]"

    def _repr_html_(self) -> str:
        cells = [[text(cell, 80) for cell in _entry_cells(entry)] for entry in self[:MAX_ROWS]]
        more = f"<div>{muted(f'{len(self)} entries, {MAX_ROWS} shown')}</div>" if len(self) > MAX_ROWS else ""
        return timeline_svg(self) + table(_ENTRY, cells) + more


_ENTRY = ("at", "event", "of", "more")
_NAMED = ("EventType", "Timestamp", "FunctionName", "Name")


def _entry_cells(entry: dict[str, Any]) -> tuple[str, ...]:
    rest = {key: value for key, value in entry.items() if key not in _NAMED and value is not None}
    more = ", ".join(f"{key}={cut(str(value), _CELL)}" for key, value in rest.items())
    of = str(entry.get("FunctionName") or entry.get("Name") or "")
    at = str(entry.get("Timestamp", "")).replace("T", " ")[:23]
    return at, str(entry.get("EventType", "")), of, cut(more, 3 * _CELL)
