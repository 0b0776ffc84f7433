"""What two stores of the same calls have in common, byte by byte, whatever format the calls came in."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cohelix.genotypes.hybrid_store import Shard, read_index

# Phase, names and the source's own wording may differ between formats: PLINK 1 keeps none of them.
_APART = ("phase", "id", "source_")
_PHASE_BITS = 0b1100  # of `flags`


def hard_call_sections(folder: Path) -> dict[tuple[str, str], bytes]:
    """The bytes of every section of every shard, by shard and section, without phase, ids and source texts."""
    found = {}
    info, shards = read_index(folder)
    for record in shards:
        file = Shard(folder / record.file, record, len(info.samples)).file
        for name in file.names():
            if not name.startswith(_APART):
                section = file.array(name)
                found[record.file, name] = (
                    (section & ~np.uint8(_PHASE_BITS)).tobytes() if name == "flags" else section.tobytes()
                )
    return found
