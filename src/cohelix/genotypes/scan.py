"""The compiled loops that read raw VCF lines and BCF records and encode each ALT, by the layout of `EncodedBatch`.

One pass per record: the site is parsed and checked (`scan_sites`); the genotypes are compared eight bytes at a time with
"everybody is homozygous for REF", and only the exceptions are listed (`scan_vcf`, `scan_bcf`); each ALT is then encoded
from that list (`scan_calls`). Every byte is read inside checked bounds: a loop ends with an error code where a record is
not as it should be (`scan_layout.ERRORS` has the words).
"""

# ruff: noqa: PLR0917
# What a compiled loop works on is handed over in one call.

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cohelix.genotypes.plink_records import (
    COLUMNS,
    SITE_COLUMNS,
    TALLIES,
    bed_words,
    packed_genotypes,
    parse_lines,
    write_bcf,
)
from cohelix.genotypes.scan_bcf import encode_records, walk_records
from cohelix.genotypes.scan_layout import P_SIZE, S_SIZE, new_output, new_scratch
from cohelix.genotypes.scan_vcf import encode_lines
from cohelix.stats.numba_start import njit


def _sources(*further: str) -> int:
    """A checksum of the loops' source. Numba's cache looks at the file of the outermost function only."""
    here = Path(__file__)
    names = ("scan_layout.py", "scan_sites.py", "scan_calls.py", "scan_vcf.py", "scan_bcf.py", "model.py")
    checksum = 0
    for name in (*names, *further):
        checksum = zlib.crc32(here.with_name(name).read_bytes(), checksum)
    return checksum


def _entries(sources: int) -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]:
    """The three loops that are called from Python. What they close over is part of their key in Numba's cache."""

    @njit(nogil=True, cache=True)
    def encode_vcf(
        buf: Any, n: Any, contig: Any, permutation: Any, fasta: Any, settings: Any, scratch: Any, out: Any, state: Any
    ) -> Any:
        """Encode whole lines in `buf[:n]` from `state[S_OFFSET]` on, as long as CHROM is `contig` and the batch has room."""
        encode_lines(buf, n, contig, permutation, fasta, settings, scratch, out, state)
        return sources

    @njit(nogil=True, cache=True)
    def encode_bcf(buf: Any, n: Any, permutation: Any, fasta: Any, settings: Any, scratch: Any, out: Any, state: Any) -> Any:
        """Encode the whole records in `buf[:n]` from `state[S_OFFSET]` on, as long as the contig is that of the settings."""
        encode_records(buf, n, permutation, fasta, settings, scratch, out, state)
        return sources

    @njit(nogil=True, cache=True)
    def walk_bcf(buf: Any, p: Any, n: Any, record_bytes: Any) -> Any:
        """Step over whole records in `buf[:n]` from p: (first byte of what is not whole, records, 0 or an error code)."""
        first, records, error = walk_records(buf, p, n, record_bytes)
        return first, records, error + 0 * sources

    return encode_vcf, encode_bcf, walk_bcf


def _plink_entries(sources: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The loops that make records of PLINK's files."""

    @njit(nogil=True, cache=True)
    def parse_sites(text: Any, columns: Any, n_columns: Any, exact: Any, previous: Any, sites: Any) -> Any:
        """Parse the whole lines of a `.bim` or `.pvar`: (lines before one that is refused, 0 or an error code)."""
        lines, error = parse_lines(text, columns, n_columns, exact, previous, sites)
        return lines, error + 0 * sources

    @njit(nogil=True, cache=True)
    def write_records(
        text: Any,
        sites: Any,
        contig: Any,
        ploidy_class: Any,
        ploidies: Any,
        bed: Any,
        words: Any,
        alleles: Any,
        phased: Any,
        fasta: Any,
        layouts: Any,
        rule: Any,
        scratch: Any,
        tallies: Any,
        out: Any,
    ) -> Any:
        """Write a BCF record for each site of a PLINK file: (bytes, records before one that is refused, error code)."""
        size, records, error = write_bcf(
            text,
            sites,
            contig,
            ploidy_class,
            ploidies,
            bed,
            words,
            alleles,
            phased,
            fasta,
            layouts,
            rule,
            scratch,
            tallies,
            out,
        )
        return size, records, error + 0 * sources

    return parse_sites, write_records


encode_vcf, encode_bcf, walk_bcf = _entries(_sources())
parse_sites, write_records = _plink_entries(_sources("plink_records.py"))


def compile_kernels() -> None:
    """Compile the kernels, or read them from Numba's cache; a first load otherwise waits for it (half a minute)."""
    bytes_in, mapped = np.zeros(1, np.uint8), np.frombuffer(b"", np.uint8)
    scratch, out, state = new_scratch(1), new_output(1), np.zeros(S_SIZE, np.int64)
    settings, nobody = np.zeros(P_SIZE, np.int64), np.empty(0, np.int64)
    encode_vcf(bytes_in, 0, mapped, nobody, mapped, settings, scratch, out, state)
    encode_bcf(bytes_in, 0, nobody, mapped, settings, scratch, out, state)
    walk_bcf(mapped, 0, 0, 0)
    _compile_plink()


def _compile_plink() -> None:
    """Make no record of no variant, in the forms in which a load calls it."""
    text = np.frombuffer(b"", np.uint8)
    sites, nobody = np.empty((0, SITE_COLUMNS), np.int64), np.empty(0, np.int64)
    parse_sites(text, np.full(len(COLUMNS), -1, np.int64), 6, True, text, sites)
    packed_genotypes(np.empty((0, 0), np.int8))
    write_records(
        text,
        sites,
        nobody,
        np.empty(0, np.uint8),
        np.zeros((4, 1), np.uint8),
        text,
        bed_words(),
        np.empty((0, 0), np.int32),
        np.empty((0, 0), np.uint8),
        text,
        np.zeros((1, P_SIZE), np.int64),
        0,
        new_scratch(1),
        np.zeros(TALLIES, np.int64),
        np.empty(16, np.uint8),
    )
