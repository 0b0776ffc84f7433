"""A node's part of a run's study: the variants that it may name, the list that all contributors get, and what workers open."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cohelix.analysis.local import prepare, prepared, sites
from cohelix.analysis.variants import VariantList, pack_stretch, unpack_stretch
from cohelix.bank.study import StudyPeople, open_study
from cohelix.core.errors import BadQuestion, Conflict
from cohelix.federation.node_runs import RunFolder, write_private

_SITES, _INDEX, _STRETCHES = "sites", "index", "variants"
_laying = threading.Lock()


class Stretch(NamedTuple):
    """Packed variants of a longer list: how many it has, and the number from which the next stretch is asked."""

    body: bytes
    total: int
    next: int | None


class RunStudy:
    """The study of one run at one node.

    Parameters
    ----------
    folder, node
        The node's folder and id.
    run
        What it keeps of the run.
    """

    def __init__(self, folder: Path, node: str, run: RunFolder) -> None:
        self._folder, self._node, self._run = folder, node, run

    def sites(self, start: int) -> Stretch:
        """The variants that the node may name in the plan's regions, from number `start` on; listed once for the run.

        Raises
        ------
        BadQuestion
            If no stretch begins there.
        """
        index = self._run.path / _SITES / _INDEX
        if not index.exists():
            index.parent.mkdir(mode=0o700, exist_ok=True)
            counts = []
            for number, table in enumerate(sites(self._people())):
                write_private(index.parent / f"{number:06d}", pack_stretch(table))
                counts.append(table.num_rows)
            write_private(index, np.cumsum([0, *counts]).astype("<i8").tobytes())
        starts = np.frombuffer(index.read_bytes(), "<i8").tolist()
        total = int(starts[-1])
        if start >= total:
            return Stretch(pack_stretch(VariantList.of([]).table()), total, None)
        if start not in starts:
            raise BadQuestion("stretches of variants are asked from the number that was told")
        # A stretch without a variant begins where the next one does: the last of these has some.
        number = len(starts) - 1 - starts[::-1].index(start)
        following = int(starts[number + 1])
        return Stretch((index.parent / f"{number:06d}").read_bytes(), total, following if following < total else None)

    def take_variants(self, body: bytes, *, start: int, total: int, digest: str) -> int:
        """Take a stretch of the run's list, if it is the next one; with the last, lay out the node's part.

        Returns
        -------
        How many variants of the list the node holds.

        Raises
        ------
        BadQuestion
            If the whole list is not the one that `digest` names; it must be sent anew.
        """
        if not self._run.variants.exists():
            folder = self._run.path / _STRETCHES
            folder.mkdir(mode=0o700, exist_ok=True)
            places = sorted(folder.glob("[0-9]*"))
            tables = [unpack_stretch(place.read_bytes()) for place in places]
            held = sum(int(table.num_rows) for table in tables)
            if start == held < total:
                tables.append(unpack_stretch(body))
                places.append(folder / f"{held:012d}")
                write_private(places[-1], body)
                held += int(tables[-1].num_rows)
            if held < total:
                return held
            listed = VariantList.merged(tables)
            if len(listed) != total or listed.digest() != digest:
                for place in places:
                    place.unlink()
                raise BadQuestion("the list of variants is not the one that its digest names")
            draft = self._run.variants.with_suffix(".new")
            listed.write(draft)
            draft.replace(self._run.variants)
        self.lay_out()
        return total

    def lay_out(self) -> None:
        """Write what workers open, where it is not there yet.

        Raises
        ------
        Conflict
            If the roster or the list of variants was not told yet.
        """
        frozen = self._run.frozen()
        with _laying:
            if prepared(self._run.local):
                return
            if frozen is None or not self._run.variants.exists():
                raise Conflict("the roster and the list of variants come first")
            self._run.local.mkdir(mode=0o700, exist_ok=True)
            names = [one.node for one in frozen.roster.contributors()]
            prepare(self._people(), VariantList.open(self._run.variants), self._run.local, nodes=names)

    def _people(self) -> StudyPeople:
        record = self._run.record
        return open_study(self._folder, self._node, record.parsed_plan(), versions=record.versions)
