"""Where the real genomes lie: the shared folder beside the repository, and the Debian package `qtltools-example`."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cohelix.testing.example_data import find_example, user_cache

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
    """The folder with `genotypes.chr22.vcf.gz` of the Debian package, found or fetched as the demo does it.

    Raises `Unreachable`, with apt's own words, where the package cannot be had.
    """
    return find_example(None, cache or user_cache(), lambda _: None).genotypes[0].parent


def indexed(genotypes: Path, scratch: Path) -> Path:
    """A link to a `.vcf.gz` with an index beside it: bcftools takes the contigs of a file without contig lines from there."""
    link = scratch / "indexed.vcf.gz"
    link.unlink(missing_ok=True)
    link.symlink_to(genotypes.resolve())
    subprocess.run(["tabix", "-f", "-p", "vcf", link], check=True, capture_output=True)
    return link
