"""A floored dataset tells nobody whether 0 or 1 to 4 people carry a variant: two nodes that differ in that alone are twins.

Both nodes have the same id, people and sites. At some sites the one has no carrier where the other has one to four; at
others one to four people lack the ALT where in the other nobody does; a disease code is borne by four people in the one
and by nobody in the other. Every answer of every endpoint has to be the same, to the byte.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from cohelix.testing.federation import let_everybody_ask
from validation import synthetic
from validation.processes import cohelix, done, inside
from validation.town import Served, free_port

PEOPLE = 120
_TIMES = re.compile(
    r"elapsed|timestamp|createDateTime|updateDateTime|lastSeen|joinedAt|createdAt|updatedAt|instance|requestId|url$|key$",
    re.IGNORECASE,
)


def _write(path: Path, cohort: synthetic.Cohort, hidden: bool) -> list[tuple[int, str]]:
    """The file of one twin; gives (position, kind) of every site, `rare` and `almost` where the twins differ."""
    rng = random.Random(77)
    sites = []
    lines = [
        "##fileformat=VCFv4.3",
        "##contig=<ID=22,length=51304566>",
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">',
        "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t" + "\t".join(cohort.samples),
    ]
    position = 50_300_000
    for number in range(28):
        position += rng.randint(5, 400)
        kind = ("common", "rare", "almost", "common")[number % 4]
        few = set(rng.sample(range(PEOPLE), rng.randint(1, 4)))
        draws = [rng.random() < 0.4 for _ in range(2 * PEOPLE)]
        calls = []
        for i in range(PEOPLE):
            if kind == "common":
                calls.append(f"{int(draws[2 * i])}|{int(draws[2 * i + 1])}")
            elif kind == "rare":
                calls.append("0|1" if hidden and i in few else "0|0")
            else:
                calls.append("0|0" if hidden and i in few else "1|1")
        alt = ("G", "G", "GTT", "C")[number % 4]
        lines.append(f"22\t{position}\t.\tA\t{alt}\t.\t.\t.\tGT\t" + "\t".join(calls))
        sites.append((position, kind))
    path.write_text("\n".join(lines) + "\n")
    return sites


def _people(path: Path, cohort: synthetic.Cohort, hidden: bool) -> None:
    rows = ["individual_id\tbiosample_id\tsex\tpopulation\tdisease\tage"]
    for i, s in enumerate(cohort.samples):
        population = ("FIN", "GBR")[i % 2]
        disease = "ICD10:G35" if hidden and i in (1, 2, 4, 5) else ("ICD10:E11" if i % 3 == 0 else "")
        rows.append(f"{s}\t{s}\t{('male', 'female')[i // 2 % 2]}\t{population}\t{disease}\t{40 + i % 30}")
    path.write_text("\n".join(rows) + "\n")


class Twins:
    """Two served nodes, each behind a hub of its own."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        cohort = synthetic.make_cohort(PEOPLE, 3)
        self.clients: list[tuple[httpx.Client, httpx.Client]] = []
        self.hubs: list[str] = []
        self.homes: list[tuple[Path, Path]] = []
        for name, hidden in (("empty", False), ("hidden", True)):
            home = folder / name
            home.mkdir()
            self.sites = _write(home / "cohort.vcf", cohort, hidden)
            _people(home / "people.tsv", cohort, hidden)
            node = home / "node"
            done("node", "init", node, "--id", "TW", "--name", "Twin", "--country", "FI")
            let_everybody_ask(node)
            done(
                *("node", "load", node, "--dataset", "d", "--genotypes", home / "cohort.vcf", "--assembly", "GRCh37"),
                *("--individuals", home / "people.tsv", "--disclosure", "floored"),
            )
            hub_port = free_port()
            hub_url = f"http://127.0.0.1:{hub_port}"
            done("hub", "init", home / "hub", "--url", hub_url)
            with ThreadPoolExecutor() as pool:
                hub, served = pool.map(Served.__enter__, [Served("hub", home / "hub", hub_port), Served("node", node)])
            stack.push(hub)
            stack.push(served)
            token = json.loads(done("hub", "invite", home / "hub", "--member", "TW", "--json").out)["token"]
            done("node", "join", node, token, "--url", served.url)
            urls = (served.url, hub_url)
            self.clients.append(tuple(stack.enter_context(httpx.Client(base_url=u, timeout=30)) for u in urls))  # type: ignore[arg-type]
            self.hubs.append(hub_url)
            self.homes.append((node, home / "hub"))

    def same(self, where: str, method: str, path: str, **words: Any) -> Any:
        """Ask both twins; the common answer, or a failure that shows the difference."""
        which = ("node", "hub").index(where)
        answers = [clients[which].request(method, path, **words) for clients in self.clients]
        bodies = [_timeless(a) for a in answers]
        assert answers[0].status_code == answers[1].status_code, (path, words, bodies)
        assert bodies[0] == bodies[1], f"{where} {method} {path} {words} tells the twins apart"
        for text in (json.dumps(b, default=str) for b in bodies):
            named = re.search(r"\bG35\b", text) and "G35" not in json.dumps([path, words])
            assert not named, "a code that four people bear is named"
        return bodies[0]


