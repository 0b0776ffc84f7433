"""What the compiled loops of a load share: slots of their state and settings, their working memory, and their errors."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cohelix.core.arrays import ByteArray, IntArray, UintArray, WordArray

# Slots of the state array that a kernel reads and writes.
(
    S_OFFSET,  # next byte to read
    S_ALT,  # ALT of the record there at which to go on, 0 at its beginning
    S_RECORDS,  # records finished
    S_ERROR,  # an error code, or 0
    S_DETAIL,  # sample column, allele or position that the error is about
    S_STOP,  # why the kernel returned
    S_VARIANTS,
    S_CARRIERS,
    S_WORDS,
    S_MISSING,
    S_PHASE,
    S_ALLELES,
    S_IDS,
    S_SOURCES,
    S_PATTERNS,
    S_TRANSITIONS,
    S_TRANSVERSIONS,
    S_TRIMMED,
    S_LEFT_ALIGNED,
    S_MULTIALLELIC,
    S_WITHOUT_GT,
    S_BAD_END,
    S_LAST_POSITION,
    S_HALF_CALLS,
    S_REF_UNPHASED,  # 1 where a homozygous REF call of the record in hand is not phased
    S_REFERENCE_BLOCKS,  # gVCF blocks: rows whose ALT is <NON_REF>
    S_FAILED_FILTER,  # called calls made missing by their record's FILTER, by GQ and by DP, the first that applies
    S_FAILED_GQ,
    S_FAILED_DP,
    S_SIZE,
) = range(30)
FAILED_FILTER, FAILED_GQ, FAILED_DP = 1, 2, 3
STOP_END, STOP_CONTIG, STOP_FULL, STOP_ERROR = range(4)

# Slots of the settings array.
(
    P_SAMPLES,
    P_PERMUTED,
    P_CONTIG_LENGTH,  # 0: not known
    P_RECORD_BYTES,
    P_FIRST_RECORD,
    P_FASTA,  # 1: a reference is given; its layout follows
    P_FASTA_OFFSET,
    P_FASTA_LINE_BASES,
    P_FASTA_LINE_BYTES,
    P_FASTA_LENGTH,
    P_CONTIG,  # BCF: index of the contig
    P_GT,  # BCF: dictionary index of FORMAT/GT, INFO/END, INFO/SVLEN; -1 without
    P_END,
    P_SVLEN,
    P_KEYS,  # BCF: size of the dictionary of strings
    P_FILTERED,  # 1: any of the three rules for calls that follow is set
    P_PASS_ONLY,  # 1: calls of a record whose FILTER is neither PASS nor missing become missing
    P_MIN_GQ,  # calls with a lower GQ or DP become missing; -1: no rule. As an integer, and as the bits of a float32
    P_MIN_GQ_BITS,
    P_MIN_DP,
    P_MIN_DP_BITS,
    P_GQ,  # BCF: dictionary index of FORMAT/GQ and FORMAT/DP; -1 without
    P_DP,
    P_TAIL,  # where TAIL stands in the buffer
    P_SIZE,
) = range(25)

# A deletion or insertion moves left by at most so many bases, so that the writer's window is bounded.
LEFT_ALIGN_BASES = 10_000
# REF and all ALTs of one record together, and its ID.
SITE_ALLELES_BYTES, ID_BYTES = 4 << 20, 1 << 16
# What all ALTs of one record may weigh with a copy of the record's alleles each.
RECORD_ALLELES_BYTES = 64 << 20
ALTS_MAX = 65_535  # `EncodedBatch.n_alts` is uint16
# What stands behind the records of every buffer: a BCF's absent ALT, and what the ALT of a reference block is written as.
TAIL = b".<NON_REF>"
MISSING, NO_SECOND = -1, -2  # an allele that is not called; no second allele (haploid)

ERRORS: dict[int, tuple[str, str]] = {
    1: ("a header line stands among the records", "all lines that start with '#' before the first record"),
    2: ("an empty line", "a record on every line"),
    3: ("the number of columns is not that of the header line", "9 columns and one for each sample, separated by tabs"),
    4: ("POS is not a whole number", "a 1-based position, in digits"),
    5: ("POS is 0", "a position from 1 on: telomere records are not taken"),
    6: ("the position is beyond the end of the contig", "a position within the contig of this assembly"),
    7: ("the records are not sorted", "ascending positions within a contig: sort the file, for example with bcftools sort"),
    8: ("REF is empty or has other characters", "one or more of A, C, G, T, N"),
    9: (
        "an ALT allele is empty or has other characters",
        "bases (A, C, G, T, N), '*', a symbolic allele such as <DEL>, a breakend, or a lone '.'",
    ),
    10: (
        "the record has too many alleles, or too long ones",
        "at most 65,535 ALTs, 4 MiB of alleles, and 64 MiB once it is split",
    ),
    11: ("the record is longer than this many samples can need", "records within the bound of the header's samples"),
    12: ("GT is not the first FORMAT field", "GT first, as the VCF specification has it"),
    13: ("a genotype is not written as GT is", "allele numbers or '.', separated by '/' or '|'"),
    14: ("a genotype has more than two alleles", "haploid and diploid calls"),
    15: ("a genotype names an allele that the record does not have", "allele numbers up to the number of ALTs"),
    16: ("REF is not what the reference has there", "the REF that the given reference sequence has"),
    17: ("INFO/END is not a whole number", "END as a 1-based position"),
    18: ("the ID is empty or too long", "an identifier of at most 65,536 bytes, or '.'"),
    20: ("the record's lengths do not fit its content", "lengths that agree with what they frame"),
    21: ("the record has another number of samples than the header", "as many samples as the header names"),
    22: ("the record uses a key that the header's dictionary does not have", "keys that the header declares"),
    23: ("a typed value has an unknown type", "the BCF types 0, 1, 2, 3, 5 and 7"),
    24: ("the record has no REF allele", "at least one allele"),
    25: ("GT is not stored as integers", "GT as a vector of int8, int16 or int32"),
    26: ("FORMAT names GT twice", "one GT"),
}


class Scratch(NamedTuple):
    """What a kernel works in, made once per thread: exceptions of the record in hand, its ALTs, sums per sample."""

    sample: IntArray
    first: IntArray
    second: IntArray
    phased: ByteArray
    sort: IntArray  # (4, N)
    alt_offset: IntArray
    alt_length: IntArray
    alt_kind: ByteArray
    svlen: IntArray
    haploid: WordArray
    absent: WordArray
    sums: IntArray  # (3, N): het, hom ALT, not fully called
    failed: ByteArray  # why a call of the record in hand becomes missing: FAILED_…


class Output(NamedTuple):
    """Columns of the batch under construction, as `EncodedBatch` has them, each with room to spare."""

    position: UintArray
    end: UintArray
    record: IntArray
    alt_index: np.ndarray[tuple[int], np.dtype[np.uint16]]
    n_alts: np.ndarray[tuple[int], np.dtype[np.uint16]]
    flags: ByteArray
    pattern: np.ndarray[tuple[int], np.dtype[np.int32]]
    ploidy: WordArray
    diploid: WordArray  # union of the called diploids of every variant that uses a pattern
    carriers: UintArray
    carrier_offsets: IntArray
    rows: WordArray
    missing: UintArray
    missing_offsets: IntArray
    phase: ByteArray
    phase_offsets: IntArray
    alleles: ByteArray
    allele_offsets: IntArray
    ids: ByteArray
    id_offsets: IntArray
    sources: ByteArray
    source_offsets: IntArray


VARIANTS_MAX, PATTERNS_MAX = 1 << 16, 32
_ENTRIES, _WORDS, _TEXT = 1 << 21, 1 << 21, 16 << 20


def new_scratch(n_samples: int) -> Scratch:
    """Working memory for records of this many samples."""
    n, words = n_samples, -(-n_samples // 64)
    return Scratch(
        np.empty(n, np.int64),
        np.empty(n, np.int64),
        np.empty(n, np.int64),
        np.empty(n, np.uint8),
        np.empty((4, n), np.int64),
        np.empty(ALTS_MAX + 1, np.int64),
        np.empty(ALTS_MAX + 1, np.int64),
        np.empty(ALTS_MAX + 1, np.uint8),
        np.empty(ALTS_MAX + 1, np.int64),
        np.empty(words, np.uint64),
        np.empty(words, np.uint64),
        np.zeros((3, n), np.int64),
        np.zeros(n, np.uint8),
    )


def new_output(n_samples: int) -> Output:
    """An empty batch with room for at least one variant of any kind; pages are touched only where they are used."""
    n, words = n_samples, -(-n_samples // 64)
    offsets = [np.zeros(VARIANTS_MAX + 1, np.int64) for _ in range(6)]
    return Output(
        position=np.empty(VARIANTS_MAX, np.uint32),
        end=np.empty(VARIANTS_MAX, np.uint32),
        record=np.empty(VARIANTS_MAX, np.int64),
        alt_index=np.empty(VARIANTS_MAX, np.uint16),
        n_alts=np.empty(VARIANTS_MAX, np.uint16),
        flags=np.empty(VARIANTS_MAX, np.uint8),
        pattern=np.empty(VARIANTS_MAX, np.int32),
        ploidy=np.zeros((PATTERNS_MAX, words), np.uint64),
        diploid=np.zeros((PATTERNS_MAX, words), np.uint64),
        carriers=np.empty(_ENTRIES + n, np.uint32),
        carrier_offsets=offsets[0],
        rows=np.empty(_WORDS + -(-n // 32), np.uint64),
        missing=np.empty(_ENTRIES + n, np.uint32),
        missing_offsets=offsets[1],
        phase=np.empty(_ENTRIES + n, np.uint8),
        phase_offsets=offsets[2],
        alleles=np.empty(_TEXT, np.uint8),
        allele_offsets=offsets[3],
        ids=np.empty(_TEXT, np.uint8),
        id_offsets=offsets[4],
        sources=np.empty(_TEXT, np.uint8),
        source_offsets=offsets[5],
    )
