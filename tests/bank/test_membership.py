"""What a version would tell of who is in it: computed at load, shown, decided by; and what registered people are told."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from cohelix.access.actor import REGISTERED_ACCESS, Actor, Visa, VisaKind
from cohelix.access.gate import Gate
from cohelix.access.policy import NO_PURPOSE, Terms, decide
from cohelix.audit.events import BudgetSpent, Event, Keyed, Person
from cohelix.bank import Bank, DatasetView
from cohelix.bank.counter import Counter
from cohelix.bank.life import statuses
from cohelix.bank.load import LoadRequest, load
from cohelix.bank.membership import MEMBERSHIP_FILE, charging, linked_identities, membership_of_version, organisations_of
from cohelix.bank.publish import open_current
from cohelix.bank.report import LoadReport
from cohelix.core.genome import Assembly, Region
from cohelix.core.ids import DatasetId, NodeId
from cohelix.core.variant import parse_variant
from cohelix.db import open_database
from cohelix.disclosure.budget import Budget
from cohelix.disclosure.membership import REGISTERED_POWER_MAX, spending_at

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PEOPLE = 600  # 18 common variants within the budget
# Positions of variants by their carriers: nobody, few, above the floor yet rare, frequent (3 of 4 of them).
CARRIERS = (0, 3, 10, 200, 150, 120)


def _files(folder: Path, variants: int) -> Path:
    rng = np.random.default_rng(7)
    lines = ["##fileformat=VCFv4.2", "##contig=<ID=22,length=51304566>"]
    lines.append(
        "\t".join(["#CHROM POS ID REF ALT QUAL FILTER INFO FORMAT".replace(" ", "\t"), *(f"s{n}" for n in range(PEOPLE))])
    )
    for number in range(variants):
        who = set(rng.choice(PEOPLE, CARRIERS[number % len(CARRIERS)], replace=False).tolist())
        calls = "\t".join("0/1" if person in who else "0/0" for person in range(PEOPLE))
        lines.append(f"22\t{1000 * (number + 1)}\t.\tA\tG\t.\tPASS\t.\tGT\t{calls}")
    path = folder / "cohort.vcf"
    path.write_text("\n".join(lines) + "\n")
    return path


def _load(folder: Path, variants: int, disclosure: str = "floored") -> LoadReport:
    files = (_files(folder, variants),)
    return load(folder / "node", LoadRequest(DatasetId("d"), files, Assembly.GRCH37, disclosure=disclosure, quality="off"))  # type: ignore[arg-type]


def _view(folder: Path) -> DatasetView:
    return Bank.open(folder / "node", NodeId("XX")).view(DatasetId("d"))


def _registered(subject: str, *values: str) -> Actor:
    kinds = [(VisaKind.ACCEPTED_TERMS_AND_POLICIES, REGISTERED_ACCESS), (VisaKind.RESEARCHER_STATUS, REGISTERED_ACCESS)]
    kinds += [(VisaKind.AFFILIATION_AND_ROLE, value) for value in values]
    visas = tuple(
        Visa(f"{number}", kind, value, "https://o", "so", "https://i", subject, NOW, NOW + timedelta(days=1))
        for number, (kind, value) in enumerate(kinds)
    )
    return Actor(subject, "https://i", visas=visas, expires=NOW + timedelta(days=1))


def _asker(folder: Path, budget: Budget, subject: str) -> DatasetView:
    actor = _registered(subject)
    decision = decide(actor, Terms("XX:d", "floored", 1.0), NO_PURPOSE, NOW)
    assert decision.tier == "registered"
    return _view(folder).under(decision, charging(lambda: budget)(actor, decision))


@pytest.fixture
def budget(tmp_path: Path) -> Budget:
    return Budget(open_database(tmp_path / "budget.sqlite"), bytes(32))


def test_the_operator_learns_at_load_what_the_dataset_would_tell_and_what_follows(tmp_path: Path) -> None:
    report = _load(tmp_path, 300)
    found = report.membership
    assert found is not None
    assert found.variants_told == 200  # 10 carriers and more
    assert found.people == PEOPLE
    assert found.power > 0.6
    assert "login-required" in report.text()
    assert "--disclosure open" in report.text()
    assert report.document()["membership"]["power"] == found.power
    assert statuses(tmp_path / "node")[0]["membershipPower"] == found.power
    view = _view(tmp_path)
    assert view.membership_power == found.power
    assert view.record.membership_power == found.shown >= found.power
    assert round(found.shown * 20) == pytest.approx(found.shown * 20)


def test_few_variants_of_many_people_are_told_to_everybody(tmp_path: Path) -> None:
    report = _load(tmp_path, 9)
    assert report.membership is not None
    assert report.membership.power <= 0.6
    assert "everybody is answered above the floor" in report.text()


def test_open_and_closed_datasets_say_so_and_closed_ones_tell_nobody_else(tmp_path: Path) -> None:
    assert "the dataset is open" in _load(tmp_path, 30, "open").text()
    assert "nobody is answered without a visa" in _load(tmp_path, 30, "closed").text()
    assert _view(tmp_path).record.membership_power is None


def test_a_version_of_an_earlier_cohelix_gets_its_figure_when_it_is_opened(tmp_path: Path) -> None:
    kept = _load(tmp_path, 60).membership
    version = open_current(tmp_path / "node", DatasetId("d"))
    older = tmp_path / "older"
    shutil.copytree(version.folder, older)
    (older / MEMBERSHIP_FILE).unlink()
    manifest = json.loads((older / "manifest.json").read_text())
    del manifest["files"][MEMBERSHIP_FILE]
    (older / "manifest.json").write_text(json.dumps(manifest))
    assert membership_of_version(type(version).open(older)) == kept == membership_of_version(version)


def test_registered_people_are_told_totals_of_common_variants_until_the_budget_is_spent(tmp_path: Path, budget: Budget) -> None:
    _load(tmp_path, 120)
    asker = _asker(tmp_path, budget, "a")
    common = [f"22-{1000 * (number + 1)}-A-G" for number in range(120) if CARRIERS[number % 6] >= 120]
    answers = [asker.frequency(parse_variant(name), assembly=Assembly.GRCH37) for name in common[:20]]
    assert [answer.status for answer in answers] == ["answered"] * 18 + ["refused"] * 2
    assert {answer.reason for answer in answers[18:]} == {answers[18].reason}
    assert str(answers[18].reason).startswith("budget-spent: ")
    row = answers[0].populations[0]
    assert (len(answers[0].populations), row.population, row.homozygotes) == (1, "all", None)
    assert (row.allele_count, row.allele_number) == (200, 2 * PEOPLE)
    again = [asker.frequency(parse_variant(name), assembly=Assembly.GRCH37) for name in common[:20]]
    assert again == answers
    assert _asker(tmp_path, budget, "b").frequency(parse_variant(common[19]), assembly=Assembly.GRCH37).status == "answered"


def test_nobody_few_rare_and_absent_are_one_answer_at_one_price(tmp_path: Path, budget: Budget) -> None:
    _load(tmp_path, 600)
    told, spent = [], []
    for number, name in enumerate(["22-1000-A-G", "22-2000-A-G", "22-3000-A-G", "22-1001-A-G"]):
        asker = _asker(tmp_path, budget, f"person-{number}")
        told.append(asker.frequency(parse_variant(name), assembly=Assembly.GRCH37))
        spent.append(budget.account(f"https://i\nperson-{number}", "XX:d").spent)
    assert len({(answer.status, answer.reason) for answer in told}) == 1
    assert told[0].status == "below_floor"
    assert len(set(spent)) == 1
    assert spent[0] > 15 / PEOPLE
    exact = [
        _asker(tmp_path, budget, f"exact-{number}").exact(parse_variant(name), assembly=Assembly.GRCH37, with_item=False)
        for number, name in enumerate(["22-1000-A-G", "22-2000-A-G", "22-3000-A-G", "22-1001-A-G"])
    ]
    assert len(set(exact)) == 1


def test_what_nearly_everybody_carries_is_withheld_at_the_price_of_what_is_withheld(
    tmp_path: Path, budget: Budget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "CARRIERS", (598, 200))
    _load(tmp_path, 60)
    spent = {}
    for name in ("22-1000-A-G", "22-1001-A-G", "22-2000-A-G"):
        told = _asker(tmp_path, budget, name).frequency(parse_variant(name), assembly=Assembly.GRCH37)
        spent[name] = told.status, budget.account(f"https://i\n{name}", "XX:d").spent
    assert spent["22-1000-A-G"] == spent["22-1001-A-G"], "carried by nearly all, or not there at all"
    assert spent["22-1000-A-G"][0] == "below_floor" and spent["22-2000-A-G"] == ("answered", 1 / PEOPLE)


class _Still:
    """A clock that stands."""

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0


class _Log:
    """What the gate writes down, kept."""

    def __init__(self) -> None:
        self.events: list[tuple[Event, object]] = []

    def record(self, event: Event, *, by: object = None, wait: bool = False) -> None:
        self.events.append((event, by))

    def keyed(self, *name: str) -> Keyed:
        return Keyed("-".join(name))


def test_a_registered_person_sees_what_is_left_and_a_refusal_is_written_down(tmp_path: Path, budget: Budget) -> None:
    _load(tmp_path, 120)
    log = _Log()
    gate = Gate(verify=lambda passport, _now: _registered(passport), charging=charging(lambda: budget), log=log, clock=_Still())
    counter = Counter(Bank.open(tmp_path / "node", NodeId("XX"), gate.public), gate)
    asker = gate.asker("a", way="hub")
    common = [f"22-{1000 * (number + 1)}-A-G" for number in range(120) if CARRIERS[number % 6] >= 120]

    def ask(name: str) -> str:
        answer = counter.ask("frequency", asker, name, lambda bank: bank.frequency(parse_variant(name), Assembly.GRCH37))
        return answer.datasets[0].status

    assert counter.budgets(asker) == {"XX:d": 1.0}
    assert counter.budgets(gate.asker()) == {}, "somebody unknown has none"
    assert [ask(name) for name in common[:9]] == ["answered"] * 9
    left = counter.budgets(asker)["XX:d"]
    assert left == pytest.approx(1 - 9 / (PEOPLE * spending_at(REGISTERED_POWER_MAX)), abs=0.01)
    assert counter.budgets(gate.asker("b")) == {"XX:d": 1.0}, "what somebody else was told is not theirs"
    assert [ask(name) for name in common[:9]] == ["answered"] * 9 and counter.budgets(asker)["XX:d"] == left
    assert [ask(name) for name in common[9:20]] == ["answered"] * 9 + ["refused"] * 2
    assert 0 <= counter.budgets(asker)["XX:d"] < 0.06
    refused = [(event, by) for event, by in log.events if isinstance(event, BudgetSpent)]
    assert refused == [(BudgetSpent("XX:d", "registered"), Person("a", "https://i"))] * 2


def test_a_region_is_charged_for_each_variant_that_it_tells(tmp_path: Path, budget: Budget) -> None:
    _load(tmp_path, 120)
    page = _asker(tmp_path, budget, "a").region(Region("22", 0, 200_000), limit=100)
    assert (page.status, page.total) == ("refused", 0)
    assert str(page.reason).startswith("budget-spent: ")


def test_organisations_are_the_domains_of_affiliations() -> None:
    assert organisations_of(_registered("a", "faculty@Example.org", "member@example.org", "nonsense")) == ("example.org",)


def test_linked_identities_are_those_that_visas_name_without_the_own() -> None:
    plain = _registered("a")
    said = "a,https%3A%2F%2Fi;b,https%3A%2F%2Felsewhere;nonsense"
    link = Visa("l", VisaKind.LINKED_IDENTITIES, said, "https://o", "system", "https://i", "a", NOW, NOW + timedelta(days=1))
    assert linked_identities(Actor("a", "https://i", visas=(*plain.visas, link))) == (("b", "https://elsewhere"),)
    assert linked_identities(plain) == ()