def _timeless(answer: httpx.Response) -> Any:
    if "json" not in answer.headers.get("content-type", ""):
        text = re.sub(r"127\.0\.0\.1:\d+", "HOST", answer.text)
        text = re.sub(r"\d{4}-\d\d-\d\d[T ][\d:.]+(?:Z|\+00:00)?( UTC)?", "TIME", text)
        return re.sub(r"[\d.]+\s*(ms|s)\b", "DURATION", text)

    def strip(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: strip(v) for k, v in value.items() if not _TIMES.search(k)}
        if isinstance(value, list):
            return [strip(v) for v in value]
        return re.sub(r"127\.0\.0\.1:\d+", "HOST", value) if isinstance(value, str) else value

    return strip(answer.json())


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twins]:
    with ExitStack() as stack, inside():
        yield Twins(tmp_path_factory.mktemp("twins"), stack)


def _exact(position: int, ref: str, alt: str, granularity: str) -> dict[str, str]:
    words = {"referenceName": "22", "start": str(position - 1), "referenceBases": ref, "alternateBases": alt}
    return {**words, "assemblyId": "GRCh37", "requestedGranularity": granularity, "includeResultsetResponses": "ALL"}


def test_exact_questions(twins: Twins) -> None:
    told = 0
    for number, (position, _kind) in enumerate(twins.sites):
        alt = ("G", "G", "GTT", "C")[number % 4]
        variant = f"22-{position}-A-{alt}"
        answer = twins.same("hub", "GET", f"/api/v1/frequency/{variant}", params={"assembly": "GRCh37"})
        told += answer["nodes"][0]["datasets"][0]["status"] == "answered"
        twins.same("hub", "GET", "/", params={"q": variant, "assembly": "GRCh37"}, follow_redirects=True)
        for where in ("node", "hub"):
            for granularity in ("boolean", "count", "record"):
                twins.same(where, "GET", "/beacon/v2/g_variants", params=_exact(position, "A", alt, granularity))
            twins.same(where, "GET", f"/beacon/v2/g_variants/GRCh37-{variant}")
            twins.same(where, "GET", f"/beacon/v2/g_variants/GRCh37-{variant}/individuals")
    assert told == 14, "the common half is told"


def test_absent_alleles_look_like_rare_ones(twins: Twins) -> None:
    """On one node alone: no carrier, one to four carriers, another ALT, and no record at all are one answer."""
    client = twins.clients[1][0]
    seen = set()
    rare = [position for position, kind in twins.sites if kind == "rare"]
    for position, alt in [*((p, "G") for p in rare), *((p, "T") for p in rare), *((p + 1, "G") for p in rare)]:
        for granularity in ("boolean", "count", "record"):
            answer = client.get("/beacon/v2/g_variants", params=_exact(position, "A", alt, granularity)).json()
            answer["meta"].pop("receivedRequestSummary")
            seen.add((granularity, json.dumps(_strip_times(answer), sort_keys=True)))
        hub = twins.clients[1][1].get(f"/api/v1/frequency/22-{position}-A-{alt}", params={"assembly": "GRCh37"}).json()
        seen.add(("hub", json.dumps([d for n in hub["nodes"] for d in n["datasets"]])))
    assert len(seen) == 4


