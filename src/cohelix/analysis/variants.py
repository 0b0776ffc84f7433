"""The list of variants that a run tests: merged from what nodes may name, in one order for all, named by its digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc

from cohelix.core.arrays import BoolArray, ByteArray, UintArray
from cohelix.core.errors import BadQuestion, Damaged
from cohelix.core.genome import HAPLOID_CONTIGS, contig_order
from cohelix.core.variant import VariantKey
from cohelix.wire.packed import pack, unpack

if TYPE_CHECKING:
    import polars as pl

STRETCH_VARIANTS = 100_000  # of one message
_SCHEMA = pa.schema(
    [("contig", pa.string()), ("position", pa.uint32()), ("ref", pa.large_string()), ("alt", pa.large_string())]
)


class Names(NamedTuple):
    """Names of some variants: contigs, (n,) 0-based trimmed positions, REF and ALT."""

    contig: Sequence[str]
    position: UintArray
    ref: Sequence[str]
    alt: Sequence[str]


class VariantList:
    """Variants in ascending order of contig (1…22, X, Y, MT, others), position, REF and ALT; none twice."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table.combine_chunks()

    def __len__(self) -> int:
        return int(self._table.num_rows)

    @classmethod
    def of(cls, keys: Iterable[VariantKey]) -> VariantList:
        """The list of these variants, in any order, doubles dropped."""
        given = list(keys)
        columns = ([key.contig for key in given], [key.position for key in given], [key.ref for key in given])
        return cls.merged([pa.table([*columns, [key.alt for key in given]], schema=_SCHEMA)])

    @classmethod
    def merged(cls, stretches: Iterable[pa.Table]) -> VariantList:
        """The union of tables of variants (`unpack_stretch`), in order."""
        import polars as pl

        tables = [_SCHEMA.empty_table(), *stretches]
        frame = pl.from_arrow(pa.concat_tables(tables))
        assert isinstance(frame, pl.DataFrame)
        contigs = sorted(frame["contig"].unique().to_list(), key=contig_order)
        if len(tables) == 2 and _in_order(frame, contigs):  # of one node, or of nodes that list the same: no need to sort
            return cls(tables[1].cast(_SCHEMA))
        order = pl.Series("contig", contigs, pl.String)
        rank = pl.DataFrame({"contig": order, "rank": np.arange(len(contigs), dtype=np.int64)})
        ordered = frame.unique().join(rank, on="contig").sort("rank", "position", "ref", "alt").drop("rank")
        return cls(ordered.to_arrow().cast(_SCHEMA))

    @classmethod
    def open(cls, path: Path) -> VariantList:
        """A list that was written, memory-mapped; `Damaged` where it is none."""
        try:
            with pa.memory_map(str(path)) as source:
                table = pa.ipc.open_file(source).read_all()
        except (OSError, pa.ArrowException) as error:
            raise Damaged(f"the list of variants cannot be read ({error})", path=str(path)) from None
        if table.schema != _SCHEMA:
            raise Damaged("the list of variants has other columns", path=str(path))
        return cls(table)

    def write(self, path: Path) -> None:
        """Write the list into a new file."""
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, _SCHEMA) as writer:
            writer.write_table(self._table, max_chunksize=len(self) or 1)

    def digest(self) -> str:
        """Lower-case hexadecimal SHA-256 of the packed stretches: the same for the same variants."""
        found = hashlib.sha256()
        for start in range(0, len(self), STRETCH_VARIANTS):
            found.update(hashlib.sha256(pack_stretch(self._table.slice(start, STRETCH_VARIANTS))).digest())
        return found.hexdigest()

    def table(self, start: int = 0, stop: int | None = None) -> pa.Table:
        """Columns contig, position (0-based), ref and alt of a stretch of the list."""
        return self._table.slice(start, None if stop is None else stop - start)

    def names(self, rows: Sequence[int] | np.ndarray) -> Names:
        """Names of the variants of these rows."""
        some = self._table.take(pa.array(np.asarray(rows, np.int64)))
        return Names(some["contig"].to_pylist(), some["position"].to_numpy(), some["ref"].to_pylist(), some["alt"].to_pylist())

    def haploid(self) -> BoolArray:
        """(variants,) bool: rows of X, Y and MT."""
        return np.asarray(
            pc.is_in(self._table["contig"], pa.array(sorted(HAPLOID_CONTIGS))).to_numpy(zero_copy_only=False), np.bool_
        )


