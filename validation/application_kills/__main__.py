"""Kills the application loop 500 times on each database and writes `validation/application_kills/RESULTS.md`."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from validation.application_kills.kill import STEPS, Killed, run
from validation.postgres import running_postgres

TIMES, SEED = 500, 20261123
DATABASES = ("sqlite", "postgresql")
_ROWS: dict[str, Callable[[Killed], bool]] = {
    "killed between the first and the last event": lambda one: 0 < one.kept <= len(STEPS),
    "kept, but killed before it was acknowledged": lambda one: one.kept > one.acknowledged,
    "acknowledged events lost, or any event doubled": lambda one: not one.good,
    "applications in which a notice to a person is missing, or there twice": lambda one: not one.notices,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit 0 only if no acknowledged event and no notice was lost or doubled."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=DATABASES, action="append", help="only this one; then nothing is written")
    parser.add_argument("--times", type=int, default=TIMES)
    asked = parser.parse_args(arguments)
    found: dict[str, list[Killed]] = {}
    seconds: dict[str, float] = {}
    for name in asked.database or DATABASES:
        start = time.perf_counter()
        with _database(name) as where:
            found[name] = run(where, asked.times, SEED)
        seconds[name] = time.perf_counter() - start
    text = _text(found, seconds)
    if asked.database is None and asked.times == TIMES:
        (Path(__file__).parent / "RESULTS.md").write_text(text)
    print(text)
    return 0 if all(one.good and one.notices for some in found.values() for one in some) else 1


@contextmanager
def _database(name: str) -> Iterator[str | Path]:
    if name == "postgresql":
        with running_postgres(fsync=True) as address:
            yield address
        return
    with tempfile.TemporaryDirectory(prefix="cohelix-applications-") as folder:
        yield Path(folder) / "hub.db"


def _text(found: dict[str, list[Killed]], seconds: dict[str, float]) -> str:
    def line(title: str, cells: Sequence[object]) -> str:
        return f"| {title} | {' | '.join(map(str, cells))} |\n"

    rows = [line(title, [sum(counts(one) for one in some) for some in found.values()]) for title, counts in _ROWS.items()]
    return (
        "# kill -9 at random moments of the application loop\n\n"
        f"Made by `python -m validation.application_kills` (seed {SEED}): on each database, applications are taken through\n"
        f"their {len(STEPS) + 1} events by a process that is killed with SIGKILL at a random moment; then the same requests\n"
        "are sent again.\n\n"
        + line("", [f"{name}" for name in found])
        + line("---", ["---:" for _ in found])
        + line("applications, each killed once", [len(some) for some in found.values()])
        + "".join(rows)
        + line(f"seconds, at a load of {os.getloadavg()[0]:.1f}", [f"{seconds[name]:.0f}" for name in found])
    )


if __name__ == "__main__":
    sys.exit(main())