def _strip_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _strip_times(v) for k, v in value.items() if not _TIMES.search(k)}
    return [_strip_times(v) for v in value] if isinstance(value, list) else value


def test_ranges_regions_genes_and_pages(twins: Twins) -> None:
    first, last = twins.sites[0][0], twins.sites[-1][0]
    windows = [(first, last), *((p - 3, p + 3) for p, _ in twins.sites[:12])]
    for a, b in windows:
        for where in ("node", "hub"):
            for granularity in ("boolean", "count", "record"):
                base = {"referenceName": "22", "assemblyId": "GRCh37", "requestedGranularity": granularity, "limit": "3"}
                base["includeResultsetResponses"] = "ALL"
                twins.same(
                    where, "GET", "/beacon/v2/g_variants", params={**base, "start": str(a - 1), "end": str(b), "skip": "1"}
                )
                bracket = {"start": f"{a - 1},{b}", "end": f"{a - 1},{b + 5}", "variantType": "INDEL"}
                twins.same(where, "GET", "/beacon/v2/g_variants", params={**base, **bracket})
        for limit in (1, 2, 7, 500):
            answer = twins.same("hub", "GET", f"/api/v1/region/22:{a}-{b}", params={"assembly": "GRCh37", "limit": limit})
            while answer.get("next"):
                words = {"assembly": "GRCh37", "limit": limit, "after": answer["next"]}
                answer = twins.same("hub", "GET", f"/api/v1/region/22:{a}-{b}", params=words)
    for gene in ("CRELD2", "ALG12", "ENSG00000184164"):
        twins.same("hub", "GET", f"/api/v1/gene/{gene}", params={"assembly": "GRCh37"})
        for where in ("node", "hub"):
            words = {"geneId": gene, "assemblyId": "GRCh37", "requestedGranularity": "record"}
            twins.same(where, "GET", "/beacon/v2/g_variants", params=words)


def test_chosen_rows_are_the_rows_of_the_whole_answer(twins: Twins) -> None:
    """Asking for one sex or population alone tells no more than asking for all."""
    client = twins.clients[1][0]
    checked = 0
    for number, (position, _kind) in enumerate(twins.sites):
        alt = ("G", "G", "GTT", "C")[number % 4]

        def rows(*filters: dict[str, str], position: int = position, alt: str = alt) -> dict[str, Any]:
            parameters = {"referenceName": "22", "start": [position - 1], "referenceBases": "A", "alternateBases": alt}
            query = {"requestParameters": {**parameters, "assemblyId": "GRCh37"}, "filters": list(filters)}
            body = {"meta": {}, "query": {**query, "requestedGranularity": "record"}}
            document = client.post("/beacon/v2/g_variants", json=body).json()
            found = [r for one in document["response"]["resultSets"] for r in one["results"]]
            return {f["population"]: f for r in found for s in r["frequencyInPopulations"] for f in s["frequencies"]}

        whole = rows()
        for chosen in ({"id": "sexFilter", "value": "F"}, {"id": "countryFilter", "value": "FIN"}):
            part = rows({**chosen, "operator": "=", "scope": "population"})
            assert all(whole[label] == row for label, row in part.items())
            checked += bool(part)
    assert checked > 5


