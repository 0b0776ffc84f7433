"""Genes by name and by place, from a table per assembly that ships with the package or that the operator gives.

The environment variable `COHELIX_GENES` names a file `genes.GRCh37.tsv` or `genes.GRCh38.tsv` (also `.gz`), or a folder
of such files; a build without one keeps the shipped table. Columns, tab-separated, with a header line: `contig`, `start`
and `end` (1-based, inclusive), `ensembl_id`, `symbol`, `name`, `aliases` (comma-separated former or later symbols).
"""

from __future__ import annotations

import gzip
import os
import re
from bisect import bisect_left
from functools import cache
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cohelix.core.arrays import IntArray
from cohelix.core.errors import BadFile, BadUsage
from cohelix.core.genome import Assembly, Region, contig_order, plain_contig

SETTING = "COHELIX_GENES"
COLUMNS = ("contig", "start", "end", "ensembl_id", "symbol", "name", "aliases")
_ENSEMBL_ID = re.compile(r"ENSG\d{11}")


class Gene(NamedTuple):
    """A gene of one assembly: its symbol, its Ensembl id without version (or None), its name ("" unknown), its place."""

    symbol: str
    ensembl_id: str | None
    name: str
    region: Region


def find_gene(text: str, assembly: Assembly) -> Gene | None:
    """The gene of that symbol, alias or Ensembl id (`CRELD2`, `creld2`, `ENSG00000184164.10`), or None.

    A symbol goes before an alias; of several places of one symbol (the pseudo-autosomal regions), the first in
    genome order is given.
    """
    wanted = text.strip().upper()
    if wanted.startswith("ENSG"):
        wanted = wanted.partition(".")[0]
    table = _table(assembly)
    found = table.by_name.get(wanted)
    return None if found is None else table.genes[found]


def genes_in(region: Region, assembly: Assembly) -> tuple[Gene, ...]:
    """The genes that overlap a region, in genome order."""
    table = _table(assembly)
    rows = table.contigs.get(plain_contig(region.contig))
    if rows is None:
        return ()
    overlapping = (rows.starts < region.end) & (rows.ends > region.start)
    return tuple(table.genes[int(row)] for row in rows.first + np.flatnonzero(overlapping))


def suggest(prefix: str, assembly: Assembly, limit: int = 10) -> tuple[Gene, ...]:
    """At most `limit` genes whose symbol, alias or Ensembl id begins with `prefix`, shortest and then first names first."""
    wanted = prefix.strip().upper()
    table = _table(assembly)
    if not wanted:
        return ()
    first = bisect_left(table.names, wanted)
    last = bisect_left(table.names, wanted + "\U0010ffff")
    names = sorted(table.names[first:last], key=lambda name: (len(name), name))
    rows = dict.fromkeys(table.by_name[name] for name in names)
    return tuple(table.genes[row] for row in list(rows)[:limit])


class _ContigRows(NamedTuple):
    """The genes of one contig: the first one's row, and their 0-based half-open places in ascending order."""

    first: int
    starts: IntArray
    ends: IntArray


class _Table(NamedTuple):
    genes: tuple[Gene, ...]
    contigs: dict[str, _ContigRows]
    by_name: dict[str, int]  # symbols, aliases and ids in upper case
    names: list[str]  # the same names, sorted


def _table(assembly: Assembly) -> _Table:
    return _read(_operators_table(os.environ.get(SETTING), assembly), assembly)


def _operators_table(setting: str | None, assembly: Assembly) -> Path | None:
    names = (f"genes.{assembly}.tsv", f"genes.{assembly}.tsv.gz")
    if setting:
        given = Path(setting)
        if not given.exists():
            raise BadUsage(f"{SETTING} names {setting}, which does not exist")
        if given.is_file() and not re.fullmatch(r"genes\.GRCh3[78]\.tsv(\.gz)?", given.name):
            raise BadUsage(f"{SETTING} names {given.name}: call the file genes.GRCh37.tsv or genes.GRCh38.tsv (or .tsv.gz)")
        candidates = [given] if given.is_file() else [given / name for name in names]
        for path in candidates:
            if path.name in names and path.is_file():
                return path
    return None


@cache
def _read(own: Path | None, assembly: Assembly) -> _Table:
    source = own or resources.files("cohelix.core").joinpath("data", f"genes.{assembly}.tsv.gz")
    content = source.read_bytes()
    text = (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode("utf-8")
    lines = text.splitlines()
    if not lines or tuple(lines[0].split("\t")) != COLUMNS:
        raise BadFile(source.name, "line 1", "the header is not that of a gene table", f"the columns {', '.join(COLUMNS)}")
    entries = [_entry(line, source.name, number) for number, line in enumerate(lines[1:], 2) if line]
    entries.sort(key=lambda entry: (contig_order(entry[0].region.contig), entry[0].region, entry[0].symbol))
    genes = tuple(gene for gene, _ in entries)
    by_name: dict[str, int] = {}
    for names_of in (_own_names, _other_names):
        for row, (gene, aliases) in enumerate(entries):
            for name in names_of(gene, aliases):
                by_name.setdefault(name.upper(), row)
    return _Table(genes, _by_contig(genes), by_name, sorted(by_name))


def _entry(line: str, source: str, number: int) -> tuple[Gene, tuple[str, ...]]:
    fields = line.split("\t")
    if len(fields) != len(COLUMNS):
        raise BadFile(source, f"line {number}", f"{len(fields)} columns", f"{len(COLUMNS)}")
    contig, start, end, ensembl_id, symbol, name, aliases = fields
    if not (start.isascii() and start.isdigit() and end.isascii() and end.isdigit() and 1 <= int(start) <= int(end)):
        raise BadFile(source, f"line {number}", f"start {start!r} and end {end!r}", "1-based positions, start not after end")
    ensembl_id = ensembl_id.partition(".")[0]
    if ensembl_id and not _ENSEMBL_ID.fullmatch(ensembl_id):
        raise BadFile(
            source, f"line {number}", f"{ensembl_id!r} is not a gene's Ensembl id", "ENSG and eleven digits, or nothing"
        )
    if not (symbol or ensembl_id):
        raise BadFile(source, f"line {number}", "a gene without a symbol and an id", "at least one of them")
    region = Region(plain_contig(contig), int(start) - 1, int(end))
    gene = Gene(symbol or ensembl_id, ensembl_id or None, name, region)
    return gene, tuple(alias for alias in aliases.split(",") if alias)


def _own_names(gene: Gene, _aliases: tuple[str, ...]) -> tuple[str, ...]:
    return (gene.symbol, gene.ensembl_id) if gene.ensembl_id else (gene.symbol,)


def _other_names(_gene: Gene, aliases: tuple[str, ...]) -> tuple[str, ...]:
    return aliases


def _by_contig(genes: tuple[Gene, ...]) -> dict[str, _ContigRows]:
    rows: dict[str, list[int]] = {}
    for row, gene in enumerate(genes):
        rows.setdefault(gene.region.contig, []).append(row)
    return {
        contig: _ContigRows(
            found[0],
            np.array([genes[row].region.start for row in found], dtype=np.int64),
            np.array([genes[row].region.end for row in found], dtype=np.int64),
        )
        for contig, found in rows.items()
    }
