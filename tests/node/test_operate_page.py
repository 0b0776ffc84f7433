"""The operator's page of a node: its door, what it shows and what it does not, and the same numbers for Prometheus."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from cohelix import node
from cohelix.audit.events import Decided, Keyed, Person, QuestionAnswered, QuestionRefused
from cohelix.audit.tally import refusals
from cohelix.bank.load import LoadRequest, load
from cohelix.cli.doctor_checks import glance
from cohelix.core.genome import Assembly
from cohelix.core.ids import DatasetId
from cohelix.core.private_files import replace_private
from cohelix.federation.audit_log import open_log
from cohelix.node.app import create_app
from cohelix.portal.figures import with_code
from cohelix.portal.operate import page_words
from cohelix.testing.commands import run_command
from cohelix.testing.federation import running_app
from cohelix.web import make_token
from cohelix.wire.operation import Operation

HEADER = '##fileformat=VCFv4.3\n##contig=<ID=22,length=51304566>\n##FORMAT=<ID=GT,Number=1,Type=String,Description="G">\n'
NAMES = [f"PERSON{number:02d}" for number in range(12)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("operate")
    columns = "\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *NAMES])
    calls = "\t".join(["22", "20000001", ".", "A", "G", ".", ".", ".", "GT", *(["0|1"] * 6 + ["0|0"] * 6)])
    (place / "c.vcf").write_text(f"{HEADER}{columns}\n{calls}\n")
    (place / "p.tsv").write_text("individual_id\tsex\n" + "".join(f"{name}\tfemale\n" for name in NAMES))
    home = place / "node"
    node.init_node(home, node="FI", name="Finnish <i>bank</i>", country="FI")
    request = LoadRequest(
        dataset=DatasetId("one"), genotypes=(place / "c.vcf",), individuals=place / "p.tsv", assembly=Assembly.GRCH37
    )
    load(home, request)
    with open_log(home, "node/FI", str(home / "node.sqlite")) as log:
        told = (Decided("FI:one", "refused", "public", reason="login-required"), Decided("FI:two", "answered", "public"))
        log.record(
            QuestionAnswered("frequency", "hub", Keyed("22-20000001-A-G"), "", told), by=Person("asker-1234567", "https://x")
        )
        log.record(QuestionRefused("beacon", "direct", "budget-spent"), by=Person("asker-1234567", "https://x"), wait=True)
    return home


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    with running_app(create_app(folder, examine=glance)) as running:
        yield running.url


def code(folder: Path) -> str:
    done = run_command("node", "operate", str(folder), "--json")
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["code"])


@pytest.fixture
def browser(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, headers={"origin": url}, trust_env=False, timeout=30, follow_redirects=True) as client:
        yield client


def test_nobody_comes_in_without_a_code_and_a_code_opens_once(folder: Path, browser: httpx.Client, url: str) -> None:
    assert "Sign in" in browser.get("/operate").text
    assert browser.get("/operate/state.json").status_code == 403
    assert browser.post("/operate/sign-in", data={"code": "x" * 43}).status_code == 403
    one = code(folder)
    assert browser.post("/operate/sign-in", data={"code": one}, headers={"origin": "https://evil.example"}).status_code == 403
    page = browser.post("/operate/sign-in", data={"code": one})
    assert page.status_code == 200 and "What was refused" in page.text
    with httpx.Client(base_url=url, headers={"origin": url}, trust_env=False) as other:
        assert other.post("/operate/sign-in", data={"code": one}).status_code == 403
        assert "What was refused" not in other.get("/operate").text
    form_key = re.search(r'name="form_key" value="(\w+)"', page.text)
    assert form_key is not None
    assert browser.post("/operate/sign-out", data={"form_key": "other"}).status_code == 403
    assert "Sign in" in browser.post("/operate/sign-out", data={"form_key": form_key[1]}).text
    assert browser.get("/operate/state.json").status_code == 403


def test_the_page_tells_how_the_node_is_and_nothing_of_people_or_questions(folder: Path, browser: httpx.Client) -> None:
    browser.post("/operate/sign-in", data={"code": code(folder)})
    page = browser.get("/operate")
    assert "Finnish &lt;i&gt;bank" in page.text and "login-required" in page.text and "budget-spent" in page.text
    told = browser.get("/operate/state.json").json()
    assert [(one["kind"], one["reason"], one["number"]) for one in told["refusals"]["refused"]] == [
        ("beacon", "budget-spent", 1),
        ("frequency", "login-required", 1),
    ]
    [dataset] = told["datasets"]
    assert (dataset["id"], dataset["state"], dataset["people"], dataset["variants"]) == ("one", "published", 12, 1)
    assert dataset["quality"] in ("accept", "accept with exclusions", "refuse")
    found = {one["slug"]: one["level"] for one in told["findings"]}
    assert found["hub-unknown"] == "warning" and found["identity"] == "ok" and "backup-old" not in found
    assert "<code>cohelix node join</code>" in page.text and "`" not in page.text
    assert {one["slug"]: one["number"] for one in told["problems"]}["not-permitted"] >= 1
    for secret in ("asker-1234567", "20000001", *NAMES):
        assert secret not in page.text and secret not in json.dumps(told)


def test_damage_is_seen_without_a_restart(folder: Path, browser: httpx.Client) -> None:
    browser.post("/operate/sign-in", data={"code": code(folder)})
    manifest = folder / "datasets" / "one" / "versions" / "000001" / "manifest.json"
    kept = manifest.read_bytes()
    try:
        manifest.write_bytes(kept[:-2])
        pointer = folder / "datasets" / "one" / "current.json"
        pointer.touch()
        browser.post("/beacon/v2/g_variants", json={})
        [dataset] = browser.get("/operate/state.json").json()["datasets"]
        assert dataset["state"] == "damaged" and dataset["reason"]
    finally:
        manifest.write_bytes(kept)


def test_figures_are_for_the_token_and_those_of_requests_for_the_machine_itself(folder: Path, url: str) -> None:
    token = (folder / "metrics.token").read_text().strip()
    assert (folder / "metrics.token").stat().st_mode & 0o077 == 0 and len(token) == 43
    own = ("cohelix_datasets", "cohelix_disk_free_bytes", "cohelix_audit_entries")
    with httpx.Client(base_url=url, trust_env=False) as somebody:
        assert "cohelix_datasets" in somebody.get("/metrics", headers={"authorization": f"Bearer {token}"}).text
        for given in ("", "Bearer", f"Bearer {token}x", f"Basic {token}", "Bearer \xe4"):
            near = somebody.get("/metrics", headers={b"authorization": given.encode("latin-1")})
            assert "cohelix_requests_total" in near.text and not any(name in near.text for name in own)
        for header in ("x-forwarded-for", "forwarded", "via"):
            far = somebody.get("/metrics", headers={header: "127.0.0.1"})
            assert far.status_code == 401 and far.json()["type"].endswith("not-authentic") and "cohelix_" not in far.text
        brought = {"x-forwarded-for": "192.0.2.1", "authorization": f"bearer {token}"}
        assert "cohelix_datasets" in somebody.get("/metrics", headers=brought).text


def test_a_token_is_replaced_without_a_restart_and_a_short_one_opens_nothing(folder: Path, url: str) -> None:
    path = folder / "metrics.token"
    kept = path.read_bytes()
    try:
        for word, opens in (("y" * 43, True), ("short", False)):
            path.write_text(word)
            told = httpx.get(f"{url}/metrics", headers={"authorization": f"Bearer {word}"}, trust_env=False)
            assert ("cohelix_datasets" in told.text) is opens
        path.unlink()
        told = httpx.get(f"{url}/metrics", headers={"authorization": f"Bearer {kept.decode().strip()}"}, trust_env=False)
        assert "cohelix_datasets" not in told.text
    finally:
        replace_private(path, kept)


def test_prometheus_reads_the_same_numbers(folder: Path, browser: httpx.Client) -> None:
    browser.headers["authorization"] = f"Bearer {(folder / 'metrics.token').read_text().strip()}"
    browser.get("/nowhere")
    until = time.monotonic() + 20
    while "cohelix_warnings" not in (text := browser.get("/metrics").text):
        assert time.monotonic() < until, "the doctor's look does not end"
        time.sleep(0.1)
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("cohelix_"))
    assert float(values["cohelix_warnings"]) >= 1 and float(values["cohelix_disk_free_bytes"]) > 0
    assert values["cohelix_waiting_runs"] == "0"
    assert float(values['cohelix_refusals_total{service="node",slug="not-found"}']) >= 1


def test_refusals_are_counted_among_the_newest_only(folder: Path) -> None:
    with open_log(folder, "node/FI", str(folder / "node.sqlite")) as log:
        told = refusals(log.store(), most=1)
        assert told.entries == 1 and sum(told.refused.values()) <= 1


def test_without_a_doctor_nothing_is_called_in_order(folder: Path) -> None:
    app = create_app(folder)
    with running_app(app) as running, httpx.Client(base_url=running.url, trust_env=False, follow_redirects=True) as client:
        client.headers["origin"] = running.url
        page = client.post("/operate/sign-in", data={"code": code(folder)}).text
        told = client.get("/operate/state.json").json()
        token = (folder / "metrics.token").read_text().strip()
        until = time.monotonic() + 20
        while "cohelix_audit_entries" not in (
            text := client.get("/metrics", headers={"authorization": f"Bearer {token}"}).text
        ):
            assert time.monotonic() < until, "the figures are not read"
            time.sleep(0.05)
    assert "is in order" not in page and "Nobody looks" in page and "At fault <b>–</b>" in page
    assert told["looks"] is False and told["lookedAt"] is None and told["findings"] == []
    assert "cohelix_faults" not in text


def test_an_old_look_says_that_it_is_old() -> None:
    state = {"service": "node", "id": "FI", "name": "FI", "version": "1", "since": "2026-01-01T00:00:00+00:00"}
    for at, stale in (("2026-01-02T00:05:00+00:00", False), ("2026-01-02T00:05:01+00:00", True)):
        told = Operation.model_validate({**state, "at": at, "lookedAt": "2026-01-02T00:00:00+00:00"})
        assert page_words(told)["stale"] is stale


def test_commands_in_findings_are_code_and_markup_is_not() -> None:
    assert with_code("ask `<b>` & `x`") == "ask <code>&lt;b&gt;</code> &amp; <code>x</code>"
    assert with_code("one ` <i>") == "one ` &lt;i&gt;"


def test_a_server_whose_folder_cannot_be_written_has_no_token(tmp_path: Path) -> None:
    assert not make_token(tmp_path / "absent").exists()
