"""Walks a germline node, a node of all phenopackets and a hub, and writes `validation/conformance/RESULTS.md`."""

from __future__ import annotations

import gzip
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cohelix.testing.federation import running_app, simulated_federation
from validation.conformance.schemas import Schemas
from validation.conformance.validator import Validator
from validation.processes import said

HERE = Path(__file__).parent
SHARED = Path(os.environ.get("COHELIX_SHARED", Path(__file__).parents[2].parent / "shared"))


@contextmanager
def phenopacket_node(folder: Path, *, every: int = 1) -> Iterator[tuple[str, int]]:
    """The address of a served node of every so-many'th phenopacket, and how many there are."""
    from cohelix.node.app import create_app

    with gzip.open(SHARED / "data" / "phenopackets" / "phenopackets.ndjson.gz", "rt", encoding="utf-8") as lines:
        packets = [line for number, line in enumerate(lines) if number % every == 0]
    source = folder / "packets.ndjson"
    source.write_text("".join(packets), encoding="utf-8")
    node = folder / "node"
    assert said("node", "init", node, "--id", "DE", "--name", "Cases", "--country", "DE").status == 0
    loaded = said(
        *("node", "load", node, "--dataset", "cases", "--individuals", source),
        *("--assembly", "GRCh38", "--disclosure", "open"),
    )
    assert loaded.status == 0, loaded
    with running_app(create_app(node)) as running:
        yield running.url, len(packets)


def main() -> int:
    """Exit 0 only if nothing fails."""
    schemas = Schemas(SHARED / "vectors" / "beacon-v2-schemas")
    lines = [
        "# Conformance to Beacon v2.1.1",
        "",
        "Made by `python -m validation.conformance`: each Beacon is walked by its own `/map` over HTTP: GET and POST, three",
        "granularities, parameters nested and flat, pages, ids, related addresses, filters, requested schemas, errors; every",
        "answer against the official schemas, and whether the answers fit each other.",
        "",
        "| Beacon | checks | failures | seconds |",
        "|---|---|---|---|",
    ]
    failures: list[str] = []

    def walk(name: str, url: str, **options: object) -> None:
        start = time.perf_counter()
        validator = Validator(f"{url}/beacon/v2", schemas, **options)  # type: ignore[arg-type]
        found = validator.run()
        failures.extend(f"{name}: {text[:300]}" for text in found)
        lines.append(f"| {name} | {validator.checks:,} | {len(found)} | {time.perf_counter() - start:.0f} |")
        print(lines[-1], file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="cohelix-conformance-") as scratch:
        folder = Path(scratch)
        with simulated_federation(folder / "federation") as federation:
            walk("node of simulated genomes, open", federation.nodes["FI"].url, records=10)
            walk("node of simulated genomes, floored", federation.nodes["GB"].url, records=10)
            walk("hub over open, floored and closed", federation.hub.url, records=10)
        (folder / "cases").mkdir()
        with phenopacket_node(folder / "cases") as (url, packets):
            walk(f"node of {packets:,} phenopackets", url, variants=({"geneId": "RYR1"},), terms=40, records=10)
    lines += ["", *(f"* {text}" for text in failures[:50])]
    (HERE / "RESULTS.md").write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    print("\n".join(lines))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
