"""What genotypes are made of here: encoded batches of variants, cohorts of samples, decoded blocks.

How one variant (one ALT of one record) is encoded, N samples
--------------------------------------------------------------
Each sample has one *call*: one allele (haploid) or two (diploid). Which samples are haploid is the variant's
*ploidy pattern*, shared by many variants (males on X, everybody on MT). Within that pattern a call is

* none      every called allele is not this ALT, all called: nothing is stored;
* carrier   all alleles called and one copy (het; hemizygous if haploid) or two copies (hom) are this ALT;
* missing   nothing called;
* half      diploid, one allele called and the other not: it counts in AN and AC, and is `missing` as a person.

A **sparse** variant (carriers + missing + half <= N // 16) lists its carriers and its missing; a **dense** one has a
packed row of 2-bit codes. The missing list keeps a rare variant sparse when some calls are missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from cohelix.core.arrays import AlleleArray, BoolArray, ByteArray, IntArray, UintArray, WordArray
from cohelix.core.errors import ShapeMismatch
from cohelix.core.genome import Assembly

# 2-bit codes of a dense row; sample i sits at bits 2*(i % 32) of word i // 32.
CODE_NONE, CODE_ONE, CODE_TWO, CODE_MISSING = 0, 1, 2, 3
# Entries of the missing list are `sample << 4 | kind`.
MISSING_SHIFT = 4
KIND_HALF = 1  # one allele of two is called; otherwise nothing is
KIND_ALT = 2  # the called one is this ALT
KIND_SECOND = 4  # the called one is written second (`./1`)
KIND_PHASED = 8
# Bits of `flags`.
FLAG_DENSE = 1
PHASE_SHIFT, PHASE_MASK = 1, 0b110
PHASE_NONE, PHASE_ALL, PHASE_MIXED = 0, 1, 2


def sparse_limit(n_samples: int) -> int:
    """Most entries (carriers, missing and half) that a sparse variant may list: 4 bytes each weigh as a packed row."""
    return n_samples // 16


class Strings(NamedTuple):
    """A column of byte strings: `heap[offsets[i]:offsets[i + 1]]` is string i; offsets int64, (n + 1,)."""

    offsets: IntArray
    heap: bytes

    def __getitem__(self, index: int) -> bytes:  # type: ignore[override]
        return self.heap[self.offsets[index] : self.offsets[index + 1]]


@dataclass(frozen=True, slots=True)
class EncodedBatch:
    """Encoded variants of one contig, the form in which sources hand them to the writer.

    Attributes
    ----------
    contig, n_samples
        Our contig name; number of genotype columns N.
    position, end
        (n,) uint32; 0-based start of the trimmed REF, and the end of the reference covered: position + len(REF), or
        INFO/END for a symbolic ALT.
    alleles
        `REF\\tALT` of each variant, trimmed, upper case; a symbolic ALT as in the source.
    ids
        The source's ID column; empty where it is `.`.
    record, alt_index, n_alts
        (n,) int64, uint16, uint16: ordinal of the source record within this load (ascending in file order), which of
        its ALTs this is (0-based), and how many it had. The back-pointer of a split record.
    source
        `POS\\tREF\\tALT[,ALT…]` (POS 1-based) of the source record where it differs from the trimmed, biallelic form;
        empty otherwise. All variants of one record carry the same text.
    flags
        (n,) uint8: FLAG_DENSE, and the phase state at PHASE_SHIFT: PHASE_NONE no het is phased, PHASE_ALL every one
        is, PHASE_MIXED some.
    pattern, ploidy
        (n,) int32 into `ploidy`, (patterns, ceil(N / 64)) uint64 bitmaps of haploid samples; pattern 0 is all zero.
    carriers, carrier_offsets
        uint32 `sample << 1 | two_copies`, ascending within a variant; (n + 1,) int64. Dense variants have none.
    rows
        (dense variants, ceil(N / 32)) uint64, in the order of the dense variants; codes as above. Half-called samples
        have CODE_MISSING here and their kind in the missing list.
    missing, missing_offsets
        uint32 `sample << 4 | kind`, ascending within a variant; (n + 1,) int64. Sparse: missing and half-called
        samples. Dense: half-called samples only.
    phase, phase_offsets
        uint8; (n + 1,) int64. Bits, least significant first, one per het (diploid one-copy carrier) in sample order:
        0 `1|0`, 1 `0|1`. PHASE_MIXED has two bits per het: phased or not, then which. PHASE_NONE has none. Each
        variant starts at a byte.
    """

    contig: str
    n_samples: int
    position: UintArray
    end: UintArray
    alleles: Strings
    ids: Strings
    record: IntArray
    alt_index: np.ndarray[tuple[int], np.dtype[np.uint16]]
    n_alts: np.ndarray[tuple[int], np.dtype[np.uint16]]
    source: Strings
    flags: ByteArray
    pattern: np.ndarray[tuple[int], np.dtype[np.int32]]
    ploidy: WordArray
    carriers: UintArray
    carrier_offsets: IntArray
    rows: WordArray
    missing: UintArray
    missing_offsets: IntArray
    phase: ByteArray
    phase_offsets: IntArray

    def __len__(self) -> int:
        return len(self.position)


@dataclass(frozen=True, slots=True)
class Cohort:
    """A set of samples of a store, in the shapes that the kernels want.

    Attributes
    ----------
    n_samples, size
        Genotype columns of the store, and how many of them are in the cohort.
    flags
        (n_samples,) uint8, 1 for a member.
    bits
        (ceil(n_samples / 64),) uint64, one bit per sample.
    pairs
        (ceil(n_samples / 32),) uint64, 0b01 at each member's 2-bit place, to mask dense rows.
    """

    n_samples: int
    size: int
    flags: ByteArray
    bits: WordArray
    pairs: WordArray

    @classmethod
    def of(cls, n_samples: int, samples: IntArray | BoolArray | None = None) -> Cohort:
        """The cohort of these sample indexes, or of a boolean mask; None means everybody.

        Raises
        ------
        ShapeMismatch
            If a mask has another length, or an index is out of range.
        """
        flags = np.zeros(n_samples, np.uint8)
        if samples is None:
            flags[:] = 1
        elif samples.dtype == np.bool_:
            if samples.shape != (n_samples,):
                raise ShapeMismatch(f"a mask of shape {samples.shape} does not select from {n_samples} samples")
            flags[:] = samples
        else:
            if samples.size and (samples.min() < 0 or samples.max() >= n_samples):
                raise ShapeMismatch(f"sample indexes reach outside 0…{n_samples - 1}")
            flags[samples] = 1
        bits = np.zeros(-(-n_samples // 64) * 8, np.uint8)
        packed = np.packbits(flags, bitorder="little")
        bits[: packed.size] = packed
        spread = np.zeros(-(-n_samples // 32) * 64, np.uint8)
        spread[: 2 * n_samples : 2] = flags
        pairs = np.packbits(spread, bitorder="little").view(np.uint64)
        return cls(n_samples, int(flags.sum()), flags, bits.view(np.uint64), pairs)


class StoreInfo(NamedTuple):
    """What a genotype store holds; `samples` are the source's column names, in column order."""

    assembly: Assembly
    samples: tuple[str, ...]
    n_variants: int
    contigs: tuple[str, ...]
    format_version: int


class VariantTable(NamedTuple):
    """Names of consecutive rows of one contig; every list has one entry per row.

    `source` is the `POS\\tREF\\tALT` text of the source record, or empty where it equals the row's own alleles.
    """

    contig: str
    position: UintArray
    end: UintArray
    ref: list[str]
    alt: list[str]
    id: list[str]
    record: IntArray
    alt_index: IntArray
    n_alts: IntArray
    source: list[str]


class Carriers(NamedTuple):
    """Who carries an ALT: (carriers,) int64 sample indexes, ascending, and (carriers,) uint8 copies, 1 or 2."""

    sample_index: IntArray
    copies: ByteArray


class Calls(NamedTuple):
    """Decoded calls: `alleles` (rows, N, 2) int8 and `phased` (rows, N) bool, as in the array registry."""

    alleles: AlleleArray
    phased: BoolArray


DosageType = Literal["float32", "float64"]
