"""What may be asked of one dataset: every answer passes the disclosure engine here, as far as a decision asks for it."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from cohelix.access.gate import Charge
from cohelix.access.policy import Decision
from cohelix.bank.answers import CaseOfVariant, EntryPage, FoundVariant, PeopleCount, Term, VariantPage
from cohelix.bank.cases import NOT_COUNTED, Cases
from cohelix.bank.cohort_count import count_cohort
from cohelix.bank.criteria import (
    assessed,
    biosamples_meeting,
    filtering_terms,
    floored_refusal,
    kinds_of,
    people_meeting,
)
from cohelix.bank.description import described
from cohelix.bank.entries import Entries, EntryKind
from cohelix.bank.levels import Levels, exact_listing
from cohelix.bank.matching import Name, first_row_from, matches, needs_names, read_names
from cohelix.bank.membership import power_of, registered_listing
from cohelix.bank.questions import Chosen, Criterion, Groups, PeopleQuery, VariantQuery, exact_query
from cohelix.bank.record import record_of
from cohelix.bank.rows import Layout
from cohelix.bank.version import OpenVersion, bits_of
from cohelix.core.arrays import BoolArray, ByteArray, IntArray
from cohelix.core.errors import Damaged, NotSupported
from cohelix.core.genome import HAPLOID_CONTIGS, Assembly, Region, contig_order
from cohelix.core.ids import DatasetId, NodeId, federation_dataset_id
from cohelix.core.variant import VariantKey
from cohelix.disclosure.rules import Told, tell_count, tell_frequencies, tell_given_frequencies
from cohelix.disclosure.telling import AC, HEMI, HET, HOM
from cohelix.genotypes import Cohort
from cohelix.genotypes.annotations import Annotation
from cohelix.genotypes.structural import REFERENCE_BLOCKS
from cohelix.phenotypes.model import BIOSAMPLE_KINDS
from cohelix.wire.dataset import DatasetRecord, Disclosure
from cohelix.wire.expression import Expression
from cohelix.wire.frequency import DatasetFrequency, DatasetStatus, PopulationCounts, VariantFrequency

NO_GROUPS = Groups()
NO_PEOPLE = "the dataset holds counts of groups, and no people"
PEOPLE_ONLY = "a floored dataset tells of no single person: it counts people at /individuals, and variants at /g_variants"
_AMONG_ROWS_MAX = 2_000_000  # rows that a question about some people's variants may scan
_BLOCK_ROWS = 4_096
_TOLD: tuple[DatasetStatus, str] = ("answered", "")
_GROUPS_KEPT = 64  # nearly every question is of no groups


class _Wanted(NamedTuple):
    """What a question about groups wants: rows to show; the (rows,) mask of those asked for; whether they have people."""

    shown: list[int]
    asked: BoolArray
    anybody: bool

    @classmethod
    def of(cls, layout: Layout, groups: Groups) -> _Wanted:
        """The rows that these groups mean."""
        asked = layout.asked(groups)
        shown = np.flatnonzero(layout.shown(groups)).tolist()
        return cls(shown, asked & layout.printed, bool(layout.people[asked].any()))


class DatasetView:
    """One published version of a dataset, behind its disclosure rule. Safe for many threads; does not change.

    As it is made it tells what its manifest's disclosure lets out; `under` gives the view of somebody about whom it was
    decided otherwise. People are those of the public release, whoever asks.

    Attributes
    ----------
    record
        What is said of the dataset itself.
    levels
        What may be told of its variants and of its people.
    """

    def __init__(self, version: OpenVersion, node: NodeId) -> None:
        self._version = version
        self._manifest = version.manifest
        self._assembly = version.manifest.assembly
        self._id = federation_dataset_id(node, DatasetId(version.manifest.dataset))
        # Who has agreed to be asked for one by one, and in counts of people; frequencies are of their own agreement.
        self._people = version.scoped("individual-queries")
        self._entries = Entries(self._people, self._id)
        self.cases = Cases(version)
        self._carriers = self.cases if self._people is version else Cases(self._people)
        self._wanted = lru_cache(maxsize=_GROUPS_KEPT)(lambda groups: _Wanted.of(version.layout, groups))
        self._charge: Charge | None = None
        self._power = lru_cache(maxsize=1)(lambda: power_of(version))
        self._registered = lru_cache(maxsize=1)(lambda: registered_listing(version))
        self._others: dict[tuple[str, str, bool], DatasetView] = {}
        self._take(Levels.of_disclosure(version.manifest.disclosure))

    def _take(self, levels: Levels) -> None:
        self.levels = levels
        self._list(exact_listing(self._version) if levels.genomic == "exact" else self._version.listed)
        self._counts_floored = levels.genomic == "floored" and self._manifest.content not in NOT_COUNTED
        self._below_said: tuple[DatasetStatus, str] = (
            "below_floor",
            f"below the dataset's floor of {self.floor} people, or not there",
        )
        self.record = record_of(self._version, self._id, levels.people)

    def _list(self, listed: ByteArray) -> None:
        """Take which rows may be told, as `OpenVersion.listed` has it."""
        self._listed, self._bits = listed, tuple(memoryview(bits) for bits in listed)

    def _is_listed(self, row: int, *, observed: bool) -> bool:
        return bool(self._bits[observed][row >> 3] >> (row & 7) & 1)

    def under(self, decision: Decision, charge: Charge | None = None) -> DatasetView:
        """The dataset as somebody may see it.

        Parameters
        ----------
        decision
            What was decided about this person and this dataset.
        charge
            Is told of the rows whose counts are about to be told, before they are, and may refuse; None where nothing is
            reckoned up.
        """
        levels = Levels.of_decision(decision)
        found = self
        if levels != self.levels:
            known = self._others.get(levels[:3])
            if known is None:
                known = copy.copy(self)
                known._take(levels)
                self._others[levels[:3]] = known
            found = known
        if charge is not None or levels != found.levels:
            found = copy.copy(found)
            found._charge, found.levels = charge, levels
            if charge is not None:
                found._list(self._registered())
        return found

    @property
    def described(self) -> DatasetRecord:
        """The record with what the holder says of the dataset now: purposes, who decides, a better title.

        Where that is damaged nothing of it is said: the data are sound, and nobody can apply until it is said again.
        """
        try:
            return described(self._version.folder.parent.parent).on(self.record)
        except Damaged:
            return self.record

    @property
    def membership_power(self) -> float | None:
        """What the dataset's frequencies would tell an attacker about who is in it; None where nobody has computed it."""
        return self._power()

    @property
    def disclosure(self) -> Disclosure:
        """What the manifest declares, whoever asks."""
        return self._manifest.disclosure

    @property
    def assembly(self) -> Assembly:
        return self._manifest.assembly

    def frequency(self, key: VariantKey, groups: Groups = NO_GROUPS, *, assembly: Assembly | None = None) -> DatasetFrequency:
        """Counts of one allele: the total first, then sexes, populations, and populations by sex, as far as they may be told.

        `assembly` is the question's; None where the caller has compared it. With groups, only their rows come with the total.
        """
        groups = self._groups(groups)
        unanswered = self._unanswered(groups, assembly)
        if unanswered:
            return self._without(*unanswered)
        if self._manifest.content in NOT_COUNTED:
            return self._without("not_assessed", NOT_COUNTED[self._manifest.content])
        cells, row, status = self.cells(key)
        spent = self._spent([] if row is None else [row], str(key))
        if spent:
            return self._without(*spent)
        if cells is None:
            return self._without(*status)
        layout = self._version.layout
        counts = layout.counts(cells[None])
        told = self._tell(key.contig, counts)
        if not (self._may_show(told.counts, groups)[0] and self._names(row)):
            return self._without(*self._below())
        rows = self._documents(counts[0], told.counts[0], told.genotypes[0], groups)
        return DatasetFrequency(id=self._id, status="answered", populations=rows)

    def cells(self, key: VariantKey) -> tuple[IntArray | None, int | None, tuple[DatasetStatus, str]]:
        """Exact counts of each atom, for the bank alone: (atoms, 6), or None and why; and the row that they are from.

        An absent allele (rule 2 of the interface) takes AN from a record at its position, or from everybody's ploidy.
        """
        version = self._version
        rows = version.store.rows_of(key)
        if rows:
            return version.counts.row(rows[0]), rows[0], ("answered", "")
        if not version.store.contig_rows(key.contig):
            return None, None, _no_record(key.contig)
        if self._is_floored:
            return None, None, self._below()
        row = self._record_at(key)
        if row is not None:
            return without_alt(version.counts.row(row)), row, ("answered", "")
        if self._manifest.absent_means == "hom_ref" and not (self._counts_of_others and key.contig in HAPLOID_CONTIGS):
            return version.hom_ref_cells(key.contig, key.position), None, ("answered", "")
        return None, None, ("not_assessed", "the dataset has no record of this site")

    def variants(
        self,
        query: VariantQuery,
        *,
        skip: int = 0,
        limit: int = 100,
        groups: Groups = NO_GROUPS,
        after: VariantKey | None = None,
        assembly: Assembly | None = None,
        observed: bool = False,
        among: PeopleQuery | None = None,
    ) -> VariantPage:
        """A page of the variants that meet the query and may be told, ascending by position, REF and ALT.

        With `among`, those that a genotype column of these people (or of the one biosample or call set) has; only open
        datasets tell that.

        `skip` counts variants; with `after` (of the same contig) the page starts behind that variant, and `total` is of
        those from its position on. A site with AC 0 is a variant of an open dataset, unless `observed`. People are counted
        for variants of the page only, so the work is bounded by the region's rows and the page.
        """
        groups = self._groups(groups)
        unanswered = self._unanswered(groups, assembly) or (self._without_people(among) if among else None)
        if unanswered:
            return VariantPage(0, (), *unanswered)
        if among is None and after is None and groups == NO_GROUPS and query.exact is not None:
            return self._one(query.exact, with_item=skip == 0 and limit > 0, observed=observed)
        store = self._version.store
        rows = self.cases.candidates(query)
        if after is not None:
            rows = rows[rows >= first_row_from(store, after.contig, after.position)]
        origin_floor = self.floor if self._is_floored else 0
        rows = self.cases.of_origin(self._tellable(rows, groups, observed=observed), query.origin, floor=origin_floor)
        if among is not None:
            rows = self._rows_among(rows, among)
        if needs_names(query):
            names = [name for name in read_names(store, rows) if matches(query, name)]
            rows = np.array([name.row for name in names], np.int64)
            total, page = len(names), _sorted_page(names, skip, limit, after)
        else:
            total, page = len(rows), self._page_of_rows(rows, skip, limit, after)
        # A page of records tells of its variants; a number without records tells of all that it counts.
        spent = self._spent([name.row for name in page] if limit else rows.tolist(), repr(query))
        if spent:
            return VariantPage(0, (), *spent)
        return VariantPage(total, self._found(page, groups))

    def glance(self, key: VariantKey, assembly: Assembly | None) -> tuple[DatasetStatus, str] | None:
        """Whether a floored dataset tells of an allele, as `exact` says it without the item; None where `exact` is to say.

        An allele that nobody has takes the same way, and time, as one that too few have, and one that is told.
        """
        if not self._counts_floored or self._charge is not None or (assembly and assembly != self._assembly):
            return None
        store = self._version.store
        rows = store.rows_of(key)
        row = rows[0] if rows else 0
        named = self._bits[1][row >> 3] >> (row & 7) & 1
        if rows and named:
            return _TOLD
        return self._below_said if store.contig_rows(key.contig) else _no_record(key.contig)

    def exact(self, key: VariantKey, *, assembly: Assembly | None, with_item: bool) -> VariantPage:
        """One allele: the page of it, if somebody has it and that may be told; else, on a floored dataset, why not."""
        unanswered = self._unanswered(NO_GROUPS, assembly)
        if unanswered:
            return VariantPage(0, (), *unanswered)
        page = self._one(key, with_item=with_item, observed=True)
        if page.total or page.status != "answered" or not self._is_floored:
            return page
        if self._manifest.content in NOT_COUNTED:
            return VariantPage(0, (), "not_assessed", NOT_COUNTED[self._manifest.content])
        return VariantPage(0, (), *(self._below() if self._version.store.contig_rows(key.contig) else _no_record(key.contig)))

    def _one(self, key: VariantKey, *, with_item: bool, observed: bool) -> VariantPage:
        """The page of an exact question: nearly every question, so it does for one row what a search does for many."""
        version = self._version
        # Alleles whose first base is not known (`N`) are of case reports and mutation lists only.
        by_case = self._manifest.content in NOT_COUNTED
        rows = self.cases.candidates(exact_query(key)) if by_case else version.store.rows_of(key)
        spent = self._spent([int(row) for row in rows[:1]], str(key))
        if spent:
            return VariantPage(0, (), *spent)
        if not len(rows):
            return VariantPage(0, ())
        row = int(rows[0])
        if not self._is_listed(row, observed=observed):
            return VariantPage(0, ())
        if not with_item:
            return VariantPage(1, ())
        populations: tuple[PopulationCounts, ...] = ()
        if not by_case:
            layout = version.layout
            counts = layout.counts(version.counts.row(row)[None])
            told = self._tell(key.contig, counts)
            populations = self._documents(counts[0], told.counts[0], told.genotypes[0], NO_GROUPS)
        stored, end, name = version.store.name(row)
        return VariantPage(1, (FoundVariant(stored, end, name, populations, row),))

    def exists(self, query: VariantQuery) -> bool:
        """Whether somebody in the dataset has a variant that meets the query and may be told."""
        return self.variants(query, limit=0, observed=True).total > 0

    def region(self, region: Region, *, limit: int, after: VariantKey | None = None) -> VariantPage:
        """Variants that overlap a region, the first `limit` after `after`."""
        return self.variants(VariantQuery(region.contig, overlaps=region), limit=limit, after=after)

    def count_people(self, query: PeopleQuery) -> PeopleCount:
        """How many people meet the question; on a floored dataset in tens, and by sex, origin and disease only."""
        # Who may not ask of variants may ask how many people there are all the same.
        unanswered = None if self.levels.genomic == "refused" else self._unanswered(NO_GROUPS, None)
        unanswered = unanswered or self._without_people(query)
        if unanswered:
            return PeopleCount(*unanswered, None)
        floor, count = self._people_floor, int(self.people_meeting(query).sum())
        told = tell_count(count, self._fewest_around(query) if floor else count, floor=floor, asked=bool(query.criteria))
        if told is None:
            return PeopleCount("below_floor", f"too few people to be told: fewer than {floor} meet it, or fewer do not", None)
        return PeopleCount("answered", None, told)

    def count_cohort(self, expression: Expression) -> PeopleCount:
        """How many people an expression means; on a floored dataset as `count_people` counts those who meet a list."""
        return count_cohort(self._people, expression, self.levels.people, self.count_people)

    def _fewest_around(self, query: PeopleQuery) -> int:
        """How many people meet the question without the one of its criteria that leaves out fewest.

        Both numbers can be asked for, so fewer than k between them would be told by subtraction: of the men without a
        disease and all men, those who have it.
        """
        criteria = tuple(dict.fromkeys(query.criteria))
        without = (replace(query, criteria=tuple(other for other in criteria if other != one)) for one in criteria)
        return min((int(self.people_meeting(each).sum()) for each in without), default=int(self._people.released.sum()))

    def entries(self, kind: EntryKind, query: PeopleQuery, *, skip: int = 0, limit: int = 0) -> EntryPage:
        """A page of the individuals, biosamples, runs or analyses of the people meant; of a floored dataset a count of people.

        Criteria on biosamples choose people with such a biosample, and of biosamples, runs and analyses those alone.
        """
        if not self.levels.records:
            said = self.count_people(query) if kind == "individual" and query.chosen == Chosen() else None
            if said is None:
                return EntryPage(0, (), "refused", self.levels.reason if self.levels.people == "refused" else PEOPLE_ONLY)
            return EntryPage(said.count or 0, (), said.status, said.reason)
        unanswered = self._without_people(query)
        if unanswered:
            return EntryPage(0, (), *unanswered)
        numbers = np.flatnonzero(self._meeting(kind, query))
        return EntryPage(len(numbers), self._entries.documents(kind, numbers[skip : skip + limit]))

    def knows(self, chosen: Chosen) -> bool:
        """Whether the dataset shows people, and has the entry of these ids in its release; of all others nobody learns it."""
        if not self.levels.records:
            return False
        person = self._entries.person_chosen(chosen)
        return person is not None and person >= 0 and bool(self._people.released[person])

    @property
    def annotated(self) -> bool:
        """Whether anything is known of the variants besides their names: genes, consequences, HGVS, significance."""
        return self.cases.annotations is not None

    def annotations(self, row: int) -> tuple[Annotation, ...]:
        """What is known of the variant of a row."""
        known = self.cases.annotations
        return () if known is None else known.of(row)

    def kinds_of(self, code: str) -> tuple[str, ...]:
        """The kinds of terms under which somebody in an open dataset has the code or one of its descendants."""
        return kinds_of(self._version.people, code) if self.levels.records else ()

    def case_level(self, row: int, among: PeopleQuery | None, *, limit: int, germline: bool) -> tuple[CaseOfVariant, ...]:
        """The first call sets with the row's variant, of the people meant; none of a floored dataset.

        Of a germline dataset only with `germline`: a common variant has as many as the dataset has people.
        """
        if not self.levels.records or not (germline or self._manifest.content in NOT_COUNTED):
            return ()
        columns = None if among is None else self._meeting("run", among)
        return tuple(
            CaseOfVariant(
                biosample=carrier.biosample,
                individual=self._entries.individual_id(carrier.person),
                call_set=self._entries.call_set_id(carrier.column),
                origin=carrier.origin,
                zygosity=carrier.zygosity,
                allele_fraction=carrier.allele_fraction,
            )
            for carrier in self._carriers.carriers(row, among=columns, limit=limit)
        )

    def people_meeting(self, query: PeopleQuery) -> BoolArray:
        """(people,) bool, for the bank alone: who meets the criteria and carries what is asked for, by people number.

        The dataset's registered people come first, then its columns without a person, of whom nothing is known. People
        who are not in the public release meet nothing.
        """
        version = self._people
        meeting = np.zeros(version.call_sets.n_people, np.bool_)
        registered = version.call_sets.n_registered
        meeting[:registered] = people_meeting(
            version.people, query.criteria, floor=self._people_floor, released=version.released
        )
        meeting[registered:] = not query.criteria
        meeting &= version.released
        person = self._entries.person_chosen(query.chosen)
        if person is not None:
            meeting &= np.arange(len(meeting)) == person
        if query.carries is None:
            return meeting
        carrying = self._carriers.people_carrying(query.carries, self._rows_carried(query.carries))
        if query.carries.gene is not None and query.carries == VariantQuery(None, gene=query.carries.gene):
            # A report may name the gene and no variant.
            named = people_meeting(version.people, (Criterion("gene", "=", query.carries.gene),))
            carrying[:registered] |= named
        return np.asarray(meeting & carrying)

    def _rows_carried(self, query: VariantQuery) -> IntArray:
        """Rows that the query describes, that the public may know of, and that somebody has."""
        store = self._version.store
        rows = self._tellable(self.cases.candidates(query), NO_GROUPS, observed=True)
        if needs_names(query):
            rows = np.array([name.row for name in read_names(store, rows) if matches(query, name)], np.int64)
        return rows

    def _meeting(self, kind: EntryKind, query: PeopleQuery) -> BoolArray:
        """Which people, biosamples or columns (by kind) an open dataset's question means."""
        if kind == "individual":
            return self.people_meeting(query)
        entries, version = self._entries, self._version
        of_biosamples = tuple(item for item in query.criteria if item.field in BIOSAMPLE_KINDS)
        of_people = tuple(item for item in query.criteria if item.field not in BIOSAMPLE_KINDS)
        people = self.people_meeting(replace(query, criteria=of_people, carries=None))
        meeting = people[entries.biosample_person]
        if of_biosamples:
            registered = len(version.people.biosample_ids)
            meeting[:registered] &= biosamples_meeting(version.people, of_biosamples)
            meeting[registered:] = False
        number = entries.biosample_chosen(query.chosen)
        if number is not None:
            meeting &= np.arange(len(meeting)) == number
        carrying = None
        if query.carries is not None:
            carrying = self._carriers.columns_carrying(query.carries, self._rows_carried(query.carries))
        if kind == "biosample":
            if carrying is not None:
                with_call = np.zeros(len(meeting), np.bool_)
                with_call[entries.column_biosample[carrying]] = True
                meeting &= with_call
            return np.asarray(meeting)
        columns = meeting[entries.column_biosample]
        if query.chosen.call_set is not None:
            columns &= np.arange(len(columns)) == (entries.column_named(query.chosen.call_set) or 0)
        return np.asarray(columns if carrying is None else columns & carrying)

    def _rows_among(self, rows: IntArray, among: PeopleQuery) -> IntArray:
        """Those of the rows whose ALT some genotype column of the people meant has."""
        if len(rows) > _AMONG_ROWS_MAX:
            raise NotSupported(
                f"variants of chosen people are looked for among at most {_AMONG_ROWS_MAX:,} variants: name a region or a gene"
            )
        columns = self._meeting("run", among)
        if not len(rows) or not columns.any():
            return rows[:0]
        counts = self._version.store.allele_counts(rows, Cohort.of(len(columns), columns))
        # As for carriers everywhere: a half-called genotype makes nobody one.
        return rows[counts.het + counts.hom + counts.hemi > 0]

    def _without_people(self, query: PeopleQuery) -> tuple[DatasetStatus, str] | None:
        """Why the dataset says nothing of these people; None where it may answer."""
        if self.levels.people == "refused":
            return "refused", self.levels.reason
        if self._manifest.content == "aggregate":
            return "not_assessed", NO_PEOPLE
        if self.levels.people == "floored":
            reason = PEOPLE_ONLY if query.chosen != Chosen() else floored_refusal(self._version.people, query.criteria)
            if query.carries is not None:
                reason = "a floored dataset does not count people by the variants that they carry"
            return ("refused", reason) if reason else None
        people = self._version.people
        unknown = next((item.field for item in query.criteria if not assessed(people, item)), None)
        return ("not_assessed", f"the dataset holds no {unknown} of anybody") if unknown else None

    def filtering_terms(self) -> tuple[Term, ...]:
        """What the dataset's people can be asked about: of a floored one, words that enough people share."""
        if self.levels.people == "refused":
            return ()
        exact, floor = self.levels.people == "exact", self._people_floor
        everybody = int(self._people.released.sum())
        return tuple(
            term
            if term.held_by is None
            else term._replace(held_by=tell_count(term.held_by, everybody, floor=floor, asked=True))
            for term in filtering_terms(
                self._version.people, numbers=exact, least=max(1, floor), released=self._people.released
            )
        )

    @property
    def floor(self) -> int:
        """How many people the counts of a variant must be about at least, for whoever asks."""
        return self._manifest.floors.frequency if self._is_floored else 0

    @property
    def _people_floor(self) -> int:
        return 0 if self.levels.people == "exact" else self._manifest.floors.people

    def _spent(self, rows: list[int], asked: str) -> tuple[DatasetStatus, str] | None:
        """Why these rows may not be told any more to whoever asks; None where they may, and then it is reckoned up."""
        reason = None if self._charge is None else self._charge(self._version, rows, asked)
        return ("refused", reason) if reason else None

    def _names(self, row: int | None) -> bool:
        """Whether whoever is charged may be told of a row; of others the counts decide."""
        return self._charge is None or row is None or self._is_listed(row, observed=False)

    def _groups(self, groups: Groups) -> Groups:
        """The groups that are answered: whoever is charged is told of the whole dataset, for small groups tell more of each."""
        return groups if self._charge is None else NO_GROUPS

    def _documents(
        self, counts: IntArray, told: BoolArray, genotypes: BoolArray, groups: Groups
    ) -> tuple[PopulationCounts, ...]:
        """One variant's rows as they are shown; to whoever is charged the total, without genotypes."""
        if self._charge is not None:
            return self._version.layout.documents(counts, told, np.zeros_like(genotypes), (0,))
        return self._version.layout.documents(counts, told, genotypes, self._wanted(groups).shown)

    def _unanswered(self, groups: Groups, assembly: Assembly | None) -> tuple[DatasetStatus, str] | None:
        """Why the dataset says nothing, whatever the variant; None where it may answer."""
        if self.levels.genomic == "refused":
            return "refused", self.levels.reason
        if assembly is not None and assembly != self._manifest.assembly:
            return "other_assembly", f"the dataset is of {self._manifest.assembly}; nothing is lifted over"
        if not self._is_floored and self._manifest.content not in NOT_COUNTED and not self._wanted(groups).anybody:
            return "empty", "the dataset has no person in the asked group"
        return None

    @property
    def _counts_of_others(self) -> bool:
        """Whether the counts were given, of people whom the node does not know: who has how many copies of X cannot be said."""
        return self._manifest.content == "aggregate"

    @property
    def _is_floored(self) -> bool:
        return self.levels.genomic != "exact"

    def _below(self) -> tuple[DatasetStatus, str]:
        return self._below_said

    def _without(self, status: DatasetStatus, reason: str) -> DatasetFrequency:
        return DatasetFrequency(id=self._id, status=status, reason=reason)

    def _may_show(self, told: BoolArray, groups: Groups) -> BoolArray:
        """(variants,) bool: whether the total may be told, and, where groups are asked for, a row of theirs too."""
        if not self._is_floored:
            return np.ones(len(told), np.bool_)
        return np.asarray(told[:, 0] & told[:, self._wanted(groups).asked].any(axis=1))

    def _record_at(self, key: VariantKey) -> int | None:
        """A row at the key's position whose REF is compatible (one is the other's beginning), the same REF preferred; else a
        gVCF's block of people without any other allele, in which the position lies."""
        store = self._version.store
        rows = store.rows_starting(Region(key.contig, key.position, key.position + 1))
        if rows:
            refs = store.table(rows).ref
            fitting = [index for index, ref in enumerate(refs) if ref.startswith(key.ref) or key.ref.startswith(ref)]
            if fitting:
                return rows[min(fitting, key=lambda index: (refs[index] != key.ref, index))]
        covering = store.rows_overlapping(Region(key.contig, key.position, key.position + 1))
        return next((row for row in covering.tolist() if store.key(row).alt in REFERENCE_BLOCKS), None)

    def _tellable(self, rows: IntArray, groups: Groups, *, observed: bool) -> IntArray:
        """Those of the rows that the public may know of; with groups, on a floored dataset, that it may know of there."""
        rows = rows[bits_of(self._listed[int(observed)], rows)]
        if not self._is_floored or groups == NO_GROUPS or self._manifest.content in NOT_COUNTED:
            return rows
        kept = [block for block, _, told in self._told(rows) for block in [block[self._may_show(told.counts, groups)]]]
        return np.concatenate(kept) if kept else rows

    def _told(self, rows: IntArray) -> Iterable[tuple[IntArray, IntArray, Told]]:
        """Blocks of rows with their (variants, rows, 6) counts and what of them may be told."""
        layout = self._version.layout
        for start in range(0, len(rows), _BLOCK_ROWS):
            for block in self._by_contig(rows[start : start + _BLOCK_ROWS]):
                counts = layout.counts(self._cells_of(block))
                contig = self._version.store.key(int(block[0])).contig
                yield block, counts, self._tell(contig, counts)

    def _by_contig(self, rows: IntArray) -> list[IntArray]:
        """Ascending rows, cut where the contig changes."""
        store = self._version.store
        if not len(rows) or int(rows[-1]) < store.contig_rows(store.key(int(rows[0])).contig).stop:
            return [rows]
        stops = np.array([store.contig_rows(contig).stop for contig in store.info.contigs])
        return np.split(rows, np.flatnonzero(np.diff(np.searchsorted(stops, rows, side="right"))) + 1)

    def _tell(self, contig: str, counts: IntArray) -> Told:
        """What may be told of (variants, rows, 6) counts of one contig."""
        layout, haploid = self._version.layout, contig in HAPLOID_CONTIGS
        tell = tell_given_frequencies if self._counts_of_others else tell_frequencies
        return tell(counts, layout.people, layout.levels, floor=self.floor, haploid_contig=haploid)

    def _cells_of(self, rows: IntArray) -> IntArray:
        """(rows, atoms, 6) counts; neighbouring rows are read together."""
        cuts = np.flatnonzero(np.diff(rows) > 1) + 1
        stretches = [range(int(part[0]), int(part[-1]) + 1) for part in np.split(rows, cuts)]
        return np.concatenate([self._version.counts.rows(stretch) for stretch in stretches])

    def _page_of_rows(self, rows: IntArray, skip: int, limit: int, after: VariantKey | None) -> list[Name]:
        """The page of rows that all match: only the page's names are read, and those of rows at the positions of its edges."""
        if not limit or not len(rows):
            return []
        store = self._version.store
        if after is not None:
            at = len(rows) - int((rows >= first_row_from(store, after.contig, after.position + 1)).sum())
            return _sorted_page(
                list(read_names(store, rows[: skip + limit + at + _ties(store, rows, skip + limit + at)])), skip, limit, after
            )
        before = _ties(store, rows, skip, backwards=True)
        stop = min(len(rows), skip + limit)
        names = list(read_names(store, rows[skip - before : stop + _ties(store, rows, stop)]))
        return sorted(names, key=_place)[before : before + limit]

    def _found(self, names: list[Name], groups: Groups) -> tuple[FoundVariant, ...]:
        by_row: dict[int, tuple[PopulationCounts, ...]] = {}
        if self._manifest.content in NOT_COUNTED:
            return tuple(FoundVariant(name.key, name.end, name.id, (), name.row) for name in names)
        rows = np.array(sorted(name.row for name in names), np.int64)
        for block, counts, told in self._told(rows):
            for index, row in enumerate(block.tolist()):
                by_row[row] = self._documents(counts[index], told.counts[index], told.genotypes[index], groups)
        return tuple(FoundVariant(name.key, name.end, name.id, by_row[name.row], name.row) for name in names)


