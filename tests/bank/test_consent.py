"""Consent by scope: who is in which answer, releases that hide whose choice it was, and people who return in numbers."""

from __future__ import annotations

import gzip
import json
import random
from dataclasses import replace

import numpy as np
import pytest
from pyroaring import BitMap

from cohelix.bank import life
from cohelix.bank.answering import HELD
from cohelix.bank.bank import Bank
from cohelix.bank.consent import ConsentBook, read_choices
from cohelix.bank.load import LoadRequest, load
from cohelix.bank.operator_counts import OperatorCounts, export_region
from cohelix.bank.people import CallSets
from cohelix.bank.publish import DATASETS, locked, open_current
from cohelix.bank.questions import Chosen, PeopleQuery, VariantQuery, exact_query
from cohelix.bank.release import everyone, too_close
from cohelix.bank.releases import ReleaseHistory
from cohelix.bank.study import open_study
from cohelix.core.errors import BadFile
from cohelix.core.genome import Assembly, Region
from cohelix.core.ids import DatasetId, NodeId
from cohelix.core.variant import VariantKey
from cohelix.node.consent import ConsentFollower
from cohelix.phenotypes.consents import SCOPES
from cohelix.phenotypes.model import People, SexCode
from cohelix.wire.expression import read_expression
from cohelix.wire.plan import parse_plan

ONE = DatasetId("one")
NAMES = [f"PERSON{number:03d}" for number in range(60)]
PLANTED = NAMES[7]
# Only the planted person carries the first variant; everybody's calls of the others are of their name.
OWN, SHARED = VariantKey("22", 20_000_000, "A", "G"), 20


