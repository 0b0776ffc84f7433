"""Walks the OpenAPI documents of hub and node as each role, at full volume, and writes `validation/openapi/RESULTS.md`."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from validation.openapi.place import CONTROLLED, ROLES, served
from validation.openapi.walk import walk

HERE = Path(__file__).parent
EXAMPLES, SEED = 20, 20261123


def main() -> int:
    """Exit 0 only without a server error and without an answer that the document does not describe."""
    words = argparse.ArgumentParser()
    words.add_argument("--examples", type=int, default=EXAMPLES, help="requests of each operation, of each kind")
    examples = words.parse_args().examples
    start, lines, faults = time.perf_counter(), [], []
    with tempfile.TemporaryDirectory(prefix="cohelix-openapi-") as scratch, served(Path(scratch)) as place:
        for which, url in (("hub", place.hub), ("node", place.node)):
            for role in ROLES if which == "hub" else ("anonymous", CONTROLLED):
                headers = place.at_node if which == "node" and role == CONTROLLED else place.headers(role)
                found = walk(url, examples=examples, start=SEED, headers=headers, seconds=1800)
                statuses = ", ".join(f"{status}: {count:,}" for status, count in sorted(found.statuses.items()))
                lines.append(
                    f"| {which} | {role} | {found.operations} | {found.requests:,} | {statuses} | {len(found.faults)} |"
                )
                faults += [f"- {which} as {role}: {one}" for one in found.faults]
                print(lines[-1], flush=True)
    text = [
        "# Every operation, as each role",
        "",
        f"Schemathesis, seed {SEED}, {examples} requests of each operation that fit its description and as many that do not,",
        f"{time.perf_counter() - start:.0f} s. A fault is a server error, or a status, media type or form that is not",
        "described; 503 with `Retry-After` is none.",
        "",
        "| server | role | operations | requests | statuses | faults |",
        "|---|---|---|---|---|---|",
        *lines,
        "",
        *(faults or ["No fault."]),
        "",
    ]
    (HERE / "RESULTS.md").write_text("\n".join(text), encoding="utf-8")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