def _in_order(frame: pl.DataFrame, contigs: Sequence[str]) -> bool:
    """Whether variants already stand in ascending order, none twice."""
    import polars as pl

    if frame["contig"].rle().struct.field("value").to_list() != contigs:
        return False
    contig, position, ref, alt = (pl.col(name) for name in _SCHEMA.names)
    later = (ref > ref.shift()) | ((ref == ref.shift()) & (alt > alt.shift()))
    follows = (position > position.shift()) | ((position == position.shift()) & later)
    return bool(frame.select((follows | (contig != contig.shift())).all()).item())


def stretch(contig: Sequence[str], position: UintArray, ref: Sequence[str], alt: Sequence[str]) -> pa.Table:
    """Some variants as a table, the form in which lists are merged."""
    texts = [one if isinstance(one, pa.Array | pa.ChunkedArray) else pa.array(one, pa.large_string()) for one in (ref, alt)]
    contigs = contig if isinstance(contig, pa.Array | pa.ChunkedArray) else pa.array(contig, pa.string())
    return pa.table([contigs, pa.array(position, pa.uint32()), *texts], schema=_SCHEMA)


def pack_stretch(table: pa.Table) -> bytes:
    """Variants as one message's body: texts as their bytes, with the ends of each; contigs by number."""
    contigs = table["contig"].combine_chunks().dictionary_encode()
    words = contigs.dictionary.to_pylist()
    # Contigs by first appearance, so that the same variants are the same bytes.
    numbers = contigs.indices.to_numpy(zero_copy_only=False).astype(np.uint32)
    arrays = {"position": table["position"].to_numpy().astype(np.uint32), "contig": numbers}
    for name in ("ref", "alt"):
        arrays[f"{name}_end"], arrays[name] = _text_bytes(table[name])
    return pack({"variants": table.num_rows, "contigs": words}, arrays)


def unpack_stretch(body: bytes) -> pa.Table:
    """What `pack_stretch` packed; `BadQuestion` where it is something else."""
    packed = unpack(body)
    try:
        count, words = int(packed.document["variants"]), packed.document["contigs"]
        position, numbers = packed.arrays["position"], packed.arrays["contig"]
        if len(position) != count or len(numbers) != count or not all(isinstance(word, str) for word in words):
            raise ValueError("columns of different lengths")
        if count and int(numbers.max()) >= len(words):
            raise ValueError("a contig that is not named")
        columns = [pa.array(words, pa.string()).take(pa.array(numbers)), pa.array(position.astype(np.uint32))]
        columns += [_texts(packed.arrays[f"{name}_end"], packed.arrays[name], count) for name in ("ref", "alt")]
        return pa.table(columns, schema=_SCHEMA)
    except (KeyError, ValueError, TypeError, pa.ArrowException) as error:
        raise BadQuestion(f"the message holds no variants ({error})") from None


def _text_bytes(column: pa.ChunkedArray) -> tuple[UintArray, ByteArray]:
    """The end of each text, and all texts' bytes one after another."""
    texts = column.combine_chunks()
    texts = texts.chunk(0) if isinstance(texts, pa.ChunkedArray) else texts
    if not len(texts):
        return np.empty(0, np.uint32), np.empty(0, np.uint8)
    _, ends, content = texts.buffers()
    offsets = np.frombuffer(ends, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    held = np.frombuffer(content, np.uint8) if content is not None else np.empty(0, np.uint8)
    return (offsets[1:] - offsets[0]).astype(np.uint32), held[offsets[0] : offsets[-1]]


def _texts(ends: Any, content: Any, count: int) -> pa.Array:
    offsets = np.concatenate([[0], ends]).astype(np.int64)
    if len(ends) != count or content.dtype != np.uint8 or (np.diff(offsets) < 0).any() or offsets[-1] != len(content):
        raise ValueError("texts that do not fit their ends")
    buffers = [None, pa.py_buffer(offsets.tobytes()), pa.py_buffer(content.tobytes())]
    texts = pa.Array.from_buffers(pa.large_string(), count, buffers)
    texts.validate(full=True)
    return texts
