"""Reads an ontology from the file that an operator names: OBO, OWL (RDF/XML), or a table of codes.

Of OBO and OWL are taken: terms, labels, is-a parents, alternative ids, what is obsolete and what replaced it. Relations of
other kinds are left out, and so are imports: nothing is fetched. A table (TSV, CSV, Parquet) has columns `code` and `label`,
and, where there are such, `parents`, `alternatives` (several separated by `|` or `;`), `obsolete` (0 or 1) and `replaced_by`.
Files may be packed with gzip, bzip2 or xz.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import xml.etree.ElementTree as ET
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from cohelix.core.codes import canonical, prefix_of
from cohelix.core.errors import BadFile, BadInput
from cohelix.phenotypes.ontology import FOLDER, Ontology, OntologyTerm, write_ontology
from cohelix.phenotypes.tabular import Table

_EXPECTED = "an ontology as OBO, OWL (RDF/XML) or a table with the columns code, label, parents"
_BYTES_MAX = 8 << 30  # expanded; NCIT in OWL has 0.7 GB
_LINE_BYTES_MAX = 1 << 20
_TERMS_MAX = 5_000_000
_BROKEN = (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError)
_RDF, _RDFS = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}", "{http://www.w3.org/2000/01/rdf-schema#}"
_OWL, _XML = "{http://www.w3.org/2002/07/owl#}", "{http://www.w3.org/XML/1998/namespace}"
_OBO_IN_OWL = "{http://www.geneontology.org/formats/oboInOwl#}"
_REPLACED_BY = "{http://purl.obolibrary.org/obo/}IAO_0100001"
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,31}")
_PARTS = re.compile(r"[|;]")
_COLUMNS = {
    "code": re.compile(r"code|id|conceptid|conceptcode|termid|classid|curie"),
    "label": re.compile(r"label|name|title|preferredlabel|preferredterm|term"),
    "parents": re.compile(r"parents?|parents?ids?|parents?codes?|isa|broader|superclass(es)?|subclassof"),
    "alternatives": re.compile(r"alternatives?|alt(ernative)?ids?|aliases"),
    "obsolete": re.compile(r"(is)?obsolete|deprecated|inactive"),
    "replaced_by": re.compile(r"replacedby|replacement|replacedbyid|currentid"),
}


class _Read(NamedTuple):
    """What a file says: its terms, the version that it names (may be empty), and whether its codes come without a prefix."""

    terms: list[OntologyTerm]
    version: str
    bare: bool = False


@dataclass(slots=True)
class _Draft:
    """A term while its lines are read."""

    code: str = ""
    label: str = ""
    english: bool = False
    parents: list[str] = field(default_factory=list)
    alternatives: list[str] = field(default_factory=list)
    obsolete: bool = False
    replaced_by: list[str] = field(default_factory=list)

    def term(self) -> OntologyTerm:
        """The term as it is handed on. What was split into several is replaced by none: nobody knows which is meant."""
        replacement = self.replaced_by[0] if len(set(self.replaced_by)) == 1 else None
        return OntologyTerm(self.code, self.label, tuple(self.parents), tuple(self.alternatives), self.obsolete, replacement)


def add_ontology(node: Path, path: Path, prefix: str | None = None) -> Ontology:
    """Bring a file into the compact form in a node's folder, in place of the ontology of that prefix that was there.

    Parameters
    ----------
    prefix
        Which of the file's terms are taken; without it, the prefix that most terms have. A table whose codes have no
        prefix needs it, and data may then write its codes with or without.

    Raises
    ------
    BadFile
        If the file cannot be read, has no such term, or its parents run in a circle.
    """
    name = str(path)
    if prefix is not None and not _PREFIX.fullmatch(prefix):
        raise BadInput(f"{prefix!r} is not a prefix of codes: letters and digits, such as MONDO")
    if not path.is_file():
        raise BadFile(name, "", "there is no such file" if not path.exists() else "it is no file", _EXPECTED)
    try:
        found = _read(path, prefix)
    except OSError as error:
        raise BadFile(name, "", f"cannot be read ({error.strerror or error})", _EXPECTED) from None
    counts = Counter(prefix_of(term.code) for term in found.terms)
    counts.pop("", None)
    if not counts:
        raise BadFile(name, "", "no term has a code with a prefix", "codes such as MONDO:0005148, or --prefix")
    wanted = prefix_of(f"{prefix}:") if prefix is not None else counts.most_common(1)[0][0]
    if wanted not in counts:
        raise BadFile(name, "", f"no term has the prefix {wanted}", f"one of {', '.join(sorted(counts)[:20])}")
    if not _PREFIX.fullmatch(wanted):
        raise BadFile(name, "", f"{wanted[:40]!r} is no prefix of codes", "codes such as MONDO:0005148, or --prefix")
    target = node / FOLDER / f"{wanted}.arrow"
    try:
        return write_ontology(target, found.terms, prefix=wanted, version=found.version, source=path.name, bare=found.bare)
    except BadInput as error:
        raise BadFile(name, "", error.detail, _EXPECTED) from None


def _read(path: Path, prefix: str | None) -> _Read:
    with _opened(path) as stream:
        head = cast(bytes, _guarded(path, lambda: stream.read(4096)))
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not start:
        raise BadFile(str(path), "line 1", "the file is empty", _EXPECTED)
    if start.startswith((b"<?xml", b"<rdf:RDF", b"<!DOCTYPE", b"<Ontology")):
        return _read_owl(path)
    if start.startswith((b"{", b"[{")):
        raise BadFile(str(path), "line 1", "JSON", _EXPECTED)
    if re.search(rb"^(format-version|ontology|data-version):|^\[Term\]", start, re.MULTILINE):
        return _read_obo(path)
    return _read_table(path, prefix)


def _read_obo(path: Path) -> _Read:
    terms: list[OntologyTerm] = []
    version, stanza, draft = "", "header", _Draft()

    def close() -> None:
        if stanza == "[Term]" and draft.code:
            terms.append(draft.term())

    for number, line in _lines(path):
        if line.startswith("["):
            close()
            stanza, draft = line.strip(), _Draft()
            continue
        tag, colon, value = line.partition(":")
        if not colon:
            if line.strip() and not line.startswith("!"):
                raise BadFile(str(path), f"line {number}", f"{line.strip()[:40]!r} is no `tag: value`", _EXPECTED)
            continue
        value = _obo_value(value)
        if stanza == "header" and tag == "data-version":
            version = value
        elif stanza == "[Term]":
            _take_tag(draft, tag, value)
        if len(terms) > _TERMS_MAX:
            raise BadFile(str(path), f"line {number}", f"more than {_TERMS_MAX} terms", _EXPECTED)
    close()
    dated = _DATE.search(version)
    return _Read(terms, dated[0] if dated else version)


def _take_tag(draft: _Draft, tag: str, value: str) -> None:
    if tag == "id":
        draft.code = value
    elif tag == "name":
        draft.label = re.sub(r"\\(.)", r"\1", value)
    elif tag == "is_a":
        draft.parents += value.split(maxsplit=1)[:1]
    elif tag == "alt_id":
        draft.alternatives.append(value)
    elif tag == "is_obsolete":
        draft.obsolete = value == "true"
    elif tag == "replaced_by":
        draft.replaced_by += value.split(maxsplit=1)[:1]


def _obo_value(text: str) -> str:
    """A tag's value without what a comment (`! …`) or modifiers (`{…}`) add; a backslash keeps what follows."""
    value = re.split(r"(?<!\\)\s!(?:\s|$)", text, maxsplit=1)[0]
    return re.sub(r"(?<!\\)\{[^{}]*\}\s*$", "", value).strip()


