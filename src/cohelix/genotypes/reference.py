"""A reference genome as a FASTA file: where each contig's bases lie, without reading them into memory."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from cohelix.core.arrays import ByteArray
from cohelix.core.errors import AssemblyMismatch, BadFile
from cohelix.core.genome import Assembly, known_contig


class Layout(NamedTuple):
    """Where a sequence lies: byte of its first base, bases and bytes of a line, length in bases."""

    offset: int
    line_bases: int
    line_bytes: int
    length: int


class Reference:
    """A memory-mapped, uncompressed FASTA file with its index (`.fai`, made on the fly where there is none)."""

    def __init__(self, path: Path, assembly: Assembly) -> None:
        """Map the file and check its contigs' lengths.

        Raises
        ------
        BadFile
            If it is not FASTA, is compressed, or its index does not fit it.
        AssemblyMismatch
            If a contig's length is not the assembly's.
        """
        self.path, self.assembly = path, assembly
        if not path.is_file():
            problem = "it is a folder, a pipe or a device" if path.exists() else "there is no such file"
            raise BadFile(str(path), "", problem, "an uncompressed FASTA file")
        with path.open("rb") as file:
            start = file.read(2)
        if start[:2] == b"\x1f\x8b":
            raise BadFile(str(path), "byte 0", "the reference is compressed", "an uncompressed FASTA file: gunzip it")
        if start[:1] != b">":
            raise BadFile(str(path), "byte 0", "the reference does not begin with '>'", "a FASTA file")
        self.bases: ByteArray = np.asarray(np.memmap(path, np.uint8, "r"))
        index = path.with_name(path.name + ".fai")
        layouts = self._read_index(index) if index.exists() else self._make_index()
        self._by_name: dict[str, Layout] = {}
        for name, layout in layouts.items():
            contig = known_contig(name, assembly)
            if contig is None:
                continue
            if contig.length and contig.length != layout.length:
                problem = f"sequence {name} has {layout.length} bases, not the {contig.length} of {assembly}"
                raise AssemblyMismatch(str(path), "sequences", problem, f"a reference of {assembly}")
            self._by_name.setdefault(contig.name, layout)

    def layout(self, contig: str) -> Layout:
        """Where a contig's bases lie; raises `BadFile` where the file does not have it."""
        found = self._by_name.get(contig)
        if found is None:
            raise BadFile(str(self.path), "sequences", f"the reference has no contig {contig}", "every contig of the records")
        return found

    def base(self, contig: str, position: int) -> str:
        """The base at a 0-based position, upper case."""
        layout = self.layout(contig)
        line, column = divmod(position, layout.line_bases)
        return chr(self.bases[layout.offset + line * layout.line_bytes + column]).upper()

    def _read_index(self, index: Path) -> dict[str, Layout]:
        layouts = {}
        for number, line in enumerate(index.read_text(encoding="utf-8").splitlines(), start=1):
            fields = line.split("\t")
            try:
                length, offset, line_bases, line_bytes = map(int, fields[1:5])
            except ValueError as error:
                raise BadFile(
                    str(index), f"line {number}", "not a line of a FASTA index", "samtools faidx's five columns"
                ) from error
            ends = offset + (length // max(line_bases, 1)) * line_bytes + length % max(line_bases, 1)
            if not (0 < line_bases < line_bytes and offset >= 0 and length >= 0 and ends <= self.bases.size):
                raise BadFile(str(index), f"line {number}", "the index does not fit its FASTA file", "an index made anew")
            layouts[fields[0]] = Layout(offset, line_bases, line_bytes, length)
        return layouts

    def _make_index(self) -> dict[str, Layout]:
        """Find the sequences by their lines; every line of one but its last must be equally long."""
        layouts: dict[str, Layout] = {}
        with self.path.open("rb") as file:
            name, offset, length, line_bases, line_bytes, short = "", 0, 0, 0, 0, False
            at = 0
            for number, line in enumerate(file, start=1):
                at += len(line)
                if line.startswith(b">"):
                    if name:
                        layouts[name] = Layout(offset, max(line_bases, 1), max(line_bytes, 2), length)
                    words = line[1:].split(None, 1)
                    name = words[0].decode("utf-8", "replace") if words else f"line {number}"
                    offset, length, line_bases, line_bytes, short = at, 0, 0, 0, False
                    continue
                bases = len(line.rstrip(b"\r\n"))
                if (short and bases) or (line_bases and bases > line_bases):
                    raise BadFile(
                        str(self.path), f"line {number}", "lines of a sequence differ in length", "lines of one length"
                    )
                if not line_bases:
                    line_bases, line_bytes = bases, len(line)
                short = bases < line_bases
                length += bases
            layouts[name] = Layout(offset, max(line_bases, 1), max(line_bytes, 2), length)
        return layouts
