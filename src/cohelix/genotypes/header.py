"""What the header of a VCF or BCF says: samples, contigs, the dictionary of keys, and which assembly it is of."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from cohelix.core.errors import AssemblyMismatch, BadFile, BadQuestion
from cohelix.core.genome import (
    HG19_CHR_M_LENGTH,
    Assembly,
    Contig,
    assembly_of_refseq,
    known_contig,
    parse_assembly,
    plain_contig,
    primary_lengths,
)

# A header of a million samples with long names fits well below this.
HEADER_BYTES = 64 << 20
_COLUMNS = ["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO"]
_ATTRIBUTE = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|[^,>]*)')
_REFERENCE_HINT = re.compile(r"(GRCh37|hg19|b37|hs37d5|GRCh38|hg38|b38)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ContigLine:
    """A `##contig` line: the name as the file writes it, the length in bases or None, and the assembly it claims."""

    name: str
    length: int | None
    assembly: str | None


@dataclass(frozen=True, slots=True)
class Header:
    """A parsed header.

    Attributes
    ----------
    samples
        Names of the genotype columns, in the file's order.
    contigs
        By index, as BCF records name them (also in a VCF, where the names alone matter).
    keys
        BCF's dictionary of FILTER, INFO and FORMAT ids: name to index.
    n_lines
        Lines of the header, the column line included: the next line is the first record's.
    reference
        Text of `##reference` and `##assembly`, for a hint.
    """

    samples: tuple[str, ...]
    contigs: dict[int, ContigLine]
    keys: dict[str, int]
    n_lines: int
    reference: str = field(default="")


def parse_header(path: Path, text: bytes, *, sites: bool = False) -> Header:
    """Parse the lines up to and with the `#CHROM` line; with `sites`, a file without sample columns will do.

    Raises
    ------
    BadFile
        With the line, where the header is not as the VCF specification has it.
    """
    try:
        lines = text.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        place = f"line {text[: error.start].count(bytes([10])) + 1}"
        raise BadFile(str(path), place, "the header is not UTF-8 text", "a header in UTF-8") from error
    lines = [line.removesuffix("\r") for line in lines if line not in ("", "\r")]
    if not lines or not lines[0].startswith("##fileformat=VCF"):
        raise BadFile(str(path), "line 1", "the first line is not ##fileformat=VCFv4…", "a VCF or BCF file")
    contigs: dict[int, ContigLine] = {}
    keys, taken, next_key = {"PASS": 0}, {0: "PASS"}, 1
    reference = []
    for number, line in enumerate(lines[:-1], start=1):
        if not line.startswith("##"):
            raise BadFile(
                str(path), f"line {number}", "a line of the header does not start with '##'", "'##' lines, then #CHROM"
            )
        kind, _, value = line[2:].partition("=")
        if kind in ("reference", "assembly"):
            reference.append(value)
        if kind not in ("contig", "INFO", "FORMAT", "FILTER") or not value.startswith("<"):
            continue
        found = {name: text.strip('"') for name, text in _ATTRIBUTE.findall(value)}
        if not found.get("ID"):
            raise BadFile(str(path), f"line {number}", f"a ##{kind} line has no ID", f"##{kind}=<ID=…>")
        index = _number(path, number, "IDX", found.get("IDX"))
        if kind == "contig":
            line_of = ContigLine(found["ID"], _number(path, number, "length", found.get("length")), found.get("assembly"))
            _enter(path, number, contigs, len(contigs) if index is None else index, line_of)
        elif found["ID"] != "PASS" and (found["ID"] not in keys or index is not None):
            at = next_key if index is None else index
            if taken.setdefault(at, found["ID"]) != found["ID"]:
                raise BadFile(str(path), f"line {number}", f"two keys share IDX={at}", "one number for each key")
            keys[found["ID"]], next_key = at, max(next_key, at + 1)
    samples = _samples(path, len(lines), lines[-1], sites=sites)
    return Header(samples, contigs, keys, len(lines), " ".join(reference))


def _enter(path: Path, number: int, contigs: dict[int, ContigLine], index: int, line: ContigLine) -> None:
    if index in contigs:
        raise BadFile(str(path), f"line {number}", f"two contigs share IDX={index}", "one number for each contig")
    contigs[index] = line


def _number(path: Path, line: int, name: str, text: str | None) -> int | None:
    if text is None or text == "":
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise BadFile(str(path), f"line {line}", f"{name}={text[:40]} is not a whole number", f"{name} in digits")
    return int(text)


def _samples(path: Path, number: int, line: str, *, sites: bool) -> tuple[str, ...]:
    where = f"line {number}"
    if not line.startswith("#CHROM"):
        raise BadFile(str(path), where, "the header has no #CHROM line", "the line of column names before the records")
    columns = line.split("\t")
    if columns[:8] != _COLUMNS:
        raise BadFile(str(path), where, "the column names are not VCF's", f"{' '.join(_COLUMNS)} separated by tabs")
    if len(columns) <= 9:
        if sites:
            return ()
        raise BadFile(str(path), where, "the file has no sample columns", "genotypes: FORMAT and one column for each sample")
    if columns[8] != "FORMAT":
        raise BadFile(str(path), where, "the ninth column is not FORMAT", "FORMAT, then one column for each sample")
    samples = columns[9:]
    seen: set[str] = set()
    for column, name in enumerate(samples, start=10):
        if not name.strip() or name in seen:
            problem = f"column {column} repeats a sample name" if name in seen else f"column {column} has an empty sample name"
            raise BadFile(str(path), where, problem, "a name of its own for each sample")
        seen.add(name)
    return tuple(samples)


def check_contigs(path: Path, header: Header, assembly: Assembly) -> list[str]:
    """Check the header's contig lines against the assembly; returns warnings.

    The lengths of the primary contigs decide; where a line has none, a versioned RefSeq accession or the line's own
    `assembly=` does. `##reference` is a mere hint (it outlives a lift-over) and gives a warning.

    Raises
    ------
    AssemblyMismatch
        Naming the contig, both lengths, and the assembly that it fits where there is one.
    """
    lengths = primary_lengths(assembly)
    for line in header.contigs.values():
        name = plain_contig(line.name)
        stated = _assembly_of_accession(line.name)
        if name in lengths and line.length is not None:
            if line.length == lengths[name] or (name == "MT" and line.length == HG19_CHR_M_LENGTH):
                stated = stated if stated != assembly else None
            else:
                fits = [str(other) for other in Assembly if primary_lengths(other).get(name) == line.length]
                of = f", which is {fits[0]}'s" if fits else ""
                problem = f"contig {line.name} has {line.length} bases{of}, not the {lengths[name]} of {assembly}"
                raise _mismatch(path, problem, assembly)
        elif name in lengths and stated is None and line.assembly:
            stated = _assembly_or_none(line.assembly)
        if stated is not None and stated != assembly:
            raise _mismatch(path, f"contig {line.name} is declared as {stated}, not {assembly}", assembly)
    hint = _REFERENCE_HINT.search(header.reference)
    if hint and parse_assembly(hint[1]) != assembly:
        return [f"{path.name}: the header's ##reference names {hint[1]}, the load is of {assembly}"]
    return []


def resolve_contig(path: Path, place: str, name: str, header: Header, assembly: Assembly) -> Contig:
    """The assembly's contig for a record's CHROM.

    Raises
    ------
    BadFile
        Where the assembly has no such contig, or the file's chrM is hg19's own (another sequence than GRCh37's MT).
    AssemblyMismatch
        Where the name is an accession of the other assembly.
    """
    stated = _assembly_of_accession(name)
    if stated is not None and stated != assembly:
        raise AssemblyMismatch(str(path), place, f"contig {name} is of {stated}, not {assembly}", f"a file of {assembly}")
    found = known_contig(name, assembly)
    if found is None:
        raise BadFile(str(path), place, f"{assembly} has no contig {name[:60]!r}", f"contig names of {assembly}")
    if found.name == "MT":
        length = next((line.length for line in header.contigs.values() if line.name == name), None)
        if length == HG19_CHR_M_LENGTH:
            problem = f"{name} of {HG19_CHR_M_LENGTH} bases is hg19's chrM, another sequence than {assembly}'s MT"
            raise BadFile(str(path), place, problem, "mitochondrial records on NC_012920 (16,569 bases), or none")
    return found


def _assembly_of_accession(name: str) -> Assembly | None:
    accession = name.removeprefix("chr")
    return assembly_of_refseq(accession) if accession.startswith(("NC_", "NT_", "NW_")) else None


def _assembly_or_none(text: str) -> Assembly | None:
    try:
        return parse_assembly(text)
    except BadQuestion:  # another organism's or a private name: it tells nothing
        return None


def _mismatch(path: Path, problem: str, assembly: Assembly) -> AssemblyMismatch:
    return AssemblyMismatch(str(path), "header", problem, f"a file of {assembly}, or --assembly as the file is")
