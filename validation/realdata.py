"""Where the real genomes lie: the shared folder beside the repository, and the Debian package `qtltools-example`."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


def shared() -> Path | None:
    """The shared folder (`COHELIX_SHARED`, else `../shared`), or None where it is not present."""
    folder = Path(os.environ.get("COHELIX_SHARED") or REPOSITORY.parent / "shared")
    return folder if (folder / "data").is_dir() else None


@dataclass(frozen=True)
class GenotypeSet:
    """A file of the shared folder with genotypes of the 2,504 people of the 1000 Genomes panel."""

    name: str
    path: Path
    assembly: str


def genotype_sets() -> list[GenotypeSet]:
    """Every VCF and BCF with genotypes of `kg3-*`."""
    folder = shared()
    if folder is None:
        return []
    sets = []
    for path in sorted((folder / "data").glob("kg3-*/*")):
        if path.name.endswith((".vcf.gz", ".bcf")):
            assembly = "GRCh38" if "GRCh38" in path.name else "GRCh37"
            suffix = "-38" if assembly == "GRCh38" else ""
            sets.append(GenotypeSet(path.parent.name + suffix, path, assembly))
    return sets


def panel() -> dict[str, tuple[str, str]]:
    """{sample: (sex, population)} of the 2,504 people, from the release's own panel file."""
    folder = shared()
    if folder is None:
        raise FileNotFoundError("the shared folder with kg3-labels is not present: set COHELIX_SHARED")
    lines = (folder / "data/kg3-labels/integrated_call_samples_v3.20130502.ALL.panel").read_text().splitlines()[1:]
    rows = (line.split() for line in lines)
    return {sample: (sex, population) for sample, population, _super, sex in rows}


def write_people(path: Path, people: dict[str, tuple[str, str]], samples: list[str]) -> Path:
    """The individuals table of these samples, as `cohelix node load` reads it."""
    lines = ["individual_id\tbiosample_id\tsex\tpopulation"]
    lines += [f"{sample}\t{sample}\t{people[sample][0]}\t{people[sample][1]}" for sample in samples]
    path.write_text("\n".join(lines) + "\n")
    return path


def qtltools_example(cache: Path | None = None) -> Path:
    """The folder with `genotypes.chr22.vcf.gz` of the Debian package, fetched by `apt-get download` where it is not cached.

    The cache is `COHELIX_DATA`, else the user's own cache folder. Raises `FileNotFoundError`, with apt's own words,
    where the package cannot be had.
    """
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cohelix" / "qtltools-example"
    folder = cache or Path(os.environ.get("COHELIX_DATA") or default)
    if (folder / "genotypes.chr22.vcf.gz").is_file():
        return folder
    if not shutil.which("apt-get"):
        raise FileNotFoundError("qtltools-example is not cached and this machine has no apt-get to fetch it with")
    with tempfile.TemporaryDirectory() as scratch:
        done = subprocess.run(
            ["apt-get", "download", "qtltools-example"], cwd=scratch, capture_output=True, text=True, check=False
        )
        packages = list(Path(scratch).glob("*.deb"))
        if done.returncode or not packages:
            raise FileNotFoundError(f"qtltools-example could not be fetched: {done.stderr.strip()[-300:]}")
        subprocess.run(["dpkg-deb", "-x", str(packages[0]), scratch + "/x"], check=True)
        archive = next(Path(scratch).glob("x/**/examples.tar.xz"))
        fresh = folder.with_name(folder.name + ".new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        with tarfile.open(archive) as tar:
            tar.extractall(fresh, filter="data")
        fresh.rename(folder)
    return folder
