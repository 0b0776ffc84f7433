"""One opened version of a dataset: its stores, memory-mapped, and how its people and rows hang together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from pyroaring import BitMap

from cohelix.bank.manifest import COUNTS, GENOTYPES, MANIFEST_FILE, PEOPLE, Manifest, check_files, read_manifest
from cohelix.bank.people import CallSets, atoms_of, read_call_sets
from cohelix.bank.releases import Standing, read_standing
from cohelix.bank.rows import Layout
from cohelix.core.arrays import BoolArray, ByteArray, IntArray
from cohelix.core.errors import Damaged
from cohelix.core.genome import Assembly
from cohelix.disclosure.rules import tell_frequencies, tell_given_frequencies
from cohelix.disclosure.telling import AC
from cohelix.genotypes import CountTable, open_counts
from cohelix.genotypes.sections import sha256_of
from cohelix.genotypes.store import GenotypeStore, open_store
from cohelix.genotypes.structural import REFERENCE_BLOCKS
from cohelix.phenotypes.consents import Scope
from cohelix.phenotypes.model import SEX_LABELS, People
from cohelix.phenotypes.store import read_people_store

LISTED_FILE = "listed.npy"
NO_ALT = frozenset({".", *REFERENCE_BLOCKS})  # rows that name no variant
_BLOCK_ROWS = 16_384

# Where males have two copies of X and of Y: 0-based, half-open (Genome Reference Consortium, PAR#1 and PAR#2 on X).
_PSEUDOAUTOSOMAL_X = {
    Assembly.GRCH37: ((60_000, 2_699_520), (154_931_043, 155_260_560)),
    Assembly.GRCH38: ((10_000, 2_781_479), (155_701_382, 156_030_895)),
}


@dataclass(frozen=True, slots=True)
class OpenVersion:
    """A published version, ready to be asked; safe for many threads.

    `listed` (2 or 4, ceil(variants / 8)) uint8, one bit a row, least significant first: whether the floor allows to tell
    that the variant is there, and whether it was, moreover, observed (AC > 0); of a dataset with a floor the same two without
    it. Later rows of one key and rows without an ALT are never listed.
    `atom_columns` are the counted sample indexes of each of the manifest's atoms.
    `released` (people,) bool: who is in the public release; the people of the tables first, then columns without a person.
    `call_sets` counts the columns of released people only, `everybody` those of all: the operator's own counts use that.
    `standing` is what the version knows of its release; None in a version of the first format, whose people are all released.
    Released people are those of the frequencies; `scoped` gives the version with the people of another scope of consent.
    """

    folder: Path
    manifest: Manifest
    store: GenotypeStore
    counts: CountTable
    people: People
    call_sets: CallSets
    layout: Layout
    listed: ByteArray
    atom_columns: tuple[IntArray, ...]
    released: BoolArray
    everybody: CallSets
    standing: Standing | None
    scopes: Mapping[Scope, OpenVersion] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path, *, manifest: str | None = None) -> OpenVersion:
        """Open a version's folder; `manifest` is the checksum of its manifest, where one was kept.

        Raises
        ------
        Damaged
            Where a part is missing, does not fit, or is not what was written. Shards are looked at when first asked.
        """
        if manifest is not None and not _has(folder / MANIFEST_FILE, manifest):
            raise Damaged(f"the manifest of version {folder.name} is not what was written", path=str(folder / MANIFEST_FILE))
        declared = read_manifest(folder)
        check_files(declared, folder)
        counts = open_counts(folder / COUNTS)
        if tuple(counts.groups) != tuple(atom.group for atom in declared.atoms):
            raise Damaged(f"version {declared.version}: the counts are of other groups than the manifest says")
        try:
            listed = np.load(folder / LISTED_FILE, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise Damaged(f"{LISTED_FILE} cannot be read ({error})") from None
        people, everybody = read_people_store(folder / PEOPLE), read_call_sets(folder / PEOPLE)
        standing = read_standing(folder)
        released = np.ones(everybody.n_people, np.bool_)
        if standing is not None:
            released[:] = False
            released[np.array(standing.released, np.int64)] = True
        call_sets = everybody.of_people(released)
        atoms = atoms_of(call_sets, people)
        if declared.content == "aggregate":  # groups of people whom the node has never seen
            atoms = tuple((atom, np.empty(0, np.int64)) for atom in declared.atoms)
        if tuple(atom for atom, _ in atoms) != declared.atoms:
            raise Damaged(f"version {declared.version}: its people are not those of the manifest")
        version = cls(
            folder,
            declared,
            open_store(folder / GENOTYPES),
            counts,
            people,
            call_sets,
            Layout.of(declared.atoms),
            listed,
            tuple(columns for _, columns in atoms),
            released,
            everybody,
            standing,
        )
        if standing is None or not standing.scoped:
            return version
        return replace(version, scopes={scope: version._of(who) for scope, who in standing.scoped.items()})

    def scoped(self, scope: Scope) -> OpenVersion:
        """The version with the people released for one scope of consent; counts and lists of variants stay as they are."""
        return self.scopes.get(scope, self)

    def _of(self, numbers: BitMap) -> OpenVersion:
        released = np.zeros(self.everybody.n_people, np.bool_)
        released[np.array(numbers, np.int64)] = True
        return replace(self, released=released, call_sets=self.everybody.of_people(released))

    def is_listed(self, rows: IntArray, *, observed: bool) -> BoolArray:
        """(rows,) bool: which of these rows the public may know of; with `observed`, only those with a copy of the ALT."""
        return bits_of(self.listed[int(observed)], rows)

    def hom_ref_cells(self, contig: str, position: int) -> IntArray:
        """(atoms, 6) counts of a site where nobody differs from the reference: AN by ploidy, everything else 0."""
        cells = np.zeros((len(self.manifest.atoms), 6), np.int64)
        for number, atom in enumerate(self.manifest.atoms):
            cells[number, 0] = atom.people * _copies(self.manifest.assembly, contig, position, atom.sex)
        return cells


def bits_of(bitmap: ByteArray, rows: IntArray) -> BoolArray:
    """(rows,) bool: the rows' bits in a row of `OpenVersion.listed`."""
    bits = bitmap[rows >> 3] >> (rows & 7).astype(np.uint8) & 1
    return np.asarray(bits, np.bool_)


