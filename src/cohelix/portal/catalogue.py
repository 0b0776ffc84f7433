"""The catalogue: which datasets may be applied for, by facets, and what their data-use codes say of a purpose (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cohelix.access.duo import PERMISSIONS, Match, Purpose, read_code
from cohelix.core.errors import BadQuestion
from cohelix.portal.application_words import ADVICE_WORDS, CODE_WORDS, TYPE_WORDS
from cohelix.portal.languages import gettext, ngettext
from cohelix.wire.applications import Line
from cohelix.wire.dataset import DatasetRecord

PAGE_DATASETS: Final = 20
FACETS: Final = {
    "country": "Country",
    "authority": "Who decides",
    "use": "Permitted use",
    "type": "Type",
    "disclosure": "Answers to everybody",
}
# What a facet says of a dataset in place of a value; "open", "floored" and "closed" are its own words.
UNSAID_WORDS: Final = {
    "country": "not said",
    "authority": "nobody yet",
    "open": "open",
    "floored": "floored",
    "closed": "closed",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A dataset as the catalogue shows it; `advice` is there where a purpose was stated."""

    record: DatasetRecord
    uses: tuple[tuple[str, str], ...]
    facets: Mapping[str, str]
    advice: Match | None = None

    @property
    def id(self) -> str:
        """The dataset's federation id."""
        return self.record.id

    @property
    def line(self) -> Line | None:
        """What is put into a basket; None where nobody decides about the dataset, or where it is not said from where it is."""
        if not (self.record.authority and self.record.country):
            return None
        return Line(dataset=self.record.id, authority=self.record.authority, country=self.record.country)

    @property
    def advice_word(self) -> str:
        """The whole advice in a word; empty without a purpose."""
        return ADVICE_WORDS[self.advice.advice] if self.advice else ""


@dataclass(frozen=True, slots=True)
class Facet:
    """A column by which the catalogue is narrowed: its values with how many datasets each has."""

    name: str
    title: str
    values: tuple[tuple[str, int], ...]
    chosen: str


def entries(records: Iterable[DatasetRecord], advise: Callable[[DatasetRecord], Match] | None = None) -> tuple[Entry, ...]:
    """Datasets as the catalogue shows them, by id."""
    return tuple(
        Entry(one, _uses(one), _facets(one), advise(one) if advise else None) for one in sorted(records, key=lambda r: r.id)
    )


def narrowed(found: Sequence[Entry], chosen: Mapping[str, str], words: str) -> tuple[tuple[Entry, ...], tuple[Facet, ...]]:
    """Those that every chosen facet and the words allow; a facet's counts are of what the others allow."""
    wanted = {name: chosen.get(f"in_{name}", "") for name in FACETS}
    typed = words.lower().split()

    def allows(entry: Entry, without: str = "") -> bool:
        text = f"{entry.id} {entry.record.title} {entry.record.description}".lower()
        kept = all(entry.facets[name] == value for name, value in wanted.items() if value and name != without)
        return kept and all(word in text for word in typed)

    facets = []
    for name, title in FACETS.items():
        counted = Counter(entry.facets[name] for entry in found if allows(entry, name))
        facets.append(Facet(name, title, tuple(sorted(counted.items())), wanted[name]))
    return tuple(entry for entry in found if allows(entry)), tuple(facets)


def lines_of(found: Sequence[Entry], wanted: Iterable[str]) -> list[Line]:
    """What goes into a basket for these datasets; raises `BadQuestion` where one cannot be applied for."""
    known, lines = {entry.id: entry.line for entry in found}, []
    for name in wanted:
        line = known.get(name)
        if line is None:
            raise BadQuestion(f"{name[:130]} cannot be applied for: no committee is named that decides about it")
        lines.append(line)
    return lines


def by_authority(lines: Iterable[Line]) -> dict[str, list[Line]]:
    """Lines of a basket by who decides, in the order of their names."""
    grouped: dict[str, list[Line]] = {}
    for line in sorted(lines, key=lambda one: (one.authority, one.dataset)):
        grouped.setdefault(line.authority, []).append(line)
    return grouped


def said(purpose: Purpose) -> bool:
    """Whether anything was said of a purpose."""
    return purpose != Purpose()


def _uses(record: DatasetRecord) -> tuple[tuple[str, str], ...]:
    """Each data-use code with its words and what limits it."""
    found = []
    for clause in record.duo:
        use = read_code(clause.code)
        limits: list[str] = [*clause.diseases, *clause.countries]
        if clause.until:
            limits.append(gettext("until %(day)s") % {"day": clause.until.isoformat()})
        if clause.months:
            limits.append(ngettext("%(count)s month", "%(count)s months", clause.months) % {"count": clause.months})
        words = gettext(CODE_WORDS[use]) if use else gettext("a code that is not understood; people review it")
        found.append((use.name if use else clause.code[:60], f"{words}{': ' if limits else ''}{', '.join(limits)}"))
    return tuple(found)


def _facets(record: DatasetRecord) -> dict[str, str]:
    permitted = [CODE_WORDS[use] for one in record.duo if (use := read_code(one.code)) in PERMISSIONS and use]
    return {
        "country": record.country or UNSAID_WORDS["country"],
        "authority": record.authority or UNSAID_WORDS["authority"],
        "use": " / ".join(sorted(set(permitted))) or UNSAID_WORDS["country"],
        "type": TYPE_WORDS.get(record.dataset_type or "", UNSAID_WORDS["country"]),
        "disclosure": record.disclosure,
    }
