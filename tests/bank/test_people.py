"""Counts of people, the catalogue's numbers, and people who are in several datasets."""

from __future__ import annotations

import numpy as np
import pytest

from cohelix.bank.bank import Bank
from cohelix.bank.load import LoadRequest, load
from cohelix.bank.people import link
from cohelix.bank.questions import Criterion, PeopleQuery, VariantQuery
from cohelix.core.errors import BadQuestion
from cohelix.core.genome import Assembly
from cohelix.core.ids import DatasetId, NodeId
from cohelix.phenotypes import read_people


def ask(loaded, dataset, *criteria, carries=None):
    return loaded.bank.view(DatasetId(dataset)).count_people(PeopleQuery(tuple(criteria), carries))


CRITERIA = [
    ([("sex", "=", "male")], lambda n, p: p.sex == "male"),
    ([("sex", "!", "male")], lambda n, p: p.sex == "female"),
    ([("population", "=", "AAA")], lambda n, p: p.population == "AAA"),
    ([("age", ">=", 40)], lambda n, p: p.age >= 40),
    ([("age", "<", 30), ("sex", "=", "female")], lambda n, p: p.age < 30 and p.sex == "female"),
    ([("LDL", ">", "10.5")], lambda n, p: n / 4 > 10.5),
    ([("LDL", "=", 3)], lambda n, p: n / 4 == 3),
    ([("disease", "=", "MONDO:0005148")], lambda n, p: "MONDO:0005148" in p.disease),
    ([("disease", "!", "MONDO:0005148")], lambda n, p: "MONDO:0005148" not in p.disease),
    ([("disease", "=", "MONDO:0000000")], lambda n, p: False),
]


@pytest.mark.parametrize(("criteria", "holds"), CRITERIA)
def test_open_counts_are_exact(loaded, criteria, holds):
    expected = sum(holds(number, person) for number, person in enumerate(loaded.cohort.people))
    given = ask(loaded, "open", *(Criterion(*criterion) for criterion in criteria))
    assert (given.status, given.count) == ("answered", expected)


def test_everybody_and_columns_without_a_person(loaded):
    assert ask(loaded, "open").count == len(loaded.cohort.people) + 2
    assert ask(loaded, "floored").count == (len(loaded.cohort.people) + 2) // 10 * 10


def test_carriers_are_counted_as_people(loaded):
    key, calls = next((k, c) for k, c in loaded.cohort.rows() if 5 < sum(call[0] > 0 for call in c) < 60)
    carries = VariantQuery(key.contig, start=(key.position, key.position + 1), ref=key.ref, alt=key.alt)
    whole = [column for column in range(len(calls)) if calls[column][0] > 0 and calls[column][3]]
    assert ask(loaded, "open", carries=carries).count == len(whole)
    men = [c for c in whole if (person := loaded.cohort.person_of(c)) is not None and person.sex == "male"]
    assert ask(loaded, "open", Criterion("sex", "=", "male"), carries=carries).count == len(men)
    assert ask(loaded, "floored", carries=carries).status == "refused"


def test_floored_counts_in_tens_and_hides_small_groups_and_small_rests(loaded):
    people = loaded.cohort.people
    men = sum(person.sex == "male" for person in people)
    assert ask(loaded, "floored", Criterion("sex", "=", "male")).count == men // 10 * 10
    rare = ask(loaded, "floored", Criterion("disease", "=", "OMIM:1"))
    none = ask(loaded, "floored", Criterion("disease", "=", "OMIM:2"))
    assert 0 < sum("OMIM:1" in person.disease for person in people) < 10
    assert (rare.status, rare.count) == ("below_floor", None)
    assert rare == none
    assert ask(loaded, "floored", Criterion("disease", "!", "OMIM:1")).status == "below_floor"


@pytest.mark.parametrize("field", ["age", "birth_year", "LDL", "phenotype", "anything"])
def test_floored_refuses_every_other_criterion_alike(loaded, field):
    given = ask(loaded, "floored", Criterion(field, "=", "1"))
    assert (given.status, given.count) == ("refused", None)


def test_closed_refuses(loaded):
    assert ask(loaded, "closed").status == "refused"
    assert loaded.bank.view(DatasetId("closed")).filtering_terms() == ()


def test_what_an_open_dataset_does_not_hold_is_not_assessed(loaded):
    assert ask(loaded, "open", Criterion("HDL", ">", 1)).status == "not_assessed"
    assert ask(loaded, "open", Criterion("country", "=", "FI")).status == "not_assessed"


@pytest.mark.parametrize("criterion", [("sex", ">", "male"), ("disease", "<=", "X"), ("age", ">", "old"), ("LDL", "=", "high")])
def test_comparisons_that_cannot_be_meant(loaded, criterion):
    with pytest.raises(BadQuestion):
        ask(loaded, "open", Criterion(*criterion))


def test_filtering_terms(loaded):
    terms = {(term.kind, term.id) for term in loaded.bank.view(DatasetId("open")).filtering_terms()}
    assert {("sex", "male"), ("population", "AAA"), ("disease", "OMIM:1"), ("measurement", "LDL"), ("age", "age")} <= terms
    floored = {(term.kind, term.id) for term in loaded.bank.view(DatasetId("floored")).filtering_terms()}
    assert ("disease", "MONDO:0005148") in floored
    assert ("disease", "OMIM:1") not in floored
    assert not {kind for kind, _ in floored} & {"measurement", "age", "phenotype"}