def loaded(folder, people=NAMES, *, disclosure="open", **more):
    """A node with a dataset of these people."""
    folder.mkdir(exist_ok=True, parents=True)
    node = folder / "node"
    node.mkdir(exist_ok=True)
    lines = ["##fileformat=VCFv4.2", "##contig=<ID=22,length=51304566>"]
    lines += ['##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">']
    lines.append("\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *people]))
    for number in range(SHARED):
        calls = [random.Random(f"{person}{number}").choice(["0|0", "0|1", "1|1"]) for person in people]
        if number == 0:
            calls = ["0|1" if person == PLANTED else "0|0" for person in people]
        lines.append("\t".join(["22", str(20_000_001 + 5 * number), ".", "A", "G", ".", ".", ".", "GT", *calls]))
    vcf, table = folder / "cohort.vcf", folder / "people.tsv"
    vcf.write_text("\n".join(lines) + "\n")
    rows = [f"{person}\t{'male' if int(person[-3:]) % 2 else 'female'}\tAAA\t{person[-3:]}" for person in people]
    table.write_text("\n".join(["individual_id\tsex\tpopulation\tLDL [mmol/L]", *rows]) + "\n")
    load(
        node,
        LoadRequest(ONE, (vcf,), Assembly.GRCH37, individuals=table, disclosure=disclosure, quality="off", **more),
    )
    return node


def shown(node):
    """Who is in which answer: the planted person's traces in everything that the node can be asked."""
    view = Bank.open(node, NodeId("FI")).view(ONE)
    page = view.variants(VariantQuery("22", overlaps=Region("22", OWN.position, OWN.position + 1)), observed=True)
    people = view.entries("individual", PeopleQuery(), limit=1000).documents
    row = open_current(node, ONE).store.rows_of(OWN)[0]
    plan = parse_plan(
        {
            "project": "demo",
            "datasets": ["FI:one"],
            "trait": {"measurement": "LDL"},
            "transformation": "none",
            "method": "linear",
        }
    )
    part = open_study(node, "FI", plan).parts[0]
    version = open_current(node, ONE)
    return {
        "frequency": any(found.populations[0].allele_count for found in page.items),
        "number": view.frequency(OWN).populations[0].allele_number,
        "individuals": PLANTED in {json.loads(document)["id"] for document in people},
        "carriers": view.count_people(PeopleQuery(carries=exact_query(OWN))).count,
        "count": view.count_people(PeopleQuery()).count,
        "known": view.knows(Chosen(individual=PLANTED)),
        "cases": [case.individual for case in view.case_level(row, None, limit=10, germline=True)],
        "runs": view.entries("run", PeopleQuery(), limit=1000).total,
        "analysis": PLANTED in {version.people.individual_ids[person] for person in part.person},
        "counts": OperatorCounts(node, ONE).n_people,
    }


def exported(node, folder):
    """The sample names of an export."""
    export_region(node, ONE, Region("22", 19_999_000, 20_001_000), folder / "out.vcf.gz")
    lines = gzip.decompress((folder / "out.vcf.gz").read_bytes()).decode().splitlines()
    head = next(line for line in lines if line.startswith("#CHROM"))
    body = [line for line in lines if not line.startswith("#")]
    assert all(len(line.split("\t")) == len(head.split("\t")) for line in body)
    return head.split("\t")[9:], body


@pytest.mark.parametrize("scope", SCOPES)
def test_each_scope_takes_a_person_out_of_its_answers_and_of_no_others(tmp_path, scope):
    node = loaded(tmp_path)
    before = shown(node)
    assert before["frequency"] and before["individuals"] and before["analysis"] and before["cases"] == [PLANTED]
    ConsentBook(node).change([PLANTED], [scope], given=False)
    [step] = life.follow_consent(node)
    assert (step.version, step.release) == (2, 2)
    after = shown(node)
    of_frequencies = {"frequency": False, "number": before["number"] - 2, "counts": 59}
    # A variant that is in no answer is not shown by case either.
    of_people = {"individuals": False, "carriers": 0, "count": 59, "known": False, "cases": [], "runs": 59}
    expected = {
        "frequencies": before | of_frequencies | {"carriers": 0},
        "individual-queries": before | of_people,
        "secondary-use": before | {"analysis": False},
    }
    assert after == expected[scope]
    names, body = exported(node, tmp_path)
    assert (PLANTED in names) == (scope != "secondary-use")
    assert len(names) == (59 if scope == "secondary-use" else 60)
    assert any(line.startswith("22\t20000001\t") and "1" in line.split("\t", 9)[9] for line in body) == (PLANTED in names)
    assert [path.name for path in (node / DATASETS / ONE / "versions").iterdir()] == ["000002"]
    # Given again, the person of an open dataset is back at once.
    ConsentBook(node).change([PLANTED], [scope], given=True)
    life.follow_consent(node)
    assert shown(node) == before
    assert life.follow_consent(node) == []


def test_without_any_consent_nobody_is_told(tmp_path):
    node = loaded(tmp_path)
    ConsentBook(node).change([PLANTED], SCOPES, given=False)
    life.follow_consent(node)
    found = shown(node)
    assert not any(found[what] for what in ("frequency", "individuals", "carriers", "known", "cases", "analysis"))
    assert found["count"] == found["counts"] == 59


def test_who_is_counted_without_consent_to_be_asked_for_is_in_no_row_of_people(tmp_path):
    """The exported genotypes of those who stay are what they were."""
    node = loaded(tmp_path)
    names, body = exported(node, tmp_path)
    ConsentBook(node).change([PLANTED], ["secondary-use"], given=False)
    fewer, rest = exported(node, tmp_path)  # at once: before any release
    place = names.index(PLANTED)
    assert fewer == names[:place] + names[place + 1 :]
    for before, after in zip(body, rest, strict=True):
        cells = before.split("\t")
        assert after.split("\t") == cells[: 9 + place] + cells[10 + place :]


def test_a_floored_dataset_leaves_out_others_too_and_takes_back_in_numbers(tmp_path):
    node = loaded(tmp_path, disclosure="floored")

    def in_scope(scope):
        version = open_current(node, ONE).scoped(scope)
        return {name for name, there in zip(version.people.individual_ids, version.released, strict=True) if there}

    first = in_scope("frequencies")
    ConsentBook(node).change([PLANTED], ["individual-queries"], given=False)
    life.follow_consent(node)
    assert in_scope("frequencies") == in_scope("secondary-use") == first == set(NAMES)
    left = first - in_scope("individual-queries")
    assert PLANTED in left
    assert len(left) >= 10
    # One who agrees again comes back with the others: ten together, or nobody.
    before = in_scope("individual-queries")
    ConsentBook(node).change([PLANTED], ["individual-queries"], given=True)
    life.follow_consent(node)
    assert len(in_scope("individual-queries") ^ before) in (0, *range(10, 61))
    assert life.statuses(node)[0]["waiting"] == 0
    for name in NAMES[20:40]:
        ConsentBook(node).change([name], ["individual-queries"], given=False)
    life.follow_consent(node)
    assert not set(NAMES[20:40]) & in_scope("individual-queries")
    ConsentBook(node).change(NAMES[20:40], ["individual-queries"], given=True)
    before = in_scope("individual-queries")
    life.follow_consent(node)
    assert len(in_scope("individual-queries") - before) >= 10
    assert life.history(node, ONE)[-1]["why"] == "consent"
    no_close_pairs(ReleaseHistory(node / DATASETS / ONE).releases(), 10)


def test_opt_in_takes_nobody_who_has_not_said_yes(tmp_path):
    table = tmp_path / "consents.tsv"
    table.write_text(
        "individual_id\tfrequencies\tindividual-queries\tsecondary-use\n"
        + "".join(f"{name}\tyes\t{'yes' if number < 30 else ''}\tno\n" for number, name in enumerate(NAMES[:40]))
    )
    node = loaded(tmp_path, consent="opt-in", consents=table)
    assert shown(node)["number"] == 80
    assert shown(node)["count"] == 30
    assert not shown(node)["analysis"]
    assert exported(node, tmp_path)[0] == []
    # A new load of the same files forgets neither what was said nor that the dataset is opt-in.
    ConsentBook(node).change(NAMES[:1], ["frequencies"], given=False)
    loaded(tmp_path, consents=table)
    assert open_current(node, ONE).manifest.consent == "opt-in"
    assert shown(node)["number"] == 78
    assert life.follow_consent(node) == []


def test_opt_in_without_anybody_who_has_agreed_is_an_empty_dataset(tmp_path):
    node = loaded(tmp_path, disclosure="floored", consent="opt-in")
    view = Bank.open(node, NodeId("FI")).view(ONE)
    assert view.frequency(VariantKey("22", 20_000_005, "A", "G")).status == "below_floor"
    assert view.count_people(PeopleQuery()).count in (0, None)
    ConsentBook(node).change(NAMES, SCOPES, given=True)
    life.follow_consent(node)
    assert open_current(node, ONE).manifest.n_individuals == 60


def test_a_dataset_that_a_load_holds_answers_nothing_until_it_follows(tmp_path):
    node = loaded(tmp_path)
    bank, log = Bank.open(node, NodeId("FI")), Written()
    follower = ConsentFollower(node, NodeId("FI"), bank, log)
    follower.look(0)
    ConsentBook(node).change([PLANTED], SCOPES, given=False)
    with locked(node, ONE):
        for now in (1, 20):
            follower.look(now)
            assert bank.frequency(OWN, Assembly.GRCH37).datasets[0].status == "answered"
        follower.look(32)
        held = bank.frequency(OWN, Assembly.GRCH37)
        assert (held.datasets[0].status, held.datasets[0].reason, held.pooled) == ("not_assessed", HELD, None)
        assert bank.count_cohort(read_expression("sex=male"))[0][ONE].reason == HELD
    follower.look(38)
    bank.refresh()
    assert bank.frequency(OWN, Assembly.GRCH37).datasets[0].populations[0].allele_number == 118
    assert [(event.release, event.cause) for event in log.events] == [(2, "consent")]
    follower.look(39)
    assert len(log.events) == 1


class Written:
    """Keeps what is written down."""

    def __init__(self):
        self.events = []

    def record(self, event, *, by=None, wait=False):
        self.events.append(event)


@pytest.mark.parametrize("line", ["PERSON001\tperhaps", "\tyes", "PERSON000\tno"])
def test_a_table_of_choices_that_is_not_one_is_refused(tmp_path, line):
    path = tmp_path / "choices.tsv"
    path.write_text(f"individual_id\tfrequencies\nPERSON000\tyes\n{line}\n")
    with pytest.raises(BadFile, match="line 3"):
        read_choices(path)
    path.write_text("individual_id\tfrequency\n")
    with pytest.raises(BadFile, match="frequencies"):
        read_choices(path)


def no_close_pairs(releases, k):
    told = [cells for release in releases for cells in release.tellings()]
    faults = [fault for place, one in enumerate(told) for two in told[:place] for fault in too_close(one, two, k=k)]
    assert not faults


@pytest.mark.parametrize("seed", range(30))
def test_no_two_releases_or_scopes_differ_by_a_few_people_whatever_people_say(tmp_path, seed):
    """Any sequence of choices, withdrawals and additions: all that was ever told of any scope keeps its distance."""
    chance = random.Random(seed)
    k = chance.choice([3, 5, 10])
    history = ReleaseHistory(tmp_path)
    everybody = [f"P{number}" for number in range(chance.randint(20, 60))]
    present = everybody[: chance.randint(15, len(everybody))]
    choices: dict[str, dict[str, bool]] = {}
    opted_in = chance.random() < 0.3
    standing = None
    for step in range(12):
        for _ in range(chance.choice([1, 1, 1, 2, 12])):
            who = chance.choice(everybody)
            choices.setdefault(who, {}).update(
                dict.fromkeys(chance.sample(SCOPES, chance.randint(1, 3)), chance.random() < (0.7 if opted_in else 0.4))
            )
        if chance.random() < 0.2:
            present = [*present, *[who for who in everybody if who not in present][: chance.randint(1, 4)]]
        if chance.random() < 0.15:
            known, sets = people(present)
            history.withdraw(history.ordinals(known, sets)[chance.sample(range(len(present)), 1)])
        known, sets = people(present)
        refused = {
            scope: np.array([not choices.get(who, {}).get(scope, not opted_in) for who in present], np.bool_)
            for scope in SCOPES
        }
        planned = history.plan(
            known,
            sets,
            k=k,
            before=standing,
            published=standing.release if standing else 0,
            refused=refused,
            facts={"version": step, "why": "consent", "at": ""},
        )
        standing = planned.standing
        last = history.releases()[-1]
        gone = history.withdrawn()
        ordinals = history.ordinals(known, sets)
        for scope in SCOPES:
            out = BitMap(ordinals[refused[scope]].tolist()) | gone
            assert not everyone(last.of(scope)) & out
            numbers = standing.scoped.get(scope, standing.released)
            assert set(ordinals[np.array(numbers, np.int64)].tolist()) == set(everyone(last.of(scope)))
    no_close_pairs(history.releases(), k)


def people(names):
    known = People.nobody()
    n = len(names)
    known = replace(
        known,
        individual_ids=tuple(names),
        sex=np.array([SexCode.MALE if hash_of(name) % 2 else SexCode.FEMALE for name in names], np.uint8),
        population=tuple("AB"[hash_of(name) % 3 == 0] for name in names),
        country=("",) * n,
        birth_year=np.zeros(n, known.birth_year.dtype),
        age=np.full(n, np.nan),
    )
    return known, CallSets(tuple(names), np.arange(n), np.ones(n, np.bool_), n)


def hash_of(name):
    return int(name[1:]) * 7919 % 1009
