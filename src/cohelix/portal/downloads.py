"""The counts of a variant as a file to keep: CSV, TSV and Parquet, with what was withheld or absent as rows of their own."""

from __future__ import annotations

import csv
import io
import re
from typing import Any, Final

from starlette.responses import Response

from cohelix.core.errors import NotFound
from cohelix.sdk import Frequency
from cohelix.wire.frequency import FrequencyAnswer

KINDS: Final = {
    "csv": "text/csv; charset=utf-8",
    "tsv": "text/tab-separated-values; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
}
_NAME_MAX = 80
# A spreadsheet takes a text that begins so for a formula (OWASP ASVS 1.2.10).
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def counts_file(answer: FrequencyAnswer, kind: str) -> Response:
    """One row a node, dataset, population and sex; `NotFound` for a kind of file that there is not."""
    if kind not in KINDS:
        raise NotFound(f"counts come as {', '.join(KINDS)} or JSON, not as {kind[:20]!r}")
    table = Frequency.model_validate(answer.model_dump(by_alias=True))
    content = _parquet(table) if kind == "parquet" else _text(table, delimiter="," if kind == "csv" else "\t").encode()
    name = re.sub(r"[^A-Za-z0-9.-]+", "_", f"{answer.variant[:_NAME_MAX]}.{answer.assembly}.{kind}")
    headers = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
    return Response(content, media_type=KINDS[kind], headers=headers)


def _text(table: Frequency, *, delimiter: str) -> str:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\r\n" if delimiter == "," else "\n")
    writer.writerow(table.columns)
    writer.writerows([_cell(value) for value in row] for row in table.rows())
    return out.getvalue()


def _cell(value: Any) -> Any:
    """A withheld number is an empty field; a text that would be a formula gets an apostrophe, which spreadsheets hide."""
    if isinstance(value, str):
        plain = " ".join(value.split())
        return f"'{plain}" if value.startswith(_FORMULA) or plain.startswith(_FORMULA) else plain
    return value


def _parquet(table: Frequency) -> bytes:
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(table.to_arrow(), out, compression="zstd")
    return out.getvalue()
