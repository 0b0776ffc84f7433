"""Evidence of a file's assembly from its own records: their REF bases at places where the two builds differ."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import NamedTuple

import numpy as np

from cohelix.core.arrays import ByteArray, IntArray
from cohelix.core.genome import Assembly
from cohelix.genotypes.model import EncodedBatch

# A build is recognised by at least so many of its common SNVs (position, REF and ALT). A record of the right build
# hits a SNV of the other by chance with probability below 0.1, so five in a row that all agree are 1 in 100,000.
SITES_MIN = 5
# REF bases that contradict the stated build, when so many of its known positions are hit.
CONTRADICTIONS_MIN = 20


class Sites(NamedTuple):
    """Known SNVs of one contig of one build: 0-based positions ascending, and their REF and ALT letters."""

    position: IntArray
    ref: ByteArray
    alt: ByteArray


@dataclass(slots=True)
class Evidence:
    """What the records of one file say of one build.

    Attributes
    ----------
    hits, contradictions
        Records at a known position of the build; those whose REF has another base there.
    same
        Records that are exactly the known SNV.
    """

    hits: int = 0
    contradictions: int = 0
    same: int = 0

    def add(self, other: Evidence) -> None:
        self.hits += other.hits
        self.contradictions += other.contradictions
        self.same += other.same


def evidence(batch: EncodedBatch, assembly: Assembly) -> Evidence:
    """Compare a batch's REF bases with what a build is known to have at their positions."""
    sites = _sites(assembly).get(batch.contig)
    found = Evidence()
    if sites is None or not len(batch):
        return found
    at = np.searchsorted(sites.position, batch.position)
    at[at == len(sites.position)] = 0
    for variant in np.flatnonzero(sites.position[at] == batch.position):
        alleles = batch.alleles[int(variant)]
        ref, alt = sites.ref[at[variant]], sites.alt[at[variant]]
        if alleles[:1] == b"N":
            continue
        found.hits += 1
        found.contradictions += alleles[0] != ref
        found.same += alleles == bytes((ref, 9, alt))
    return found


def other_build(stated: Evidence, other: Evidence) -> bool:
    """Whether the evidence says that the records are of the other build.

    Either the records name the other build's SNVs and hardly any of the stated one's, without contradicting the other
    build's bases; or most of their REF bases contradict the stated build where it is known.
    """
    named = (
        other.same >= SITES_MIN
        and other.same > 5 * stated.same
        and 2 * other.same >= other.hits
        and 10 * other.contradictions <= other.hits
    )
    return named or (stated.contradictions >= CONTRADICTIONS_MIN and 2 * stated.contradictions > stated.hits)


@cache
def _sites(assembly: Assembly) -> dict[str, Sites]:
    raw = resources.files("cohelix.genotypes").joinpath("data/build_sites.tsv.gz").read_bytes()
    fields = gzip.decompress(raw).decode("ascii").split()[5:]
    position = np.array(fields[1 if assembly == Assembly.GRCH37 else 2 :: 5], np.int64) - 1
    ref, alt = (np.frombuffer("".join(fields[column::5]).encode(), np.uint8) for column in (3, 4))
    number_of: dict[str, int] = {}
    contig = np.array([number_of.setdefault(name, len(number_of)) for name in fields[::5]], np.int64)
    order = np.lexsort((alt, ref, position, contig))
    bounds = np.searchsorted(contig[order], np.arange(len(number_of) + 1)).tolist()
    rows = {name: order[bounds[number] : bounds[number + 1]] for name, number in number_of.items()}
    return {name: Sites(position[whose], ref[whose], alt[whose]) for name, whose in rows.items()}
