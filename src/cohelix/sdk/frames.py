"""Answers as tables: Arrow, polars and pandas frames, and a notebook's view of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from cohelix.core.errors import BadUsage

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

Kind = Literal["text", "whole", "ratio", "yes or no"]
_ROWS_SHOWN = 200
_WIDTH = 200  # columns of text that a Python session shows


class Tabular(ABC):
    """What has rows of named, typed columns; a withheld or unknown value is null, never 0."""

    columns: ClassVar[dict[str, Kind]]
    text_shown: ClassVar[int] = 30  # letters of a text in a printed table

    @abstractmethod
    def rows(self) -> Iterable[Sequence[Any]]:
        """One sequence for each row, in the order of `columns`."""

    def caption(self) -> str:
        """A line above the table where it is shown."""
        return ""

    def to_arrow(self) -> pa.Table:
        """A `pyarrow.Table`; whole numbers are int64, ratios float64."""
        import pyarrow as pa

        types = {"text": pa.string(), "whole": pa.int64(), "ratio": pa.float64(), "yes or no": pa.bool_()}
        rows = list(self.rows())
        arrays = [pa.array([row[place] for row in rows], type=types[kind]) for place, kind in enumerate(self.columns.values())]
        return pa.table(arrays, names=list(self.columns))

    def to_polars(self) -> pl.DataFrame:
        """A `polars.DataFrame`."""
        import polars as pl

        frame = pl.from_arrow(self.to_arrow())
        assert isinstance(frame, pl.DataFrame)
        return frame

    def to_pandas(self) -> pd.DataFrame:
        """A `pandas.DataFrame`; whole numbers stay whole (`Int64`) where some are null. Needs the extra `notebook`."""
        import pyarrow as pa

        try:
            import pandas as pd
        except ImportError as error:
            raise BadUsage("pandas is not installed: pip install pandas, or take to_polars() or to_arrow()") from error
        frame: pd.DataFrame = self.to_arrow().to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
        return frame

    def __str__(self) -> str:
        """The line above the table, and the table as polars prints it: columns that hold something, first and last rows."""
        import polars as pl

        frame = self.to_polars()
        frame = frame.select([column.name for column in frame if column.null_count() < len(column)])
        with pl.Config(
            tbl_cols=-1,
            tbl_width_chars=_WIDTH,
            tbl_hide_column_data_types=True,
            tbl_hide_dataframe_shape=True,
            fmt_str_lengths=self.text_shown,
        ):
            return "\n".join(filter(None, (self.caption(), str(frame))))

    __repr__ = __str__  # a Python session shows the answer, as a notebook does

    def _repr_html_(self) -> str:
        """The table for a notebook: everything escaped, nothing fetched."""
        rows = list(self.rows())
        head = "".join(f"<th>{escape(name)}</th>" for name in self.columns)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(shown(value))}</td>" for value in row) + "</tr>" for row in rows[:_ROWS_SHOWN]
        )
        left = len(rows) - _ROWS_SHOWN
        rest = f"<p>… and {left} more rows</p>" if left > 0 else ""
        return f"<p>{escape(self.caption())}</p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{rest}"


def shown(value: Any) -> str:
    """A value in a cell of a page: empty where it is not known."""
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
