"""The tables beside a `.bed` or `.pgen`: its samples (`.fam`, `.psam`) and its variants (`.bim`, `.pvar`, `.pvar.zst`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from cohelix.core.arrays import IntArray
from cohelix.core.errors import BadFile
from cohelix.genotypes.plink_records import COLUMNS, PROBLEMS

PVAR_ENDS = (".pvar", ".pvar.zst")
_PIECE_BYTES = 4 << 20
_LINE_BYTES = 16 << 20
_HEADER_BYTES = 64 << 20
_SAMPLES_BYTES = 1 << 30
_SEX = {"1": "male", "m": "male", "male": "male", "2": "female", "f": "female", "female": "female"}
_BIM = {"chrom": 0, "id": 1, "position": 3, "alt": 4, "ref": 5}
_PVAR = {"#CHROM": "chrom", "POS": "position", "ID": "id", "REF": "ref", "ALT": "alt", "FILTER": "filter", "INFO": "info"}


class SiteColumns(NamedTuple):
    """How a site file is laid out.

    `fields` (7,) int64: the column of each of `plink_records.COLUMNS`, or -1; how many columns a line has, and whether
    it may not have more; lines before the first variant.
    """

    fields: IntArray
    n_columns: int
    exact: bool
    n_lines: int


def companion(path: Path, ends: tuple[str, ...]) -> Path:
    """The file beside a `.bed` or `.pgen` that has its name and one of the ends.

    Raises
    ------
    BadFile
        Where there is none.
    """
    stem = path.name.removesuffix(".bed").removesuffix(".pgen")
    for end in ends:
        beside = path.with_name(stem + end)
        if beside.is_file():
            return beside
    names = " or ".join(stem + end for end in ends)
    raise BadFile(str(path), "", f"there is no {names} beside it", f"the {ends[0]} that was written with it")


def read_samples(path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names (IID) and sexes ("male", "female" or "") of a `.fam` or `.psam`, in order.

    Raises
    ------
    BadFile
        With the line that is not as it should be.
    """
    if path.stat().st_size > _SAMPLES_BYTES:
        raise BadFile(str(path), "", "the file is larger than 1 GiB", "a line for each sample")
    try:
        lines = path.read_bytes().decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise BadFile(str(path), f"byte {error.start}", "the file is not UTF-8 text", "names in UTF-8") from error
    names: dict[str, int] = {}
    sexes = []
    columns = {"IID": 1, "SEX": 4}
    n_columns, headed = 6, False
    for number, line in enumerate(lines, start=1):
        fields = line.split()
        if line.startswith("#"):
            if fields[0] in ("#IID", "#FID") and not names:
                columns = {name.removeprefix("#"): place for place, name in enumerate(fields)}
                if "IID" not in columns:
                    raise BadFile(str(path), f"line {number}", "the header has no IID", "#FID and IID, or #IID, then SEX")
                n_columns, headed = len(fields), True
                continue
            if not names and not headed:
                continue
            raise BadFile(str(path), f"line {number}", "a header line stands among the samples", "a line for each sample")
        if len(fields) != n_columns:
            problem = f"the line has {len(fields)} columns, not {n_columns}"
            raise BadFile(str(path), f"line {number}", problem, "FID IID father mother sex phenotype, or a header's columns")
        name = fields[columns["IID"]]
        if name in names:
            problem = f"the IID {name[:80]} stands in line {names[name]} already"
            raise BadFile(str(path), f"line {number}", problem, "one IID for each sample")
        names[name] = number
        sexes.append(_SEX.get(fields[columns["SEX"]].lower(), "") if "SEX" in columns else "")
    if not names:
        raise BadFile(str(path), f"line {len(lines) + 1}", "the file has no sample", "a line for each sample")
    return tuple(names), tuple(sexes)


def site_columns(path: Path, *, is_bim: bool) -> SiteColumns:
    """How a `.bim` or `.pvar` is laid out.

    Raises
    ------
    BadFile
        Where a `.pvar` has no line of column names, or not those that it must have.
    """
    fields = np.full(len(COLUMNS), -1, np.int64)
    if is_bim:
        for name, place in _BIM.items():
            fields[COLUMNS.index(name)] = place
        return SiteColumns(fields, 6, True, 0)
    n_lines, seen = 0, 0
    for text, _ in site_pieces(path, 0):
        for line in text.splitlines():
            n_lines += 1
            seen += len(line)
            if line.startswith(b"##") and seen <= _HEADER_BYTES:
                continue
            names = line.decode("utf-8", "replace").split()
            missing = {"#CHROM", "POS", "ID", "REF", "ALT"} - set(names)
            if missing or len(set(names)) != len(names):
                problem = f"this is not a .pvar's line of column names: no {', '.join(sorted(missing)) or 'two alike'}"
                raise BadFile(str(path), f"line {n_lines}", problem, "#CHROM POS ID REF ALT, then others")
            for place, name in enumerate(names):
                if name in _PVAR:
                    fields[COLUMNS.index(_PVAR[name])] = place
            return SiteColumns(fields, len(names), True, n_lines)
    raise BadFile(
        str(path), f"line {n_lines + 1}", "the file has no line of column names", "#CHROM POS ID REF ALT, then others"
    )


def site_pieces(path: Path, skip: int) -> Iterator[tuple[bytes, int]]:
    """The lines of a site file after the first `skip`, in pieces of whole lines, and the number (from 1) of each first.

    The last line gets a line end where it has none.

    Raises
    ------
    BadFile
        Where a line is too long, or the compressed content is damaged.
    """
    held, line, left = b"", 1, skip
    for piece in _content(path):
        cut = piece.rfind(b"\n") + 1
        if not cut:
            held += piece
            if len(held) > _LINE_BYTES:
                raise BadFile(str(path), f"line {line}", *PROBLEMS[7])
            continue
        text, held = held + piece[:cut], piece[cut:]
        lines = text.count(b"\n")
        dropped = min(left, lines)
        at = 0
        for _ in range(dropped):
            at = text.index(b"\n", at) + 1
        left -= dropped
        if at < len(text):
            yield text[at:], line + dropped
        line += lines
    if held and not left:
        yield held + b"\n", line


def _content(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        if not path.name.endswith(".zst"):
            while piece := file.read(_PIECE_BYTES):
                yield piece
            return
        try:
            with pa.CompressedInputStream(file, "zstd") as stream:
                inflated: Any = stream
                while piece := inflated.read(_PIECE_BYTES):
                    yield piece
        except (OSError, pa.ArrowException) as error:
            problem = f"the compressed content is damaged: {' '.join(str(error).split())[:120]}"
            raise BadFile(str(path), f"byte {file.tell()}", problem, "a whole .pvar.zst file") from error
