"""Sequences that stay on disk: words of an Arrow column, people of stored terms, documents in compressed blocks."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Generic, TypeVar, cast, overload

import numpy as np
import pyarrow as pa
import pyarrow.ipc

from cohelix.core.errors import Damaged

_Item = TypeVar("_Item")
_WORDS_AT_ONCE = 65_536
DOCUMENTS_A_BLOCK = 128  # some 400 kB of phenopackets; reading one of them expands them all
_BLOCKS_KEPT = 8


class Lazy(Sequence[_Item], Generic[_Item]):
    """A sequence of `length` items, each made when it is asked for; equal to any sequence of the same items."""

    def __init__(self, length: int, item: Callable[[int], _Item]) -> None:
        self._length, self._item = length, item

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, place: int) -> _Item: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[_Item, ...]: ...
    def __getitem__(self, place: int | slice) -> _Item | tuple[_Item, ...]:
        if isinstance(place, slice):
            return tuple(self._item(number) for number in range(*place.indices(self._length)))
        number = int(place)
        if not -self._length <= number < self._length:
            raise IndexError(f"item {number} of {self._length}")
        return self._item(number % self._length)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str | bytes):
            return NotImplemented
        return len(self) == len(other) and all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # as of a list


class Words(Lazy[str]):
    """A column of text, memory-mapped."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        self.column = column.combine_chunks()
        super().__init__(len(self.column), lambda number: cast(str, self.column[number].as_py()))

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), _WORDS_AT_ONCE):
            yield from self.column.slice(start, _WORDS_AT_ONCE).to_pylist()


class Blocks(Lazy[bytes]):
    """Documents in a file of compressed blocks, of which a few are kept expanded. Safe for many threads."""

    def __init__(self, path: Path, length: int) -> None:
        """Open the file; raises `Damaged` where it is missing, cut or not of `length` documents."""
        self._name = path.name
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, pa.LargeBinaryArray] = OrderedDict()
        try:
            self._reader = pa.ipc.open_file(pa.memory_map(str(path)))
            blocks = self._reader.num_record_batches
        except (OSError, pa.ArrowException) as error:
            raise Damaged(f"{self._name}: cannot be read ({error})") from None
        if blocks != -(-length // DOCUMENTS_A_BLOCK):
            raise Damaged(f"{self._name}: {blocks} blocks, where {length} documents are to be")
        super().__init__(length, self._document)

    @staticmethod
    def write(path: Path, documents: Sequence[bytes]) -> None:
        """Write documents, block after block; the bytes depend on the documents only."""
        schema = pa.schema([("document", pa.large_binary())])
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema, options=options) as writer:
            for start in range(0, len(documents), DOCUMENTS_A_BLOCK):
                block = list(documents[start : start + DOCUMENTS_A_BLOCK])
                writer.write_batch(pa.record_batch([pa.array(block, pa.large_binary())], schema=schema))

    def _document(self, number: int) -> bytes:
        block, place = divmod(number, DOCUMENTS_A_BLOCK)
        with self._lock:
            column = self._kept.get(block)
            if column is None:
                try:
                    column = self._kept[block] = self._reader.get_batch(block).column(0)
                except (OSError, pa.ArrowException) as error:
                    raise Damaged(f"{self._name}: block {block} cannot be read ({error})") from None
                if len(self._kept) > _BLOCKS_KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(block)
        if place >= len(column):
            raise Damaged(f"{self._name}: block {block} is too short")
        return cast(bytes, column[place].as_py())


def numbers_of(words: Sequence[str]) -> tuple[tuple[str, ...], np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """The different words, ascending, and (items,) which of them each item is."""
    if not len(words):  # Arrow's functions are loaded by the first that is called
        return (), np.empty(0, np.int64)
    column = words.column if isinstance(words, Words) else pa.array(words, pa.string())
    coded = column.dictionary_encode()
    values = coded.dictionary.to_pylist()
    order = sorted(range(len(values)), key=values.__getitem__)
    rank = np.empty(len(values), np.int64)
    rank[order] = np.arange(len(values))
    return tuple(values[place] for place in order), rank[coded.indices.to_numpy()]
