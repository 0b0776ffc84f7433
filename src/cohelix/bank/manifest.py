"""A dataset version on disk: what it declares, its parts, and the checksum of every file."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from cohelix.core.errors import Damaged
from cohelix.core.genome import Assembly
from cohelix.genotypes.sections import check_file, sha256_of
from cohelix.wire.dataset import AbsentMeans, Content, Disclosure, Floors

MANIFEST_FILE, REPORT_FILE = "manifest.json", "report.json"
GENOTYPES, COUNTS, PEOPLE = "genotypes", "counts", "people"
# Only where there is something to hold: what genotypes cannot say of calls, and what annotations say of variants.
CASES, ANNOTATIONS = "cases", "annotations"
# 1 had no releases and no standing of people in them; everybody is in its one release.
FORMAT_VERSION: Literal[2] = 2
_STAGED = re.compile(r"(genotypes/[^/]+\.shard|counts/[^/]+\.counts)")


class Atom(BaseModel):
    """People of one origin and one sex: the cells that counts are precomputed for; they share nobody and leave nobody out.

    `population` is empty where it is not known. Of an aggregate dataset these are the groups that were counted, sums over `all`
    and those left over (an empty population, an unknown sex) among them.
    """

    model_config = ConfigDict(frozen=True)

    population: str
    sex: Literal["male", "female", "unknown", "all"]
    people: int

    @property
    def group(self) -> str:
        """The atom's name in the table of counts."""
        return f"{self.population}\t{self.sex}"


class Manifest(BaseModel):
    """The declaration of one version. It holds no time and no path of the loading machine: the same input, the same bytes.

    `lift_over` says by which chain file positions came from the other build, and how many variants were lost for which reason;
    None where nothing was lifted. `consent` says whether people who have said nothing are in, or out. `n_individuals` and the
    atoms are of the public release; `n_waiting` people wait for a later one.
    """

    model_config = ConfigDict(frozen=True)

    format: Literal[1, 2] = FORMAT_VERSION
    dataset: str
    version: int
    release: int
    title: str
    assembly: Assembly
    disclosure: Disclosure
    floors: Floors
    absent_means: AbsentMeans
    content: Content = "germline"
    consent: Literal["opt-out", "opt-in"] = "opt-out"
    simulated: bool
    open_release_note: str | None
    lift_over: dict[str, Any] | None = None
    n_individuals: int
    n_waiting: int = 0
    n_call_sets: int
    n_variants: int
    contigs: tuple[str, ...]
    atoms: tuple[Atom, ...]
    files: dict[str, str]


def write_manifest(manifest: Manifest, folder: Path) -> None:
    """Write the manifest as sorted, indented JSON."""
    text = json.dumps(manifest.model_dump(mode="json"), indent=1, sort_keys=True, ensure_ascii=False)
    (folder / MANIFEST_FILE).write_text(text + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a version's folder.

    Raises
    ------
    Damaged
        If it is missing, or not of a format that this version reads.
    """
    try:
        return Manifest.model_validate_json((folder / MANIFEST_FILE).read_bytes())
    except (OSError, ValidationError) as error:
        path = str(folder / MANIFEST_FILE)
        raise Damaged(f"version {folder.name}: the manifest cannot be read ({_first_line(error)})", path=path) from None


def checksums(folder: Path) -> dict[str, str]:
    """SHA-256 of every file under a version's folder, manifest and load report left out, by path from the folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in (MANIFEST_FILE, REPORT_FILE):
            found[name] = sha256_of(path)
    return found


def check_files(manifest: Manifest, folder: Path) -> None:
    """Check what a version is opened from: every file but shards of genotypes and counts, which are checked when first read.

    Raises
    ------
    Damaged
        Naming the first file that is absent or differs.
    """
    for name, sha256 in sorted(manifest.files.items()):
        if not _STAGED.fullmatch(name):
            check_file(folder / name, sha256)


def damaged_files(manifest: Manifest, folder: Path) -> list[str]:
    """Names of files that are absent, differ from the manifest, or are not in it; every byte is read."""
    present = checksums(folder)
    return [name for name in sorted(manifest.files.keys() | present.keys()) if manifest.files.get(name) != present.get(name)]


def verify_files(manifest: Manifest, folder: Path) -> None:
    """Check every byte of every file against the manifest; raises `Damaged` naming the first that differs."""
    for name in damaged_files(manifest, folder):
        raise Damaged(f"{name} of version {manifest.version} is not what was loaded")


def _first_line(error: Any) -> str:
    return str(error).splitlines()[0]
