"""People from tables: reads the rows, refuses what cannot be meant, and puts together what several rows say of one person."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cohelix.core.errors import BadFile
from cohelix.phenotypes.columns import Columns, read_columns, refuse_unknown_columns
from cohelix.phenotypes.completeness import Tally, completeness
from cohelix.phenotypes.consents import EXPECTED, Scope, agreed
from cohelix.phenotypes.documents import VITAL_STATUS
from cohelix.phenotypes.individual import Reading, known_columns
from cohelix.phenotypes.mapping import CodeColumn, Mapping, MeasurementColumn
from cohelix.phenotypes.model import BIOSAMPLE_KINDS, Measurement, People, SexCode, Term, TermKind, TermPeople
from cohelix.phenotypes.tabular import Block, Table

POPULATIONS_MAX = 200  # of one dataset; 1000 Genomes and HGDP together have 80
_VALUES_MAX = 64_000_000  # measured values of one dataset, 512 MB
_ID_LENGTH_MAX = 256
_AGE_MAX = 130
_BIRTH_YEAR_MIN = 1850
# Of several rows of one person: the first onset stands, and the last follow-up.
_BEST_OF_SEVERAL = {"age_at_onset": np.fmin, "last_follow_up": np.fmax}
_MISSING = frozenset({"", ".", "na", "n/a", "nan", "null", "none"})
_UNKNOWN = _MISSING | {"unknown", "not available", "not known"}
_SEX_WORDS: dict[str, SexCode] = {
    **dict.fromkeys(("male", "m", "1", "man", "ncit:c20197"), SexCode.MALE),
    **dict.fromkeys(("female", "f", "2", "woman", "ncit:c16576"), SexCode.FEMALE),
    # PLINK writes 0 for unknown; HL7's administrative gender has unknown (UN, UNK) and other.
    **dict.fromkeys((*_UNKNOWN, "0", "u", "un", "unk", "other", "o"), SexCode.UNKNOWN),
}
# Pathological states of the 1+MG minimal dataset, and what people write for them.
_GERMLINE_WORDS = frozenset({"germline", "normal", "germline normal", "tissue normal", "blood", "saliva"})
_TUMOUR_WORDS = frozenset({"tumour", "tumor", "somatic", "primary", "metastasis", "recurrent", "tumoroid"})
_YES, _NO = frozenset({"1", "true", "yes", "y"}), frozenset({"0", "false", "no", "n"})
_VITAL_WORDS = {
    **dict.fromkeys(("alive", "living", "0:living"), "ALIVE"),
    **dict.fromkeys(("dead", "deceased", "died", "1:deceased"), "DECEASED"),
}
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+-]{0,63}")
_FLAG_NUMBER = re.compile(r"-?\d{1,2}")
_BIRTH = re.compile(r"(\d{4})(-\d{2}(-\d{2})?)?")
_CODE_SEPARATOR = re.compile(r"[;|]")


def read_tables(paths: Sequence[Path], *, meaning: Mapping | None = None, year: int = 2100) -> Reading:
    """Read people from tables, joined by individual and biosample id.

    Parameters
    ----------
    paths
        TSV, CSV (gzipped or not) or Parquet files; a folder stands for the tables in it, by name.
    meaning
        The mapping of columns; by default they are recognised by name.
    year
        The present year: nobody was born after it.

    Raises
    ------
    BadFile
        Naming file, line (row of a Parquet file) and what was expected.
    """
    meaning = meaning or Mapping()
    files = [file for path in paths for file in _files(path)]
    # First the tables that say which biosample is whose, so that those with biosamples alone find their people.
    tables = [Table(path, meaning.separator) for path in files]
    refuse_unknown_columns(", ".join(str(path) for path in paths), meaning, [table.header for table in tables])
    gathering = _Gathering(meaning, year)
    read = [(table, read_columns(table, meaning)) for table in tables]
    for table, columns in sorted(read, key=lambda item: len({"biosample", "individual"} & item[1].single.keys()), reverse=True):
        before = gathering.n_rows
        for block in table.blocks():
            gathering.add(table, columns, block)
        if gathering.n_rows == before:
            raise table.refusal(2, "the table has a header and no rows", "a row for each biosample or person")
    not_taken = tuple(dict.fromkeys(name for _, columns in read for name in columns.not_taken if name))
    people = gathering.people()
    complete = completeness(people, (), gathering.tally())
    return Reading(
        people,
        gathering.n_rows,
        gathering.n_repeated,
        not_taken,
        known_columns(people),
        complete,
        warnings=gathering.warnings(),
        consents=gathering.consents(),
    )


def read_identifiers(path: Path) -> tuple[str, ...]:
    """Individual ids from a text file, one a line; blank lines and repeated ids are passed over.

    Raises
    ------
    BadFile
        If the file is empty, not text, or a line holds more than an id.
    """
    table = Table(path, "tab")
    found: dict[str, None] = {}
    if len(table.header) != 1:
        raise table.refusal(1, f"{len(table.header)} columns", "one individual id a line")
    found[table.header[0]] = None
    for block in table.blocks():
        for cell in block.columns[0]:
            found[cell] = None
    return tuple(found)


@dataclass(slots=True)
class _Numbers:
    """A growing column of numbers, NaN where not known."""

    values: np.ndarray[tuple[int], np.dtype[np.float64]] = field(default_factory=lambda: np.full(1024, np.nan))

    def upto(self, n: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        if n > len(self.values):
            grown = np.full(max(n, 2 * len(self.values)), np.nan)
            grown[: len(self.values)] = self.values
            self.values = grown
        return self.values[:n]

    def best(self, where: list[int], given: np.ndarray[tuple[int], np.dtype[np.float64]], choose: np.ufunc) -> None:
        """Keep the smallest or the largest of what is given for each person."""
        choose.at(self.upto(max(where) + 1), np.array(where), given)

    def set(self, where: list[int], given: np.ndarray[tuple[int], np.dtype[np.float64]]) -> int | None:
        """Put values at people's numbers; the index of the first that contradicts what is there, or None."""
        values = self.upto(max(where) + 1)
        numbers = np.array(where)
        if len(np.unique(numbers)) == len(numbers):
            wrong = ~np.isnan(given) & ~np.isnan(values[numbers]) & (values[numbers] != given)
            if wrong.any():
                return int(np.flatnonzero(wrong)[0])
            known = ~np.isnan(given)
            values[numbers[known]] = given[known]
            return None
        for index, (person, value) in enumerate(zip(where, given.tolist(), strict=True)):
            if math.isnan(value):
                continue
            if not math.isnan(values[person]) and values[person] != value:
                return index
            values[person] = value
        return None