def _read_owl(path: Path) -> _Read:
    drafts: dict[str, _Draft] = {}
    version, depth = "", 0
    root: ET.Element | None = None
    with _opened(path) as stream:
        events = ET.iterparse(cast(Any, _Bounded(path, stream)), events=("start", "end"))
        for event, element in _events(path, events):
            depth += 1 if event == "start" else -1
            if root is None:
                root = element
                if element.tag != f"{_RDF}RDF":
                    raise BadFile(str(path), "its first element", "not RDF/XML", "OWL saved as RDF/XML, or OBO")
            if event == "start" or depth != 1:
                continue
            if element.tag == f"{_OWL}Ontology":
                version = version or _owl_version(element)
            elif element.tag in (f"{_OWL}Class", f"{_RDF}Description") and f"{_RDF}about" in element.attrib:
                code = canonical(element.attrib[f"{_RDF}about"])
                if ":" in code:
                    _take_class(drafts.setdefault(code, _Draft(code)), element)
            root.clear()
            if len(drafts) > _TERMS_MAX:
                raise BadFile(str(path), "", f"more than {_TERMS_MAX} terms", _EXPECTED)
    return _Read([draft.term() for draft in drafts.values() if draft.label or draft.obsolete], version)


def _take_class(draft: _Draft, element: ET.Element) -> None:
    for child in element:
        resource, text = child.get(f"{_RDF}resource"), (child.text or "").strip()
        if child.tag == f"{_RDFS}subClassOf" and resource:
            draft.parents.append(canonical(resource))
        elif child.tag == f"{_RDFS}label" and text:
            english = child.get(f"{_XML}lang", "en").startswith("en")
            if not draft.label or (english and not draft.english):
                draft.label, draft.english = text, english
        elif child.tag == f"{_OWL}deprecated":
            draft.obsolete = text.lower() in ("true", "1")
        elif child.tag == _REPLACED_BY and (resource or text):
            draft.replaced_by.append(canonical(resource or text))
        elif child.tag == f"{_OBO_IN_OWL}hasAlternativeId" and text:
            draft.alternatives.append(text)