def _no_record(contig: str) -> tuple[DatasetStatus, str]:
    return "not_assessed", f"the dataset has no record of contig {contig}"


def without_alt(cells: IntArray) -> IntArray:
    """Counts of an allele that nobody has, at a site that these counts are of."""
    cells = cells.copy()
    cells[..., [AC, HET, HOM, HEMI]] = 0
    return cells


def variant_frequency(found: FoundVariant) -> VariantFrequency:
    """A found variant as a line of a region answer."""
    return VariantFrequency(variant=str(found.key), populations=found.populations)


def _sorted_page(names: list[Name], skip: int, limit: int, after: VariantKey | None) -> list[Name]:
    if not limit:
        return []
    ordered = sorted((name for name in names if after is None or name.key > after), key=_place)
    return ordered[skip : skip + limit]


def _place(name: Name) -> tuple[tuple[int, str], VariantKey]:
    """The order of variants over contigs: that of the genome, then position, REF and ALT."""
    return contig_order(name.key.contig), name.key


def _ties(store: Any, rows: IntArray, index: int, *, backwards: bool = False) -> int:
    """How many rows at `index` and on (or before it) share the position of the row at the page's edge."""
    if index <= 0 or index >= len(rows):
        return 0
    position = store.key(int(rows[index] if backwards else rows[index - 1])).position
    ties = 0
    if backwards:
        while index - ties > 0 and store.key(int(rows[index - ties - 1])).position == position:
            ties += 1
    else:
        while index + ties < len(rows) and store.key(int(rows[index + ties])).position == position:
            ties += 1
    return ties