def test_records_tell_what_disclosure_allows(loaded):
    records = {record.id: record for record in loaded.bank.datasets()}
    n_people = len(loaded.cohort.people) + 2
    assert records["FI:open"].n_individuals == n_people
    assert records["FI:open"].measurements == ("LDL",)
    floored = records["FI:floored"]
    assert (floored.n_individuals, floored.n_variants, floored.measurements) == (n_people // 10 * 10, None, ())
    assert floored.populations == ("AAA", "BBB")
    closed = records["FI:closed"]
    assert (closed.n_individuals, closed.n_variants, closed.populations, closed.contigs) == (None, None, (), ())


# People in several datasets ------------------------------------------------------------------------------------------


def write_dataset(folder, name, people, calls, ids=None):
    """One variant, 22-20000001-A-G, of these people: calls by person."""
    folder.mkdir(exist_ok=True)
    columns = [f"{name}_{person}" for person in people]
    vcf, table = folder / f"{name}.vcf", folder / f"{name}.tsv"
    head = "##fileformat=VCFv4.2\n##contig=<ID=22,length=51304566>\n"
    fields = ["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *columns]
    record = ["22", "20000001", ".", "A", "G", ".", ".", ".", "GT", *(calls[person] for person in people)]
    vcf.write_text(head + "\t".join(fields) + "\n" + "\t".join(record) + "\n")
    rows = [f"P{person}\t{name}_{person}" for person in people]
    table.write_text("individual_id\tbiosample_id\n" + "\n".join(rows) + "\n")
    return vcf, table


def two_datasets(tmp_path, first, second, disclosures, calls):
    node = tmp_path / "node"
    node.mkdir()
    for name, people, disclosure in zip("ab", (first, second), disclosures, strict=True):
        vcf, table = write_dataset(tmp_path / "in", name, people, calls)
        load(node, LoadRequest(DatasetId(name), (vcf,), Assembly.GRCH37, individuals=table, disclosure=disclosure))
    bank = Bank.open(node, NodeId("FI"))
    from cohelix.core.variant import parse_variant

    return bank, bank.frequency(parse_variant("22-20000001-A-G"), Assembly.GRCH37)


CALLS = {person: ["0/0", "0/1", "1/1"][person % 3] for person in range(200)}


def copies(people):
    return sum(CALLS[person].count("1") for person in people)


def test_a_person_in_two_open_datasets_counts_once(tmp_path):
    bank, answer = two_datasets(tmp_path, range(30), range(20, 50), ("open", "open"), CALLS)
    assert [d.populations[0].allele_count for d in answer.datasets] == [copies(range(30)), copies(range(20, 50))]
    assert answer.pooled.allele_count == copies(range(50))
    assert answer.pooled.allele_number == 100
    assert answer.pooled.homozygotes == sum(person % 3 == 2 for person in range(50))
    both = [DatasetId("a"), DatasetId("b")]
    assert bank.count_people(dict.fromkeys(both, PeopleQuery())).count == 50


@pytest.mark.parametrize(
    ("second", "adds"),
    [
        (range(60, 120), True),  # nobody shared
        (range(30, 90), True),  # 30 shared, 30 new: both pass
        (range(58, 118), False),  # 2 shared
        (range(2, 62), False),  # 2 new
        (range(60), False),  # the same people
    ],
)
@pytest.mark.parametrize("disclosures", [("floored", "floored"), ("floored", "open"), ("open", "floored")])
def test_floored_datasets_pool_only_what_no_difference_gives_away(tmp_path, second, adds, disclosures):
    bank, answer = two_datasets(tmp_path, range(60), second, disclosures, CALLS)
    assert [dataset.status for dataset in answer.datasets] == ["answered", "answered"]
    expected = copies(set(range(60)) | set(second)) if adds else copies(range(60))
    assert answer.pooled.allele_count == expected
    assert answer.pooled.nodes == ("FI",)
    del bank


def test_a_second_call_set_of_a_person_is_reported_and_does_not_count(tmp_path):
    table = tmp_path / "people.tsv"
    table.write_text(
        "individual_id\tbiosample_id\tsample type\tcounted\n"
        "A\ta1\t\t\nA\ta2\t\t\nB\tb1\ttumour\t\nB\tb2\tgermline\t\nC\tc1\t\t0\nC\tc2\t\t1\nD\td1\ttumour\t\nE\te1\t\t\n"
    )
    people = read_people([table]).people
    linkage = link(["a2", "a1", "b1", "b2", "c1", "c2", "d1", "unknown"], people)
    counted = dict(zip(linkage.call_sets.names, linkage.call_sets.counted.tolist(), strict=True))
    assert counted == {"a2": True, "a1": False, "b1": False, "b2": True, "c1": False, "c2": True, "d1": False, "unknown": True}
    assert linkage.columns_without_person == ("unknown",)
    assert linkage.people_without_column == ("E",)
    assert linkage.not_counted == ("a1", "b1", "c1", "d1")
    assert linkage.call_sets.n_people == 6
    assert np.array_equal(np.unique(linkage.call_sets.person), [0, 1, 2, 3, 5])