def _owl_version(element: ET.Element) -> str:
    named = [child.get(f"{_RDF}resource", "") or (child.text or "") for child in element if "version" in child.tag]
    dated = next((found[0] for found in map(_DATE.search, named) if found), None)
    return dated or next((text.strip()[:80] for text in named if text.strip()), "")


def _read_table(path: Path, prefix: str | None) -> _Read:
    table = Table(path)
    places: dict[str, int] = {}
    for place, name in enumerate(table.header):
        plain = re.sub(r"[^a-z]", "", name.lower())
        role = next((role for role, names in _COLUMNS.items() if names.fullmatch(plain)), None)
        if role is not None:
            places.setdefault(role, place)
    if "code" not in places or "label" not in places:
        raise table.refusal(1, f"the columns are {', '.join(table.header)[:100]}", _EXPECTED)
    terms: list[OntologyTerm] = []
    bare = False

    def spelled(code: str) -> str:
        return f"{prefix}:{code}" if prefix is not None and ":" not in canonical(code) else code

    for block in table.blocks():
        cells = {role: block.columns[place] for role, place in places.items()}
        for row, line in enumerate(block.lines):
            code = cells["code"][row]
            if not code:
                raise table.refusal(line, "no code", "a code in every row")
            bare = bare or (prefix is not None and ":" not in canonical(code))
            several = {
                role: tuple(spelled(part.strip()) for part in _PARTS.split(cells[role][row]) if part.strip())
                if role in cells
                else ()
                for role in ("parents", "alternatives", "replaced_by")
            }
            terms.append(
                OntologyTerm(
                    spelled(code),
                    cells["label"][row],
                    several["parents"],
                    several["alternatives"],
                    "obsolete" in cells and cells["obsolete"][row].lower() in ("1", "true", "yes", "y"),
                    several["replaced_by"][0] if len(several["replaced_by"]) == 1 else None,
                )
            )
    return _Read(terms, "", bare)


def _opened(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        magic = file.read(6)
    if magic.startswith(b"\x1f\x8b"):
        return cast(IO[bytes], gzip.open(path))
    if magic.startswith(b"BZh"):
        return cast(IO[bytes], bz2.open(path))
    return cast(IO[bytes], lzma.open(path)) if magic.startswith(b"\xfd7zXZ") else path.open("rb")


class _Bounded:
    """A stream that ends with a refusal after too many bytes."""

    def __init__(self, path: Path, stream: IO[bytes]) -> None:
        self._path, self._stream, self._seen = path, stream, 0

    def read(self, count: int = -1) -> bytes:
        """The next bytes."""
        piece = self._stream.read(count if count > 0 else 1 << 16)
        self._seen += len(piece)
        if self._seen > _BYTES_MAX:
            raise BadFile(str(self._path), "", f"more than {_BYTES_MAX} bytes", _EXPECTED)
        return piece


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    with _opened(path) as stream:
        buffered, number, seen = io.BufferedReader(cast(Any, stream)), 0, 0
        while raw := cast(bytes, _guarded(path, lambda: buffered.readline(_LINE_BYTES_MAX))):
            number, seen = number + 1, seen + len(raw)
            if len(raw) == _LINE_BYTES_MAX or seen > _BYTES_MAX:
                raise BadFile(str(path), f"line {number}", "the line or the file is too long", _EXPECTED)
            try:
                yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError:
                raise BadFile(str(path), f"line {number}", "the text is not in UTF-8", "UTF-8") from None


def _events(path: Path, events: Iterable[Any]) -> Iterator[tuple[str, ET.Element]]:
    walk = iter(events)
    while (found := _guarded(path, lambda: next(walk, None))) is not None:
        yield cast(tuple[str, ET.Element], found)


def _guarded(path: Path, step: Any) -> Any:
    """One step of reading; what a broken archive or XML raises becomes a refusal."""
    try:
        return step()
    except ET.ParseError as error:
        line, column = error.position
        raise BadFile(str(path), f"line {line}, column {column + 1}", f"broken XML ({error.msg})", _EXPECTED) from None
    except _BROKEN as error:
        raise BadFile(str(path), "", f"the archive is broken ({error})", "a whole file") from None
    except (LookupError, ValueError) as error:  # an encoding that nobody knows; a NUL in a name
        raise BadFile(str(path), "", f"cannot be read ({error})", _EXPECTED) from None
