"""Blocks of records to encoded batches: what the threads of a load do, and how a record that is refused is told."""

from __future__ import annotations

import struct
import threading
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from cohelix.core.arrays import ByteArray, IntArray
from cohelix.core.errors import AssemblyMismatch, BadFile
from cohelix.core.genome import Assembly, Contig, primary_lengths
from cohelix.genotypes import scan
from cohelix.genotypes import scan_layout as layout
from cohelix.genotypes.build_sites import Evidence, evidence
from cohelix.genotypes.header import resolve_contig
from cohelix.genotypes.model import EncodedBatch, Strings
from cohelix.genotypes.reference import Reference
from cohelix.genotypes.source import Block, Source

# Read-only as a mapped reference is, so that one compiled kernel serves both.
_NO_BASES: ByteArray = np.frombuffer(b"", np.uint8)


@dataclass(frozen=True, slots=True)
class CallFilters:
    """Which calls become missing.

    Attributes
    ----------
    min_gq, min_dp
        A call whose FORMAT GQ, or DP, is given and lower fails; None for no rule. A call without the figure is kept, as
        plink2's `--vcf-min-gq` and `--vcf-min-dp` keep it.
    filter_policy
        `pass`: every call of a record whose FILTER is neither `PASS` nor `.` fails; `keep`: FILTER is not looked at.
    """

    min_gq: int | None = None
    min_dp: int | None = None
    filter_policy: Literal["keep", "pass"] = "keep"

    def enter(self, settings: IntArray) -> None:
        """Write the rules into the kernels' settings."""
        settings[layout.P_FILTERED] = self != CallFilters()
        settings[layout.P_PASS_ONLY] = self.filter_policy == "pass"
        for number, bits, least in (
            (layout.P_MIN_GQ, layout.P_MIN_GQ_BITS, self.min_gq),
            (layout.P_MIN_DP, layout.P_MIN_DP_BITS, self.min_dp),
        ):
            settings[number] = -1 if least is None else least
            settings[bits] = struct.unpack("<i", struct.pack("<f", least or 0))[0]

    def cannot_judge(self, source: Source) -> list[str]:
        """Warnings: rules about figures that the file's header does not have."""
        rules = (("GQ", self.min_gq), ("DP", self.min_dp))
        return [
            f"{source.path.name} has no FORMAT {name}: no call of it fails for a low {name}"
            for name, least in rules
            if least is not None and name not in source.header.keys
        ]


class Run(NamedTuple):
    """Consecutive variants of one contig out of a block: their source positions, and what stands before them in it."""

    batch: EncodedBatch
    first_position: int
    last_position: int
    records_before: int
    offset: int


class _Place(NamedTuple):
    """A contig in a block: the file's name for it, ours, and the kernels' settings."""

    name: str
    contig: str
    settings: IntArray


class Refusal(NamedTuple):
    """A record that is refused: how many stand before it in the block, its byte there, and what is wrong."""

    records_before: int
    offset: int
    problem: str
    expected: str
    error: type[BadFile] = BadFile


@dataclass(slots=True)
class Encoded:
    """A block after encoding; the variants before a refused record are there too, so that refusals come in order."""

    runs: list[Run]
    records: int
    totals: IntArray
    sums: IntArray
    stated: Evidence
    other: Evidence
    refusal: Refusal | None