class _Gathering:
    """Puts rows together to people."""

    def __init__(self, mapping: Mapping, year: int) -> None:
        self._mapping, self._year = mapping, year
        self._missing = _MISSING | {word.lower() for word in mapping.missing}
        self._sex_words = dict(_SEX_WORDS)
        if mapping.sex is not None:
            for words, sex in ((mapping.sex.male, 1), (mapping.sex.female, 2), (mapping.sex.unknown, 0)):
                self._sex_words |= dict.fromkeys((word.lower() for word in words), SexCode(sex))
        self._person: dict[str, int] = {}
        self._first_place: list[str] = []
        self._biosample: dict[str, int] = {}
        self._biosample_person: list[int] = []
        self._germline: list[bool | None] = []
        self._preferred: list[bool] = []
        self._words: dict[str, list[str]] = {"sex": [], "population": [], "country": []}
        self._distinct: dict[str, set[str]] = {"population": set(), "country": set()}
        self._numbers = {name: _Numbers() for name in ("birth_year", "age", *_BEST_OF_SEVERAL)}
        self._row_biosamples: list[int] = []
        kind = mapping.sample_type.value if mapping.sample_type is not None else None
        self._germline_unless_told = kind != "tumour"
        self._n_both = 0
        self._measurements: dict[str, tuple[str, _Numbers]] = {}
        self._flags: dict[Term, _Numbers] = {}
        self._codes: dict[Term, set[int]] = {}
        self._consents: dict[int, frozenset[Scope]] = {}
        self.n_rows = self.n_repeated = 0

    def add(self, table: Table, columns: Columns, block: Block) -> None:
        """Take in a block of rows."""
        single = columns.single
        persons = self._identify(table, columns, block)
        for name in ("sex", "population", "country"):
            if name in single:
                self._add_words(table, block, persons, name, block.columns[single[name]])
        for name in self._numbers:
            if name in single:
                column = block.columns[single[name]]
                given = np.array(
                    [self._year_or_age(table, line, name, cell) for line, cell in zip(block.lines, column, strict=True)]
                )
                if name in _BEST_OF_SEVERAL:
                    self._numbers[name].best(persons, given, _BEST_OF_SEVERAL[name])
                    continue
                self._set(table, block, persons, self._numbers[name], given, what=name.replace("_", " "))
        if "consent" in single:
            self._add_consents(table, block, persons, block.columns[single["consent"]])
        for number, measurement in columns.measurements:
            self._add_measurement(table, block, persons, measurement, block.columns[number])
        for number, kind, code in columns.codes:
            self._add_codes(table, block, persons, (kind, code), block.columns[number])

    def people(self) -> People:
        """Everything gathered."""
        n = len(self._person)
        terms: dict[tuple[TermKind, str], tuple[Term, set[int]]] = {}
        for term, whom in self._codes.items():
            terms.setdefault((term.kind, term.code), (term, set()))[1].update(whom)
        for term, flags in self._flags.items():
            having = set(np.flatnonzero(flags.upto(n) == 1).tolist())
            known, others = terms.get((term.kind, term.code), (term, set()))
            terms[term.kind, term.code] = (term if term.label else known, having | others)
        for absent, present in (("excluded_disease", "disease"), ("excluded_phenotype", "phenotype")):
            for (kind, code), (_, whom) in terms.items():
                if kind == absent and (present, code) in terms:  # a person who has it on another row has it
                    both = whom & terms[present, code][1]  # type: ignore[index]  # a kind of term
                    whom.difference_update(both)
                    self._n_both += len(both)
        years = self._numbers["birth_year"].upto(n)
        return People(
            individual_ids=tuple(self._person),
            sex=np.array([self._sex_words[word] if word else 0 for word in self._words["sex"]], np.uint8),
            population=tuple(self._words["population"]),
            country=tuple(self._words["country"]),
            birth_year=np.where(np.isnan(years), -1, years).astype(np.int64),
            age=self._numbers["age"].upto(n).copy(),
            measurements=(*self._moments(n), *(Measurement(*item, of.upto(n).copy()) for item, of in self._measured())),
            terms=tuple(
                TermPeople(term, np.array(sorted(whom), np.int64)) for _, (term, whom) in sorted(terms.items()) if whom
            ),
            biosample_ids=tuple(self._biosample),
            biosample_person=np.array(self._biosample_person, np.int64),
            germline=np.array([self._germline_unless_told if kind is None else kind for kind in self._germline], np.bool_),
            preferred=np.array(self._preferred, np.bool_),
        )

    def tally(self) -> Tally:
        """What the columns of people do not tell: which biosamples say what they are, and whose follow-up is known."""
        found = Tally()
        told = len(self._germline) if self._mapping.sample_type and self._mapping.sample_type.value else 0
        found.known["Sample", "pathological state"] = told or sum(kind is not None for kind in self._germline)
        followed = self._numbers["last_follow_up"].upto(len(self._person))
        found.known["Subject", "date of last follow-up"] = int((~np.isnan(followed)).sum())
        return found

    def consents(self) -> dict[str, frozenset[Scope]]:
        """What people agree to, by individual."""
        return {name: self._consents[person] for name, person in self._person.items() if person in self._consents}

    def warnings(self) -> tuple[str, ...]:
        """What the operator ought to look at."""
        return (f"{self._n_both:,} codes are both present and excluded of one person: present",) if self._n_both else ()

    def _moments(self, n: int) -> list[Measurement]:
        """Ages at onset and years of follow-up, which are quantities of people as others are."""
        units = {"age_at_onset": "a", "last_follow_up": "year"}
        given = ((name, unit, self._numbers[name].upto(n).copy()) for name, unit in units.items())
        return [Measurement(name, unit, values) for name, unit, values in given if not np.isnan(values).all()]

    def _measured(self) -> list[tuple[tuple[str, str], _Numbers]]:
        return [((name, unit), values) for name, (unit, values) in self._measurements.items()]

    def _identify(self, table: Table, columns: Columns, block: Block) -> list[int]:
        """Whom each row is about, as people numbers; new people and biosamples are taken up."""
        single = columns.single
        both = "biosample" in single and "individual" in single
        biosamples = block.columns[single.get("biosample", single.get("individual", 0))]
        individuals = block.columns[single["individual"]] if "individual" in single else None
        persons = []
        self._row_biosamples = []
        for row, (line, biosample) in enumerate(zip(block.lines, biosamples, strict=True)):
            individual = individuals[row] if individuals is not None else None
            if both and not self._given(biosample) and individual and self._given(individual):
                # A person without a biosample: known to the node, in no genotype column.
                persons.append(self._person_of(table, line, individual))
                self._row_biosamples.append(-1)
            else:
                self._check_id(table, line, biosample, "biosample id" if "biosample" in single else "individual id")
                persons.append(self._row_person(table, columns, line, biosample, individual))
                self._row_biosamples.append(self._biosample.get(biosample, -1))
                self._add_biosample_kind(table, columns, block, row, self._biosample[biosample])
            self.n_rows += 1
        return persons

    def _row_person(self, table: Table, columns: Columns, line: int, biosample: str, individual: str | None) -> int:
        known = self._biosample.get(biosample)
        if individual is None or not self._given(individual):
            if known is not None:
                self.n_repeated += 1
                return self._biosample_person[known]
            individual = biosample
        if "biosample" not in columns.single and individual in self._person:
            # A further table that speaks of individuals; they may have biosamples of other names.
            self.n_repeated += 1
            if known is None:
                self._add_biosample(biosample, self._person[individual])
            return self._person[individual]
        person = self._person_of(table, line, individual)
        if known is None:
            self._add_biosample(biosample, person)
        elif self._biosample_person[known] != person:
            first = self._first_place[self._biosample_person[known]]
            raise table.refusal(line, f"the biosample is another person's on {first}", "one individual id for a biosample")
        else:
            self.n_repeated += 1
        return person

    def _add_biosample(self, biosample: str, person: int) -> None:
        self._biosample[biosample] = len(self._biosample)
        self._biosample_person.append(person)
        self._germline.append(None)
        self._preferred.append(False)

    def _person_of(self, table: Table, line: int, individual: str) -> int:
        self._check_id(table, line, individual, "individual id")
        person = self._person.get(individual)
        if person is None:
            person = self._person[individual] = len(self._person)
            self._first_place.append(f"{table.unit} {line} of {table.path.name}")
            for words in self._words.values():
                words.append("")
        return person

    def _check_id(self, table: Table, line: int, text: str, what: str) -> None:
        if not self._given(text):
            raise table.refusal(line, f"the {what} is missing", f"an {what}" if what[0] in "aeiou" else f"a {what}")
        if len(text) > _ID_LENGTH_MAX:
            raise table.refusal(line, f"the {what} has {len(text)} characters", f"at most {_ID_LENGTH_MAX}")

    def _given(self, text: str) -> bool:
        return text.lower() not in self._missing

    def _add_biosample_kind(self, table: Table, columns: Columns, block: Block, row: int, biosample: int) -> None:
        line = block.lines[row]
        if "sample_type" in columns.single:
            word = block.columns[columns.single["sample_type"]][row].lower()
            if word not in self._missing:
                if word not in _GERMLINE_WORDS | _TUMOUR_WORDS:
                    raise table.refusal(line, f"{word!r} is not a sample type that is known", "germline, normal or tumour")
                kind = word in _GERMLINE_WORDS
                if self._germline[biosample] not in (None, kind):
                    raise table.refusal(line, "the sample type contradicts an earlier row", "one sample type for a biosample")
                self._germline[biosample] = kind
        if "counted" in columns.single:
            word = block.columns[columns.single["counted"]][row].lower()
            if word not in _YES | _NO | self._missing:
                raise table.refusal(line, f"{word!r} in the column that marks counted biosamples", "1 or 0, yes or no")
            self._preferred[biosample] = self._preferred[biosample] or word in _YES

    def _add_words(self, table: Table, block: Block, persons: list[int], name: str, column: list[str]) -> None:
        words = self._words[name]
        for line, person, cell in zip(block.lines, persons, column, strict=True):
            if name == "sex":
                given = cell.lower()
                if given not in self._sex_words:
                    raise table.refusal(line, f"{_quoted(cell)} is not a sex", "male, female, M, F, 1, 2 or unknown")
                same = words[person] and self._sex_words[given] == self._sex_words[words[person]]
                if self._sex_words[given] is SexCode.UNKNOWN or same:
                    continue
            else:
                given = "" if cell.lower() in _UNKNOWN or not self._given(cell) else cell
                if not given or given == words[person]:
                    continue
                self._check_label(table, line, name, given)
            if words[person]:
                self._contradiction(table, line, person, name)
            words[person] = given

    def _add_consents(self, table: Table, block: Block, persons: list[int], column: list[str]) -> None:
        for line, person, cell in zip(block.lines, persons, column, strict=True):
            try:
                said = None if cell.lower() in self._missing - {"none"} else agreed(cell)
            except ValueError:
                raise table.refusal(line, f"{_quoted(cell)} in the column of consent", EXPECTED) from None
            if said is not None and self._consents.setdefault(person, said) != said:
                self._contradiction(table, line, person, "consent")

    def _check_label(self, table: Table, line: int, name: str, label: str) -> None:
        distinct = self._distinct[name]
        if label.lower() == "all" or len(label) > _ID_LENGTH_MAX:
            raise table.refusal(line, f"{_quoted(label)} as a {name}", f"a {name}'s name; 'all' stands for the sum over them")
        distinct.add(label)
        if len(distinct) > POPULATIONS_MAX:
            raise table.refusal(
                line, f"more than {POPULATIONS_MAX} different values of {name}", f"a column of a few {name} names"
            )

    def _year_or_age(self, table: Table, line: int, name: str, cell: str) -> float:
        if cell.lower() in self._missing:
            return math.nan
        if name in ("birth_year", "last_follow_up"):
            found = _BIRTH.fullmatch(cell)
            year = int(found[1]) if found else 0
            if not _BIRTH_YEAR_MIN <= year <= self._year:
                what = "a year of birth" if name == "birth_year" else "a date of follow-up"
                raise table.refusal(line, f"{_quoted(cell)} is not {what}", f"a year from {_BIRTH_YEAR_MIN} to {self._year}")
            return year
        try:
            age = float(cell) if not cell.startswith("_") and "_" not in cell else math.nan
        except ValueError:
            age = math.nan
        if not 0 <= age <= _AGE_MAX:
            raise table.refusal(line, f"{_quoted(cell)} is not an age", f"years from 0 to {_AGE_MAX}")
        return age

    def _add_measurement(
        self, table: Table, block: Block, persons: list[int], measurement: MeasurementColumn, column: list[str]
    ) -> None:
        name = measurement.name or measurement.column
        if name not in self._measurements and (len(self._measurements) + 1) * max(len(self._person), 1024) > _VALUES_MAX:
            raise table.refusal(block.lines[0], "too many measured values", f"at most {_VALUES_MAX} values in a dataset")
        unit, values = self._measurements.setdefault(name, (measurement.unit, _Numbers()))
        if unit != measurement.unit:
            raise table.refusal(1, f"measurement {name!r} has the unit {measurement.unit!r}, and {unit!r} before", "one unit")
        if len(self._measurements) * len(self._person) > _VALUES_MAX:
            raise table.refusal(block.lines[0], "too many measured values", f"at most {_VALUES_MAX} values in a dataset")
        given = np.empty(len(column))
        for row, cell in enumerate(column):
            if cell.lower() in self._missing:
                given[row] = math.nan
                continue
            try:
                # float() also reads 1_000 and ١; a table that has them is not meant that way.
                given[row] = float(cell) if cell.isascii() and "_" not in cell else math.inf
            except ValueError:
                given[row] = math.inf
            if not math.isfinite(given[row]):
                problem = f"{_quoted(cell)} in column {measurement.column!r} is not a number"
                raise table.refusal(block.lines[row], problem, "a number with a decimal point, or NA")
        self._set(table, block, persons, values, given, what=f"measurement {name!r}")

    def _add_codes(
        self, table: Table, block: Block, persons: list[int], meaning: tuple[TermKind, CodeColumn], cells: list[str]
    ) -> None:
        kind, column = meaning
        if column.code is not None:
            term = Term(kind, column.code, column.label)
            given = np.array([self._flag(table, line, column, cell) for line, cell in zip(block.lines, cells, strict=True)])
            if kind in BIOSAMPLE_KINDS:
                problem = f"column {column.column!r} of 0 and 1 speaks of biosamples"
                raise table.refusal(1, problem, "codes in the column of a biosample's term")
            self._set(table, block, persons, self._flags.setdefault(term, _Numbers()), given, what=f"column {column.column!r}")
            return
        whom = self._row_biosamples if kind in BIOSAMPLE_KINDS else persons
        for line, number, cell in zip(block.lines, whom, cells, strict=True):
            for part in _CODE_SEPARATOR.split(cell):
                code = part.strip()
                if not self._given(code):
                    continue
                label = column.label
                if kind == "vital_status" and code.lower() in _UNKNOWN | _VITAL_WORDS.keys():
                    status = VITAL_STATUS.get(_VITAL_WORDS.get(code.lower(), ""))
                    if status is None:
                        continue
                    code, label = status["id"], status["label"]
                elif column.prefix and ":" not in code:
                    code = column.prefix + code
                if number < 0:
                    raise table.refusal(line, f"column {column.column!r} speaks of a biosample", "a biosample id in the row")
                if not _CODE.fullmatch(code) or _FLAG_NUMBER.fullmatch(code):
                    problem = f"{_quoted(code)} in column {column.column!r} is not a code"
                    raise table.refusal(
                        line, problem, "codes such as HP:0001250 or E11.9, separated by ; or |; 0/1 columns by mapping"
                    )
                self._codes.setdefault(Term(kind, code, label), set()).add(number)

    def _flag(self, table: Table, line: int, column: CodeColumn, cell: str) -> float:
        word = cell.lower()
        if word in self._missing:
            return math.nan
        if word not in _YES | _NO:
            raise table.refusal(line, f"{_quoted(cell)} in column {column.column!r}", "0 or 1, or empty where it is not known")
        return float(word in _YES)

    def _set(
        self,
        table: Table,
        block: Block,
        persons: list[int],
        numbers: _Numbers,
        given: np.ndarray[tuple[int], np.dtype[np.float64]],
        *,
        what: str,
    ) -> None:
        index = numbers.set(persons, given)
        if index is not None:
            self._contradiction(table, block.lines[index], persons[index], what)

    def _contradiction(self, table: Table, line: int, person: int, what: str) -> None:
        problem = f"{what} contradicts what {self._first_place[person]}, or a row after it, says of the same person"
        raise table.refusal(line, problem, "rows of one person that agree")


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    endings = (".tsv", ".csv", ".txt", ".tsv.gz", ".csv.gz", ".txt.gz", ".parquet")
    found = sorted(file for file in path.iterdir() if file.name.lower().endswith(endings) and file.is_file())
    if not found:
        raise BadFile(str(path), "", "the folder holds no table", "files that end in .tsv, .csv, .txt (.gz) or .parquet")
    return found


def _quoted(cell: str) -> str:
    return repr(cell if len(cell) <= 40 else cell[:40] + "…")
