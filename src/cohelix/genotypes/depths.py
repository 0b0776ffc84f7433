"""Read depths and allele depths of genotype files: what the store does not keep, and the quality gate asks for.

A second, bounded pass over VCF and BCF files whose header declares FORMAT DP or AD: the first `BYTES_MAX` bytes of
records, inflated, shared evenly by the files. A file that declares neither is not read.
"""

# ruff: noqa: PLR0912, PLR0915 - a compiled parser is one long loop.
# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# The types of kernels stand in their Numba signatures.

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numba import types

from cohelix.core.arrays import ByteArray, FloatArray, IntArray
from cohelix.core.genome import plain_contig
from cohelix.genotypes.source import Source, open_source
from cohelix.stats.compiled import kernel
from cohelix.stats.numba_start import njit

BYTES_MAX = 512 << 20
_NOT_VARIANT_TEXT = (".bed", ".pgen", ".pvar", ".bim", ".fam", ".psam", ".zst", ".parquet", ".maf")
# A homozygous ALT call tells of foreign reads where these hold (Lu et al. 2023): enough reads, a REF that is neither
# rare nor nearly everybody's, and enough other people to know its frequency from.
READS_MIN, READS_MAX, REF_FREQUENCY_MIN, REF_FREQUENCY_MAX, ALLELES_MIN = 10, 200, 0.1, 0.9, 40
# Sums of one person.
_DEPTH, _DEPTH_SITES, _SHARE, _SHARE_SITES = range(4)
_SUMS = 4


@dataclass(frozen=True, slots=True)
class Depths:
    """What was read; each array in the store's column order.

    Attributes
    ----------
    records, complete
        Autosomal records with DP or AD that were read, and whether these are all of the files.
    depth_sum, depth_sites
        (people,) sum of DP (of AD's two alleles where DP is not given), and sites where it is given.
    share_sum, share_sites
        (people,) sum of (REF reads / all reads) / frequency of REF over homozygous ALT calls at biallelic autosomal
        single-base variants, and how many; 0 where no AD is given.
    """

    records: int
    complete: bool
    depth_sum: FloatArray
    depth_sites: IntArray
    share_sum: FloatArray
    share_sites: IntArray