def test_people(twins: Twins) -> None:
    """Counts of people by sex, population, code, and by carrying a variant."""
    filters: list[list[dict[str, Any]]] = [
        [],
        [{"id": "NCIT:C16576"}],
        [{"id": "ICD10:G35"}],
        [{"id": "ICD10:E11"}],
        [{"id": "sex", "operator": "=", "value": "male"}, {"id": "ICD10:G35"}],
        # All men, and men without the code: the difference would be those who have it.
        [{"id": "sex", "operator": "=", "value": "male"}, {"id": "disease", "operator": "!", "value": "ICD10:G35"}],
        [{"id": "population", "operator": "=", "value": "ISL"}],
        [{"id": "age", "operator": ">", "value": "50"}],
        [{"id": "nonsense", "operator": ">", "value": "50"}],
    ]
    for where in ("node", "hub"):
        for granularity in ("boolean", "count", "record"):
            for chosen in filters:
                body = {"meta": {}, "query": {"filters": chosen, "requestedGranularity": granularity}}
                body["query"]["includeResultsetResponses"] = "ALL"
                twins.same(where, "POST", "/beacon/v2/individuals", json=body)
            for number, (position, _kind) in enumerate(twins.sites[:12]):
                alt = ("G", "G", "GTT", "C")[number % 4]
                for chosen in ([], [{"id": "NCIT:C16576"}]):
                    parameters = {"referenceName": "22", "start": [position - 1], "referenceBases": "A", "alternateBases": alt}
                    query = {"requestParameters": {**parameters, "assemblyId": "GRCh37"}, "filters": chosen}
                    body = {"meta": {}, "query": {**query, "requestedGranularity": granularity}}
                    twins.same(where, "POST", "/beacon/v2/individuals", json=body)


@pytest.mark.parametrize(
    "path",
    [
        *("info", "service-info", "configuration", "map", "entry_types", "filtering_terms", "datasets", "datasets/TW:d"),
        *("datasets/d", "datasets/TW:d/g_variants", "datasets/TW:d/individuals", "individuals", "g_variants", "cohorts"),
        *("individuals/filtering_terms", "g_variants/filtering_terms", "biosamples", "runs", "analyses"),
    ],
)
def test_catalogue_and_the_rest(twins: Twins, path: str) -> None:
    for where in ("node", "hub"):
        for words in ({}, {"requestedGranularity": "count"}, {"requestedGranularity": "record", "limit": "0"}):
            twins.same(where, "GET", f"/beacon/v2/{path}", params=words)


@pytest.mark.parametrize(
    "path", ["/api/v1/datasets", "/datasets", "/", "/en/", "/service-registry/services", "/service-info", "/openapi.json"]
)
def test_the_hubs_pages(twins: Twins, path: str) -> None:
    twins.same("hub", "GET", path, follow_redirects=True)


def test_errors_say_nothing_of_the_data(twins: Twins) -> None:
    position = next(p for p, kind in twins.sites if kind == "rare")
    for words in (
        {"start": str(position - 1)},
        {"start": str(position - 1), "referenceBases": "AC", "alternateBases": "G", "variantType": "NONSENSE"},
        {"start": str(position - 1), "end": str(position), "aminoacidChange": "V600E"},
        {"start": f"{position},{position - 2}", "end": "1"},
        {"start": "-1"},
    ):
        for where in ("node", "hub"):
            twins.same(where, "GET", "/beacon/v2/g_variants", params={"referenceName": "22", "assemblyId": "GRCh37", **words})
    for text in ("ALL", f"22-{position}-A-", f"22-{position}-A-G-T", "x" * 300):
        twins.same("hub", "GET", f"/api/v1/frequency/{text}", params={"assembly": "GRCh37"})


def test_metrics_and_logs_carry_no_variant(twins: Twins) -> None:
    for client, home in zip(twins.clients[1], twins.homes[1], strict=True):
        brought = {"authorization": f"Bearer {(home / 'metrics.token').read_text().strip()}"}
        figures = client.get("/metrics", headers=brought).text
        labels = re.findall(r'"([^"]*)"', figures)
        assert re.search(r"cohelix_(datasets|application_clocks_passed) \d", figures)
        assert labels and not [label for label in labels if re.search(r"5030\d{4}|G35", label)]


def test_a_question_by_command_says_no_more(twins: Twins) -> None:
    position = next(p for p, kind in twins.sites if kind == "rare")
    said = []
    for hub in twins.hubs:
        ended = cohelix("frequency", f"22-{position}-A-G", "--assembly", "GRCh37", "--hub", hub)
        said.append((ended.status, re.sub(r"[\d.]+\s*(ms|s)\b", "DURATION", ended.out)))
    assert said[0] == said[1]
