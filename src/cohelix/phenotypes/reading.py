"""`read_people`: which kind of files the people are in, found by content, and their reader."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cohelix.core.errors import BadFile, BadUsage
from cohelix.core.genome import Assembly
from cohelix.phenotypes.individual import Reading
from cohelix.phenotypes.mapping import Mapping, read_mapping
from cohelix.phenotypes.ontology import Ontologies

_FILES_MAX = 2_000_000  # of a folder of phenopackets, one person each


def read_people(
    paths: Sequence[Path],
    *,
    mapping: Path | None = None,
    concepts: Path | None = None,
    ontologies: Ontologies | None = None,
    assembly: Assembly | None = None,
    year: int = 2100,
) -> Reading:
    """Read people from tables, phenopackets or OMOP tables, whichever the files are.

    Parameters
    ----------
    paths
        Files or folders. A folder with JSON files is one of phenopackets (its folders are looked through); one with a
        table `person` is in the OMOP common data model; any other is one of tables.
    mapping
        A YAML mapping; see `cohelix.phenotypes.mapping`.
    concepts
        OMOP's concept map; see `cohelix.phenotypes.omop`.
    ontologies
        Those that bring codes up to date; None for none.
    assembly
        That of the variants to be taken from phenopackets.
    year
        The present year: nobody was born after it.

    Raises
    ------
    BadFile
        Naming file, place, and what was expected.
    BadUsage
        If a concept map is given and the people are not in OMOP tables.
    """
    meaning = read_mapping(mapping) if mapping is not None else Mapping()
    from cohelix.phenotypes.omop import omop_tables, read_omop
    from cohelix.phenotypes.phenopackets import read_phenopackets
    from cohelix.phenotypes.table import read_tables

    packets = [file for path in paths for file in _phenopackets(path)]
    if packets:
        if len(packets) > _FILES_MAX:
            raise BadFile(str(paths[0]), "", f"more than {_FILES_MAX} files", "one packet a line (.ndjson)")
        if any(not _phenopackets(path) for path in paths):
            raise BadUsage("phenopackets and other files of people cannot be one load: give one of them")
    elif len(paths) == 1 and omop_tables(paths[0]):
        return read_omop(paths[0], concepts=concepts, meaning=meaning, ontologies=ontologies, year=year)
    if concepts is not None:
        for person in (file for path in paths if path.is_dir() for file in sorted(path.iterdir())):
            if person.name.lower().split(".")[0] == "person":
                expected = "the columns person_id and gender_concept_id, as in OMOP"
                raise BadFile(str(person), "line 1", "it has no such columns, or cannot be read", expected)
        raise BadUsage("--concepts explains OMOP tables: a folder with a table named person")
    if packets:
        return read_phenopackets(packets, person=meaning.person, ontologies=ontologies, assembly=assembly, year=year)
    return read_tables(paths, meaning=meaning, year=year)


def _phenopackets(path: Path) -> list[Path]:
    """The files of phenopackets that a path stands for, by name; none where it holds something else."""
    from cohelix.phenotypes.packet_files import ENDINGS, holds_phenopackets

    if path.is_dir():
        found = (file for file in path.rglob("*") if file.name.lower().endswith(ENDINGS) and not file.name.startswith("."))
        return sorted(file for file in found if file.is_file())
    return [path] if path.is_file() and (path.name.lower().endswith(ENDINGS) or holds_phenopackets(path)) else []
