"""Checks a hub's run from what it kept: computes the table again from signed partial sums, and compares it with the hub's."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from cohelix.analysis.files import TABLE
from cohelix.analysis.steps import Summer
from cohelix.analysis.variants import VariantList
from cohelix.core.errors import Conflict
from cohelix.federation.roster import HUB
from cohelix.federation.run_store import StoredRun
from cohelix.federation.run_table import VARIANTS, SettledRun
from cohelix.federation.transcript import Finding, Openings, Verdict, verify_transcript
from cohelix.wire.plan import plan_hash

_LINES = 65_536  # of a table, at a time


def verify_run(run: StoredRun, openings: Openings, folder: Path) -> Verdict:
    """Compute a run again from its transcript.

    Parameters
    ----------
    folder
        The run's own, with its list of variants and, where it came so far, its table.

    Raises
    ------
    Conflict
        If the run ended before anything was summed.
    """
    if "signatures" not in run.details or not (folder / VARIANTS).is_file():
        raise Conflict(f"the run is {run.state}, and nothing was summed in it: there is nothing to check")
    settled, variants = SettledRun(run), VariantList.open(folder / VARIANTS)
    if settled.roster.plan_hash != plan_hash(settled.plan):
        words = "the plan that the hub tells is not the one that contributors accepted"
        return Verdict((Finding("foreign-plan", HUB, -1, -1, words),), None)
    claimed = table_digest(folder / TABLE) if (folder / TABLE).is_file() else None
    listed = variants.digest()
    with tempfile.TemporaryDirectory(prefix="cohelix-verify-") as scratch:

        def replay(summer: Summer) -> str:
            settled.compute(summer, variants, Path(scratch))
            return table_digest(Path(scratch) / TABLE)

        return verify_transcript(settled.frozen, openings, replay, claimed=claimed, listed=listed)


def table_digest(path: Path) -> str:
    """Hexadecimal SHA-256 of a table's names, types and values, however its file is laid out."""
    digest = hashlib.sha256()
    with pq.ParquetFile(path) as file:
        for field in file.schema_arrow:
            digest.update(f"{field.name} {field.type}\n".encode())
        for batch in file.iter_batches(_LINES):
            # A batch that was copied together begins at its own first bit: the same values are the same bytes.
            whole = pa.concat_batches([batch]) if batch.num_rows else batch
            digest.update(whole.serialize())
    return digest.hexdigest()