class BlockEncoder:
    """Encodes blocks of one file; safe to call from many threads, each with its own working memory."""

    def __init__(
        self,
        source: Source,
        first: Source,
        *,
        assembly: Assembly,
        reference: Reference | None,
        filters: CallFilters,
        local: threading.local,
    ) -> None:
        self._source, self._assembly, self._reference, self._local = source, assembly, reference, local
        self._filters = filters
        self._other_assembly = next(build for build in Assembly if build != assembly)
        samples = source.header.samples
        self._n_samples = len(samples)
        self._permutation: IntArray = np.empty(0, np.int64)
        if samples != first.header.samples:
            place = {name: index for index, name in enumerate(first.header.samples)}
            self._permutation = np.array([place[name] for name in samples], np.int64)

    def __call__(self, block: Block) -> Encoded:
        buffer = block.joined()
        size = buffer.size - len(layout.TAIL)
        sums = self._memory()[0].sums
        sums[:] = 0
        state = np.zeros(layout.S_SIZE, np.int64)
        done = Encoded([], 0, np.zeros_like(state), sums, Evidence(), Evidence(), None)
        seen: set[str] = set()
        place: _Place | None = None
        while done.refusal is None and state[layout.S_OFFSET] < size:
            if place is None or state[layout.S_STOP] == layout.STOP_CONTIG:
                offset = int(state[layout.S_OFFSET])
                try:
                    place = self._place(buffer, offset, size, seen)
                except BadFile as refusal:
                    done.refusal = Refusal(done.records, offset, refusal.problem, refusal.expected, type(refusal))
                    break
                state[layout.S_LAST_POSITION] = -1
            self._one_batch(buffer, place, state, done)
        done.sums = sums.copy()
        return done

    def _one_batch(self, buffer: ByteArray, place: _Place, state: IntArray, done: Encoded) -> None:
        """Encode on from the state's offset until the contig, the room of a batch or the block ends."""
        scratch, out = self._memory()
        settings, size = place.settings, buffer.size - len(layout.TAIL)
        settings[layout.P_TAIL] = size
        settings[layout.P_FIRST_RECORD] = done.records
        before = done.records
        last = int(state[layout.S_LAST_POSITION])
        offset, alt = state[layout.S_OFFSET], state[layout.S_ALT]
        state[:] = 0
        state[layout.S_OFFSET], state[layout.S_ALT], state[layout.S_LAST_POSITION] = offset, alt, last
        state[layout.S_PATTERNS] = 1
        fasta = self._reference.bases if self._reference is not None else _NO_BASES
        if self._source.format == "vcf":
            name = np.frombuffer(place.name.encode(), np.uint8)
            scan.encode_vcf(buffer, size, name, self._permutation, fasta, settings, scratch, out, state)
        else:
            scan.encode_bcf(buffer, size, self._permutation, fasta, settings, scratch, out, state)
        if state[layout.S_VARIANTS]:
            batch = _batch(place.contig, self._n_samples, out, state)
            first = last if last >= 0 else self._source_position(batch)
            done.runs.append(Run(batch, first, max(int(state[layout.S_LAST_POSITION]), first), before, int(offset)))
            done.stated.add(evidence(batch, self._assembly))
            done.other.add(evidence(batch, self._other_assembly))
        done.records += int(state[layout.S_RECORDS])
        done.totals += state
        if state[layout.S_STOP] == layout.STOP_ERROR:
            done.refusal = self._refused(place, state, done.records)

    def _place(self, buffer: ByteArray, offset: int, size: int, seen: set[str]) -> _Place:
        """The contig of the record at a byte, and the kernels' settings for it."""
        name = self._contig_name(buffer, offset, size)
        contig = resolve_contig(self._source.path, "", name, self._source.header, self._assembly)
        if contig.name in seen:
            problem = f"contig {contig.name} comes back after other contigs"
            raise BadFile("", "", problem, "all records of a contig together: sort the file")
        seen.add(contig.name)
        return _Place(name, contig.name, self._settings(contig, buffer, offset))

    def _source_position(self, batch: EncodedBatch) -> int:
        """0-based POS of a batch's first record, as the file has it."""
        source = batch.source.heap[: batch.source.offsets[1]]
        return int(source.split(b"\t", 1)[0]) - 1 if source else int(batch.position[0])

    def _memory(self) -> tuple[layout.Scratch, layout.Output]:
        if not hasattr(self._local, "scratch"):
            self._local.scratch, self._local.out = layout.new_scratch(self._n_samples), layout.new_output(self._n_samples)
        return self._local.scratch, self._local.out

    def _contig_name(self, buffer: ByteArray, offset: int, size: int) -> str:
        """CHROM of the record at a byte, as the file writes it."""
        if self._source.format == "vcf":
            line = bytes(buffer[offset : min(offset + 1024, size)]).split(b"\n", 1)[0]
            if line.startswith(b"#"):
                raise BadFile("", "", *layout.ERRORS[1])
            if line in (b"", b"\r"):
                raise BadFile("", "", *layout.ERRORS[2])
            name, tab, _ = line.partition(b"\t")
            if not tab or not name:
                raise BadFile("", "", *layout.ERRORS[3])
            return name.decode("utf-8", "replace")
        index = int.from_bytes(bytes(buffer[offset + 8 : offset + 12]), "little", signed=True)
        line_of = self._source.header.contigs.get(index)
        if line_of is None:
            raise BadFile(
                "", "", f"the record is on contig number {index}, which the header does not have", "a declared contig"
            )
        return line_of.name

    def _settings(self, contig: Contig, buffer: ByteArray, offset: int) -> IntArray:
        settings = np.zeros(layout.P_SIZE, np.int64)
        settings[layout.P_SAMPLES], settings[layout.P_PERMUTED] = self._n_samples, self._permutation.size > 0
        settings[layout.P_CONTIG_LENGTH], settings[layout.P_RECORD_BYTES] = contig.length, self._source.record_bytes
        if self._reference is not None:
            there = self._reference.layout(contig.name)
            settings[layout.P_FASTA] = 1
            settings[layout.P_FASTA_OFFSET], settings[layout.P_FASTA_LENGTH] = there.offset, there.length
            settings[layout.P_FASTA_LINE_BASES], settings[layout.P_FASTA_LINE_BYTES] = there.line_bases, there.line_bytes
        self._filters.enter(settings)
        if self._source.format == "bcf":
            keys = self._source.header.keys
            settings[layout.P_CONTIG] = int.from_bytes(bytes(buffer[offset + 8 : offset + 12]), "little", signed=True)
            settings[layout.P_GT], settings[layout.P_END] = keys.get("GT", -1), keys.get("END", -1)
            settings[layout.P_SVLEN], settings[layout.P_KEYS] = keys.get("SVLEN", -1), max(keys.values()) + 1
            settings[layout.P_GQ], settings[layout.P_DP] = keys.get("GQ", -1), keys.get("DP", -1)
        return settings

    def _refused(self, place: _Place, state: IntArray, records: int) -> Refusal:
        contig, settings = place.contig, place.settings
        code, detail = int(state[layout.S_ERROR]), int(state[layout.S_DETAIL])
        problem, expected = layout.ERRORS[code]
        error: type[BadFile] = BadFile
        if code == 6:
            length = settings[layout.P_CONTIG_LENGTH]
            problem = f"position {detail} is beyond the end of contig {contig}, {length} in {self._assembly}"
            if detail <= primary_lengths(self._other_assembly).get(contig, 0):
                problem, error = f"{problem}, and within that of {self._other_assembly}", AssemblyMismatch
        elif code == 7:
            problem = f"position {detail} comes after {state[layout.S_LAST_POSITION] + 1}: the records are not sorted"
        elif code == 11:
            expected = f"{expected}: {settings[layout.P_RECORD_BYTES]:,} bytes"
        elif code in (13, 14, 15):
            problem = f"column {detail + 10}: {problem}"
        elif code == 9:
            problem = f"ALT {detail}: {problem}"
        elif code == 16 and self._reference is not None:
            if detail >= settings[layout.P_FASTA_LENGTH]:
                problem = "REF reaches beyond the reference's contig"
            else:
                expected = (
                    f"{self._reference.base(contig, detail)} at {contig}:{detail + 1}, as {self._reference.path.name} has it"
                )
        return Refusal(records, int(state[layout.S_OFFSET]), problem, expected, error)


