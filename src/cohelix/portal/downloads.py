"""The answer of a page as a file to keep: CSV, TSV and Parquet, with what was withheld or absent as rows of their own."""

from __future__ import annotations

import csv
import io
import re
from typing import Final

from starlette.responses import Response

from cohelix.core.errors import NotFound
from cohelix.core.spreadsheet import cell
from cohelix.sdk import Frequency, Variants
from cohelix.wire.federation import RegionAnswer
from cohelix.wire.frequency import FrequencyAnswer

KINDS: Final = {
    "csv": "text/csv; charset=utf-8",
    "tsv": "text/tab-separated-values; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
}
_NAME_MAX = 80


def counts_file(answer: FrequencyAnswer, kind: str) -> Response:
    """One row a node, dataset, population and sex; `NotFound` for a kind of file that there is not."""
    table = Frequency.model_validate(answer.model_dump(by_alias=True))
    return _file(table, f"{answer.variant[:_NAME_MAX]}.{answer.assembly}", kind)


def variants_file(answer: RegionAnswer, kind: str) -> Response:
    """One row a variant, dataset, population and sex, of the variants that a region's page lists; also as `json`."""
    stem = f"{answer.region[:_NAME_MAX]}.{answer.assembly}"
    if kind == "json":
        return _kept(answer.model_dump_json().encode(), "application/json", f"{stem}.{kind}")
    return _file(Variants.model_validate(answer.model_dump(by_alias=True)), stem, kind)


def _file(table: Frequency | Variants, stem: str, kind: str) -> Response:
    if kind not in KINDS:
        raise NotFound(f"counts come as {', '.join(KINDS)} or JSON, not as {kind[:20]!r}")
    content = _parquet(table) if kind == "parquet" else _text(table, delimiter="," if kind == "csv" else "\t").encode()
    return _kept(content, KINDS[kind], f"{stem}.{kind}")


def _kept(content: bytes, media_type: str, name: str) -> Response:
    name = re.sub(r"[^A-Za-z0-9.-]+", "_", name)
    headers = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
    return Response(content, media_type=media_type, headers=headers)


def _text(table: Frequency | Variants, *, delimiter: str) -> str:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\r\n" if delimiter == "," else "\n")
    writer.writerow(table.columns)
    writer.writerows([cell(value) for value in row] for row in table.rows())
    return out.getvalue()


def _parquet(table: Frequency | Variants) -> bytes:
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(table.to_arrow(), out, compression="zstd")
    return out.getvalue()
