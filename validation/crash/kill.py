"""Kills loads at random moments and looks at what is left: the old version or the complete new one, never a mixture."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from validation.processes import COMMAND, cohelix, done

DATASET = "cohort"


@dataclass(frozen=True)
class Aftermath:
    """What one killed load left behind."""

    moment: float  # seconds after the start
    killed: bool  # False: it had ended by itself
    version: str  # "old", "new" or what is wrong
    next_load_equal: bool  # an undisturbed load over the remains has the undisturbed bytes
    staging_gone: bool


def file_digests(folder: Path) -> dict[str, str]:
    """sha256 of every file under a version, the load report (the only place for times) left out.

    Of the manifest, everything but the version's own number: a load over a published version makes the next one.
    """
    return {
        str(path.relative_to(folder)): hashlib.sha256(_content(path)).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "report.json"
    }


def _content(path: Path) -> bytes:
    if path.name != "manifest.json":
        return path.read_bytes()
    manifest = json.loads(path.read_bytes())
    return json.dumps({name: value for name, value in manifest.items() if name != "version"}, sort_keys=True).encode()


def versions(node: Path) -> list[Path]:
    """Folders of published versions, oldest first."""
    return sorted(p for p in (node / "datasets" / DATASET / "versions").iterdir() if p.is_dir() and p.name.isdigit())


def load_words(node: Path, genotypes: Path, people: Path) -> list[str]:
    """The command line of one load."""
    return [
        *("node", "load", str(node), "--dataset", DATASET, "--genotypes", str(genotypes), "--assembly", "GRCh37"),
        *("--individuals", str(people), "--disclosure", "open"),
    ]


def counts(node: Path, out: Path) -> bytes:
    """What the node answers now, all rows."""
    done("node", "counts", node, "--dataset", DATASET, "--out", out)
    return out.read_bytes()


class Experiment:
    """A node with an old version, and the bytes and answers of an undisturbed old and new one."""

    def __init__(self, scratch: Path, old: Path, new: Path, people: Path) -> None:
        self.scratch, self.new, self.people = scratch, new, people
        self.before = scratch / "before"
        done("node", "init", self.before, "--id", "K", "--name", "Killed", "--country", "FI")
        done(*load_words(self.before, old, people))
        self.old_answer = counts(self.before, scratch / "old.tsv")
        undisturbed = scratch / "undisturbed"
        shutil.copytree(self.before, undisturbed)
        done(*load_words(undisturbed, new, people))
        self.new_answer = counts(undisturbed, scratch / "new.tsv")
        self.new_digests = file_digests(versions(undisturbed)[-1])
        assert self.old_answer != self.new_answer
        again = scratch / "again"
        shutil.copytree(self.before, again)
        self.seconds = cohelix(*load_words(again, new, people)).seconds
        assert file_digests(versions(again)[-1]) == self.new_digests

    def kill_at(self, moment: float, number: int) -> Aftermath:
        """Load the new version over a copy of the node, kill it after `moment` seconds, and look."""
        node = self.scratch / f"killed{number}"
        shutil.copytree(self.before, node)
        with (self.scratch / "killed.log").open("w") as log:
            process = subprocess.Popen(
                [*COMMAND, *load_words(node, self.new, self.people)], stdout=log, stderr=log, start_new_session=True
            )
        try:
            process.wait(moment)
            killed = False
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            killed = True
        version = self._version(node)
        done(*load_words(node, self.new, self.people))
        equal = file_digests(versions(node)[-1]) == self.new_digests
        left = sorted(p.name for p in (node / "datasets" / DATASET / "versions").iterdir())
        staging_gone = all(name.isdigit() for name in left) and not [
            p
            for p in (node / "datasets" / DATASET).iterdir()
            if p.name.startswith((".", "staging", "tmp")) and p.is_dir() and any(p.iterdir())
        ]
        shutil.rmtree(node)
        return Aftermath(round(moment, 3), killed, version, equal, staging_gone)

    def _version(self, node: Path) -> str:
        answer = counts(node, self.scratch / "now.tsv")
        if answer == self.old_answer:
            return "old"
        if answer != self.new_answer:
            return "a mixture"
        return "new" if file_digests(versions(node)[-1]) == self.new_digests else "new, with other bytes"


def run(experiment: Experiment, times: int, seed: int) -> list[Aftermath]:
    """Kill at `times` moments, spread at random over the length of an undisturbed load and a little more."""
    rng = random.Random(seed)
    moments = [rng.uniform(0, experiment.seconds * 1.1) for _ in range(times)]
    return [experiment.kill_at(moment, number) for number, moment in enumerate(moments)]


def elapsed(start: float) -> float:
    """Seconds since `start` (of `time.perf_counter`)."""
    return time.perf_counter() - start