def _batch(contig: str, n_samples: int, out: layout.Output, state: IntArray) -> EncodedBatch:
    """Copy a finished batch out of a thread's working memory."""
    n = int(state[layout.S_VARIANTS])
    counts = {name: int(state[slot]) for name, slot in _EXTENTS.items()}
    n_dense = counts["rows"] // -(-n_samples // 32)

    def text(offsets: IntArray, heap: ByteArray, slot: int) -> Strings:
        return Strings(offsets[: n + 1].copy(), heap[: state[slot]].tobytes())

    return EncodedBatch(
        contig=contig,
        n_samples=n_samples,
        position=out.position[:n].copy(),
        end=out.end[:n].copy(),
        alleles=text(out.allele_offsets, out.alleles, layout.S_ALLELES),
        ids=text(out.id_offsets, out.ids, layout.S_IDS),
        record=out.record[:n].copy(),
        alt_index=out.alt_index[:n].copy(),
        n_alts=out.n_alts[:n].copy(),
        source=text(out.source_offsets, out.sources, layout.S_SOURCES),
        flags=out.flags[:n].copy(),
        pattern=out.pattern[:n].copy(),
        ploidy=out.ploidy[: state[layout.S_PATTERNS]].copy(),
        carriers=out.carriers[: counts["carriers"]].copy(),
        carrier_offsets=out.carrier_offsets[: n + 1].copy(),
        rows=out.rows[: counts["rows"]].reshape(n_dense, -(-n_samples // 32)).copy(),
        missing=out.missing[: counts["missing"]].copy(),
        missing_offsets=out.missing_offsets[: n + 1].copy(),
        phase=out.phase[: counts["phase"]].copy(),
        phase_offsets=out.phase_offsets[: n + 1].copy(),
    )


_EXTENTS = {"carriers": layout.S_CARRIERS, "rows": layout.S_WORDS, "missing": layout.S_MISSING, "phase": layout.S_PHASE}
