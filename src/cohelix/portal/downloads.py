"""The counts of a variant as a file to keep: CSV, TSV and Parquet, with what was withheld or absent as rows of their own."""

from __future__ import annotations

import csv
import io
import re
from typing import Final

from starlette.responses import Response

from cohelix.core.errors import NotFound
from cohelix.core.spreadsheet import cell
from cohelix.sdk import Frequency
from cohelix.wire.frequency import FrequencyAnswer

KINDS: Final = {
    "csv": "text/csv; charset=utf-8",
    "tsv": "text/tab-separated-values; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
}
_NAME_MAX = 80


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
    writer.writerows([cell(value) for value in row] for row in table.rows())
    return out.getvalue()


def _parquet(table: Frequency) -> bytes:
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(table.to_arrow(), out, compression="zstd")
    return out.getvalue()