def read_depths(files: Sequence[Path], samples: Sequence[str], *, threads: int, bytes_max: int = BYTES_MAX) -> Depths | None:
    """Depths of the store's samples from its source files; None where no file declares DP or AD."""
    column = {name: number for number, name in enumerate(samples)}
    wanted = [path for path in files if not path.name.lower().endswith(_NOT_VARIANT_TEXT)]
    sums, records, complete, told = np.zeros((len(samples), _SUMS)), 0, True, False
    with ThreadPoolExecutor(threads, "inflate") as inflate, ThreadPoolExecutor(threads, "depths") as pool:
        for path in wanted:
            source = open_source(path, inflate)
            if not {"DP", "AD"} & set(source.header.keys):
                continue
            told = True
            part, n_records, whole = _of_file(source, inflate, pool, threads, bytes_max // len(wanted))
            sums[[column[name] for name in source.header.samples]] += part
            records, complete = records + n_records, complete and whole
    if not told or records == 0:
        return None
    depth, sites, share, share_sites = sums.T
    return Depths(records, complete, depth, sites.astype(np.int64), share, share_sites.astype(np.int64))


def _of_file(
    source: Source, inflate: ThreadPoolExecutor, pool: ThreadPoolExecutor, threads: int, bytes_max: int
) -> tuple[FloatArray, int, bool]:
    n_samples, keys = len(source.header.samples), source.header.keys
    autosomes = np.zeros(max(source.header.contigs, default=-1) + 2, np.uint8)
    for index, line in source.header.contigs.items():
        autosomes[index] = plain_contig(line.name).isdigit()
    places = np.array([keys.get(name, -1) for name in ("GT", "DP", "AD")], np.int64)

    def work(buffer: ByteArray) -> tuple[FloatArray, int]:
        sums = np.zeros((n_samples, _SUMS))
        scratch = np.zeros((4, n_samples), np.int64)
        if source.format == "bcf":
            return sums, int(_scan_bcf(buffer, autosomes, places, scratch, sums))
        return sums, int(_scan_vcf(buffer, scratch, sums))

    total, records, read = np.zeros((n_samples, _SUMS)), 0, 0
    waiting: deque[Future[tuple[FloatArray, int]]] = deque()
    stream, whole = source.blocks(inflate, threads, _unheard), True
    for block in stream:
        if read >= bytes_max:
            whole = False
            break
        read += block.size
        waiting.append(pool.submit(work, block.joined()[: block.size]))
        while len(waiting) > threads:
            part, n = waiting.popleft().result()
            total, records = total + part, records + n
    for future in waiting:
        part, n = future.result()
        total, records = total + part, records + n
    return total, records, whole


def _unheard(_: int) -> None:
    """Nobody asks how far the pass is: it is bounded."""


_bytes = types.uint8[::1]
_scratch = types.int64[:, ::1]
_sums = types.float64[:, ::1]


@njit(nogil=True)
def _finish(scratch, told, has_ad, sums):
    """Add one record, of which `scratch` has each person's copies of ALT (-1 missing), depth, REF and ALT reads."""
    n = scratch.shape[1]
    for i in range(n):
        depth = scratch[1, i]
        if depth < 0 and scratch[2, i] >= 0 and scratch[3, i] >= 0:
            depth = scratch[2, i] + scratch[3, i]
        if depth >= 0:
            sums[i, 0] += depth
            sums[i, 1] += 1
    if not (told and has_ad):
        return
    alleles, alts = 0, 0
    for i in range(n):
        if scratch[0, i] >= 0:
            alleles += 2
            alts += scratch[0, i]
    if alleles < ALLELES_MIN:
        return
    frequency = (alleles - alts) / (alleles - 2.0)  # of REF among the others: this person has none
    if not REF_FREQUENCY_MIN <= frequency <= REF_FREQUENCY_MAX:
        return
    for i in range(n):
        ref, alt = scratch[2, i], scratch[3, i]
        if scratch[0, i] == 2 and ref >= 0 and alt >= 0 and READS_MIN <= ref + alt <= READS_MAX:
            sums[i, 2] += ref / (ref + alt) / frequency
            sums[i, 3] += 1


@njit(nogil=True)
def _is_base(byte):
    return byte == 65 or byte == 67 or byte == 71 or byte == 84  # noqa: PLR1714 - sets are not compiled well


@njit(nogil=True)
def _number(buf, at, end):
    """Digits from `at` on, and where they end; -1 where there are none."""
    value, start = 0, at
    while at < end and 48 <= buf[at] <= 57 and at - start < 10:
        value = value * 10 + np.int64(buf[at]) - 48
        at += 1
    return (value if at > start else -1), at


@njit(nogil=True)
def _is_autosome(buf, start, end):
    if end - start > 3 and (buf[start] | 32) == 99 and (buf[start + 1] | 32) == 104 and (buf[start + 2] | 32) == 114:
        start += 3
    value, at = _number(buf, start, end)
    return at == end and 1 <= value <= 22


@kernel(types.int64(_bytes, _scratch, _sums))
def _scan_vcf(buf, scratch, sums):
    """Add whole lines; returns how many had DP or AD on an autosome."""
    n, at, used = scratch.shape[1], 0, 0
    tabs = np.zeros(10, np.int64)
    while at < buf.size:
        end = at
        while end < buf.size and buf[end] != 10:
            end += 1
        n_tabs, place = 0, at
        while place < end and n_tabs < 9:
            if buf[place] == 9:
                tabs[n_tabs] = place
                n_tabs += 1
            place += 1
        start, at = at, end + 1
        if n_tabs < 9 or not _is_autosome(buf, start, tabs[0]):
            continue
        # Where GT, DP and AD stand in FORMAT.
        gt, dp, ad, field, f = -1, -1, -1, 0, tabs[7] + 1
        while f < tabs[8]:
            stop = f
            while stop < tabs[8] and buf[stop] != 58:
                stop += 1
            if stop - f == 2:
                if buf[f] == 71 and buf[f + 1] == 84:
                    gt = field
                elif buf[f] == 68 and buf[f + 1] == 80:
                    dp = field
                elif buf[f] == 65 and buf[f + 1] == 68:
                    ad = field
            field, f = field + 1, stop + 1
        if dp < 0 and ad < 0:
            continue
        snv = tabs[3] - tabs[2] == 2 and tabs[4] - tabs[3] == 2 and _is_base(buf[tabs[2] + 1]) and _is_base(buf[tabs[3] + 1])
        scratch[:] = -1
        i, field, place = 0, 0, tabs[8] + 1
        while place <= end and i < n:
            if field == gt and place < end:
                first, after = _number(buf, place, end)
                if first >= 0 and after < end and (buf[after] == 47 or buf[after] == 124):
                    second, after = _number(buf, after + 1, end)
                    if second >= 0 and first <= 1 and second <= 1:
                        scratch[0, i] = first + second
            elif field == dp:
                scratch[1, i], _ = _number(buf, place, end)
            elif field == ad and snv:
                scratch[2, i], after = _number(buf, place, end)
                if after < end and buf[after] == 44:
                    scratch[3, i], _ = _number(buf, after + 1, end)
            while place < end and buf[place] != 58 and buf[place] != 9:
                place += 1
            if place >= end or buf[place] == 9:
                i, field = i + 1, 0
            else:
                field += 1
            place += 1
        used += 1
        _finish(scratch, snv and gt >= 0, ad >= 0, sums)
    return used


@njit(nogil=True)
def _little(buf, at, width):
    """A signed little-endian whole number."""
    value = np.int64(0)
    for b in range(width):
        value |= np.int64(buf[at + b]) << (8 * b)
    top = np.int64(1) << (8 * width - 1)
    return value - 2 * top if value & top else value


@njit(nogil=True)
def _typed(buf, at, end):
    """A type byte: bytes of an element (0 where there is none), how many elements, and where they begin."""
    if at >= end:
        return 0, 0, end
    kind, count, at = np.int64(buf[at] & 15), np.int64(buf[at] >> 4), at + 1
    if count == 15:
        if at >= end:
            return 0, 0, end
        width = 1 << (np.int64(buf[at] & 15) - 1) if 1 <= (buf[at] & 15) <= 3 else 0
        if width == 0 or at + 1 + width > end:
            return 0, 0, end
        count = _little(buf, at + 1, width)
        at += 1 + width
    width = 1 if kind in (1, 7) else 2 if kind == 2 else 4 if kind in (3, 5) else 0
    return width, count, at


@kernel(types.int64(_bytes, types.uint8[::1], types.int64[::1], _scratch, _sums))
def _scan_bcf(buf, autosomes, keys, scratch, sums):
    """Add whole records; `keys` are those of GT, DP and AD. Returns how many had DP or AD on an autosome."""
    n, at, used = scratch.shape[1], 0, 0
    while at + 32 <= buf.size:
        shared = at + 8 + _little(buf, at, 4)
        end = shared + _little(buf, at + 4, 4)
        if not at + 32 <= shared <= end <= buf.size:
            return used
        contig, n_alleles = _little(buf, at + 8, 4), _little(buf, at + 24, 4) >> 16
        n_formats = np.int64(buf[at + 31])
        place, at = at + 32, end
        if not 0 <= contig < autosomes.size or not autosomes[contig]:
            continue
        snv = n_alleles == 2
        width, count, place = _typed(buf, place, shared)  # the identifier
        place += width * count
        for _ in range(2 if snv else 0):
            width, count, place = _typed(buf, place, shared)
            snv = snv and width == 1 and count == 1 and place < shared and _is_base(buf[place])
            place += width * count
        scratch[:] = -1
        has_gt, has_dp, has_ad, place = False, False, False, shared
        for _ in range(n_formats):
            width, count, place = _typed(buf, place, end)
            if width == 0 or place + width > end:
                break
            key = _little(buf, place, width)
            width, count, place = _typed(buf, place + width * count, end)
            if count < 0 or place + width * count * n > end:
                break
            missing, stop = -(np.int64(1) << (8 * max(width, 1) - 1)), 1 - (np.int64(1) << (8 * max(width, 1) - 1))
            if key == keys[0] and count == 2:
                has_gt = True
                for i in range(n):
                    first = (_little(buf, place + 2 * i * width, width) >> 1) - 1
                    raw = _little(buf, place + (2 * i + 1) * width, width)
                    second = (raw >> 1) - 1
                    if raw != stop and 0 <= first <= 1 and 0 <= second <= 1:
                        scratch[0, i] = first + second
            elif key == keys[1] and count >= 1:
                has_dp = True
                for i in range(n):
                    scratch[1, i] = max(_little(buf, place + i * count * width, width), -1)
            elif key == keys[2] and count >= 2:
                has_ad = True
                if snv:
                    for i in range(n):
                        for a in range(2):
                            value = _little(buf, place + (i * count + a) * width, width)
                            scratch[2 + a, i] = value if value not in (missing, stop) else -1
            place += width * count * n
        if has_dp or has_ad:
            used += 1
            _finish(scratch, snv and has_gt, has_ad, sums)
    return used
