"""The list of variants of a run: order, union, digest, and the road between members."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from cohelix.analysis.variants import VariantList, pack_stretch, stretch, unpack_stretch
from cohelix.core.errors import BadQuestion, Damaged
from cohelix.core.genome import contig_order
from cohelix.core.variant import VariantKey


def _keys(seed: int, count: int = 500) -> list[VariantKey]:
    rng = np.random.default_rng(seed)
    contigs, bases = ["1", "2", "10", "22", "X", "MT"], ["A", "C", "G", "T", "AT", "GCC"]
    return [
        VariantKey(str(rng.choice(contigs)), int(rng.integers(0, 300)), str(rng.choice(bases)), str(rng.choice(bases)))
        for _ in range(count)
    ]


def test_union_is_in_order_and_without_doubles() -> None:
    first, second = _keys(1), _keys(2)
    merged = VariantList.merged([VariantList.of(first).table(), VariantList.of(second).table()])
    expected = sorted(set(first) | set(second), key=lambda key: (contig_order(key.contig), key.position, key.ref, key.alt))
    names = merged.names(np.arange(len(merged)))
    found = [VariantKey(*one) for one in zip(names.contig, names.position.tolist(), names.ref, names.alt, strict=True)]
    assert found == expected
    assert merged.haploid().tolist() == [key.contig in ("X", "MT") for key in expected]


def test_digest_names_the_variants_whatever_way_they_came(tmp_path: Path) -> None:
    keys = _keys(3)
    given = VariantList.of(keys)
    given.write(tmp_path / "variants.arrow")
    assert VariantList.open(tmp_path / "variants.arrow").digest() == given.digest() == VariantList.of(keys[::-1]).digest()
    assert VariantList.of([*keys[1:], VariantKey("1", 301, "A", "C")]).digest() != given.digest()


@pytest.mark.parametrize("count", [0, 1, 400])
def test_a_stretch_travels(count: int) -> None:
    table = VariantList.of(_keys(4, count)).table() if count else VariantList.of([]).table()
    assert unpack_stretch(pack_stretch(table)).equals(table)


def test_another_message_is_refused(tmp_path: Path) -> None:
    body = pack_stretch(VariantList.of(_keys(5)).table())
    for broken in (body[:-1], body + b"x", b"", b"\0" * 40):
        with pytest.raises(BadQuestion):
            unpack_stretch(broken)
    (tmp_path / "other.arrow").write_bytes(b"not a list")
    with pytest.raises(Damaged):
        VariantList.open(tmp_path / "other.arrow")
    table = pa.table({"a": [1]})
    with pa.OSFile(str(tmp_path / "columns.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(Damaged):
        VariantList.open(tmp_path / "columns.arrow")


def test_a_table_in_order_is_taken_as_it_is_and_no_other() -> None:
    keys = [
        ("1", 5, "A", "C"),
        ("1", 5, "A", "G"),
        ("1", 5, "C", "A"),
        ("1", 9, "A", "C"),
        ("2", 3, "A", "C"),
        ("X", 1, "A", "C"),
    ]

    def table(some: list[tuple[str, int, str, str]]) -> pa.Table:
        contig, position, ref, alt = zip(*some, strict=True)
        return stretch(contig, np.array(position, np.uint32), ref, alt)

    whole = VariantList.merged([table(keys)])
    assert whole.table().equals(table(keys))
    for number in range(1, len(keys)):
        turned = [*keys[number:], *keys[:number]]
        assert VariantList.merged([table(turned)]).digest() == whole.digest()
        doubled = [*keys[:number], keys[number - 1], *keys[number:]]
        assert VariantList.merged([table(doubled)]).digest() == whole.digest()