def listed_rows(store: GenotypeStore, counts: CountTable, layout: Layout, floor: int, *, given: bool = False) -> ByteArray:
    """The bitmap of `OpenVersion.listed`, made once when a version is loaded; `given` counts are not the node's own."""
    tell = tell_given_frequencies if given else tell_frequencies
    bits = np.zeros((4 if floor else 2, store.info.n_variants), np.bool_)
    for contig in store.info.contigs:
        rows = store.contig_rows(contig)
        before, seen = -1, set[tuple[str, str]]()  # the last position, and what rows there are called
        for start in range(rows.start, rows.stop, _BLOCK_ROWS):
            block = range(start, min(start + _BLOCK_ROWS, rows.stop))
            names = store.table(block)
            rows_counts = layout.counts(counts.rows(block))
            told = tell(rows_counts, layout.people, layout.levels, floor=floor).counts[:, 0]
            first = np.array([alt not in NO_ALT for alt in names.alt], np.bool_)
            # Nearly every row is alone at its position; the others are compared by name, over the blocks' borders too.
            position = names.position.astype(np.int64)
            starts = np.diff(position, prepend=before) != 0
            for index in np.flatnonzero(~starts | ~np.append(starts[1:], False)).tolist():
                if starts[index]:
                    seen = set()
                name = (names.ref[index], names.alt[index])
                first[index] &= name not in seen
                seen.add(name)
            before = int(position[-1])
            for pair, shown in zip(range(0, len(bits), 2), (told & first, first), strict=False):
                bits[pair, block.start : block.stop] = shown
                bits[pair + 1, block.start : block.stop] = shown & (rows_counts[:, 0, AC] > 0)
    return np.packbits(bits, axis=1, bitorder="little")


def copies_of(assembly: Assembly, contig: str, position: int, sexes: ByteArray) -> IntArray:
    """(people,) int64 copies of a place that people have, by their `SexCode`."""
    of_sex = np.array([_copies(assembly, contig, position, label) for label in SEX_LABELS], np.int64)
    return np.asarray(of_sex[sexes])


def _has(path: Path, sha256: str) -> bool:
    try:
        return sha256_of(path) == sha256
    except OSError:
        return False


def _copies(assembly: Assembly, contig: str, position: int, sex: str) -> int:
    """Copies of a place that a person has; of unknown sex: two of X, none of Y."""
    if contig == "MT":
        return 1
    if contig == "Y":
        return 1 if sex == "male" else 0
    if contig == "X" and sex == "male":
        return 2 if any(start <= position < end for start, end in _PSEUDOAUTOSOMAL_X[assembly]) else 1
    return 2
