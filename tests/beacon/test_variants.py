"""Variant questions over HTTP: what is found, what is told of it, and that a naive scan finds the same."""

from __future__ import annotations

import random
from typing import Any

import pytest

PLACE = {"assemblyId": "GRCh37", "referenceName": "22"}


def exact(variant: Any) -> dict[str, object]:
    return {
        **PLACE,
        "referenceName": variant.contig,
        "start": [variant.position],
        "referenceBases": variant.ref,
        "alternateBases": variant.alt,
    }


def frequencies(result_set: dict[str, Any]) -> dict[str, dict[str, Any]]:
    (record,) = result_set["results"]
    return {row["population"]: row for row in record["frequencyInPopulations"][0]["frequencies"]}


def test_an_exact_question_is_counted_for_everybody_sexes_and_populations(beacon: Any, cohort: Any) -> None:
    variant = cohort.named("GRCh37-22-50313359-G-A")
    found = beacon.records(exact(variant), "ZZ:open")["ZZ:open"]
    assert (found["exists"], found["resultsCount"], found["info"]["status"]) == (True, 1, "answered")
    (record,) = found["results"]
    assert record["variantInternalId"] == variant.identifier
    assert record["identifiers"]["variantAlternativeIds"] == [{"id": "dbsnp:rs9616906"}]
    rows = frequencies(found)
    assert next(iter(rows)) == "Total"
    people = list(enumerate(cohort.people))
    groups = {
        "Total": [n for n, _ in people],
        "F": [n for n, p in people if p.sex == "female"],
        "SWE": [n for n, p in people if p.population == "SWE"],
        "FIN_M": [n for n, p in people if p.population == "FIN" and p.sex == "male"],
    }
    assert set(rows) == {"Total", "M", "F", "FIN", "SWE", "FIN_M", "FIN_F", "SWE_M", "SWE_F"}
    for label, members in groups.items():
        an, ac = variant.counts(members)
        assert (rows[label]["alleleNumber"], rows[label]["alleleCount"]) == (an, ac)
        assert rows[label]["alleleFrequency"] == pytest.approx(ac / an)


def test_a_variant_is_found_by_the_id_of_its_source(beacon: Any) -> None:
    def asked(name: str, value: str) -> dict[str, dict[str, Any]]:
        wanted = [{"id": name, "operator": "=", "value": value}]
        found: dict[str, dict[str, Any]] = beacon.records({}, "ZZ:open", "ZZ:floored", "ZZ:closed", filters=wanted)
        return found

    for name, value in (
        ("variantAlternativeIds", "rs9616906"),
        ("identifiers.variantAlternativeIds", "dbsnp:rs9616906"),
    ):
        found = asked(name, value)
        for dataset in ("ZZ:open", "ZZ:floored"):  # it reaches the floor
            assert [one["variantInternalId"] for one in found[dataset]["results"]] == ["GRCh37-22-50313359-G-A"]
        assert found["ZZ:closed"]["info"]["status"] == "refused"
    nobodys = asked("variantAlternativeIds", "rs1")
    assert [nobodys[name]["info"]["status"] for name in ("ZZ:open", "ZZ:floored")] == ["answered", "below_floor"]
    assert not any(one["exists"] for one in nobodys.values())


def test_haploid_males_are_hemizygous(beacon: Any, cohort: Any) -> None:
    variant = cohort.named("GRCh37-X-50000001-T-C")
    rows = frequencies(beacon.records(exact(variant), "open")["ZZ:open"])
    males = [n for n, p in enumerate(cohort.people) if p.sex == "male"]
    assert rows["M"]["alleleCountHemizygous"] == sum("1" in variant.calls(n) for n in males)
    assert (rows["M"]["alleleCountHeterozygous"], rows["M"]["alleleCountHomozygous"]) == (0, 0)
    assert rows["F"]["alleleCountHemizygous"] == 0


def test_alleles_are_trimmed_before_the_look_up(beacon: Any, cohort: Any) -> None:
    padded = {**PLACE, "start": [50_313_357], "referenceBases": "TGCC", "alternateBases": "TACC"}
    assert beacon.records(padded, "open")["ZZ:open"]["results"][0]["variantInternalId"] == "GRCh37-22-50313359-G-A"
    deletion = {**PLACE, "start": [50_313_499], "referenceBases": "GATC", "alternateBases": "GC"}
    assert beacon.records(deletion, "open")["ZZ:open"]["results"][0]["variantInternalId"] == "GRCh37-22-50313500-GAT-G"


@pytest.mark.parametrize("name", ["22", "chr22", "CHR22", "NC_000022", "NC_000022.10"])
@pytest.mark.parametrize("assembly", ["GRCh37", "hg19", "GRCh37.p13"])
def test_contigs_and_assemblies_have_many_spellings(beacon: Any, name: str, assembly: str) -> None:
    asked = {"assemblyId": assembly, "referenceName": name, "start": 50313358, "alternateBases": "A", "referenceBases": "G"}
    assert beacon.get("/g_variants", **asked).json()["responseSummary"] == {"exists": True}


def test_the_assembly_may_come_with_the_accession(beacon: Any) -> None:
    asked = {"referenceName": "NC_000022.10", "start": [50_313_358], "referenceBases": "G", "alternateBases": "A"}
    found = beacon.records(asked)
    assert {name for name, each in found.items() if each["exists"]} == {"ZZ:open", "ZZ:floored"}
    assert found["ZZ:new"]["info"]["status"] == "other_assembly"
    assert found["ZZ:closed"]["info"]["status"] == "refused"


def test_wildcards_and_missing_reference(beacon: Any) -> None:
    any_alt = {**PLACE, "start": [50_313_399], "referenceBases": "C", "alternateBases": "N"}
    found = beacon.records(any_alt, "open")["ZZ:open"]
    assert [r["variantInternalId"] for r in found["results"]] == ["GRCh37-22-50313400-C-G", "GRCh37-22-50313400-C-T"]
    no_ref = {**PLACE, "start": [50_313_399], "alternateBases": "T"}
    assert beacon.records(no_ref, "open")["ZZ:open"]["resultsCount"] == 1


def test_absent_is_not_unknown(beacon: Any, cohort: Any) -> None:
    empty_site = cohort.named("GRCh37-22-50313800-T-C")
    found = beacon.records(exact(empty_site), "open")["ZZ:open"]
    assert (found["exists"], found["resultsCount"], found["results"]) == (False, 0, [])
    assert found["info"] == {"status": "answered", "alleleCount": 0, "alleleNumber": empty_site.counts(cohort.everybody)[0]}
    other_allele = beacon.records({**PLACE, "start": [50_313_358], "referenceBases": "G", "alternateBases": "T"}, "open")
    assert other_allele["ZZ:open"]["info"] == {"status": "answered", "alleleCount": 0, "alleleNumber": 128}
    nowhere = beacon.records({**PLACE, "start": [100], "referenceBases": "G", "alternateBases": "T"}, "open", "floored")
    assert nowhere["ZZ:open"]["info"]["status"] == "not_assessed"
    assert nowhere["ZZ:floored"]["info"]["status"] == "below_floor"
    contig = {**PLACE, "referenceName": "21", "start": [100], "referenceBases": "G", "alternateBases": "T"}
    assert beacon.records(contig, "floored")["ZZ:floored"]["info"]["status"] == "not_assessed"


@pytest.mark.parametrize("carriers", [0, 1, 4, 5, 59, 60])
def test_the_floor_is_one_answer(beacon: Any, cohort: Any, carriers: int) -> None:
    """0 and 1…4 carriers, and as few people without, look the same in every form of asking."""
    positions = {0: 50_313_800, 1: 50_313_700, 4: 50_313_710, 5: 50_313_720, 59: 50_313_730, 60: 50_313_740}
    (variant,) = [v for v in cohort.variants if v.position == positions[carriers] - 1]
    told = carriers in (5, 59)
    by_range = {**PLACE, "start": [variant.position], "end": [variant.end]}
    for parameters in (exact(variant), by_range):
        found = beacon.records(parameters, "floored")["ZZ:floored"]
        assert (found["exists"], found["resultsCount"], len(found["results"])) == (told, int(told), int(told))
        if not told:
            assert found["info"].pop("reason")
            assert found["info"] == {"status": "below_floor", "floor": 5}
        count = beacon.post("/g_variants", {**parameters, "datasetIds": ["floored"]}, requestedGranularity="count").json()
        assert count["responseSummary"] == {"exists": told, "numTotalResults": int(told)}
        yes = beacon.get("/g_variants", **parameters, datasetIds="floored").json()
        assert yes["responseSummary"] == {"exists": told}
    by_id = beacon.get(f"/g_variants/{variant.identifier}", datasetIds="floored").json()
    assert by_id["responseSummary"]["exists"] is told


def test_answers_below_the_floor_do_not_depend_on_the_number(beacon: Any, cohort: Any) -> None:
    """Byte for byte but for the question, whether nobody or four people carry the allele."""
    texts = set()
    for position in (50_313_700, 50_313_710, 50_313_740, 50_313_800, 50_313_750):
        asked = {**PLACE, "start": [position - 1], "referenceBases": "C", "alternateBases": "A", "datasetIds": ["floored"]}
        answer = beacon.post("/g_variants", asked, requestedGranularity="record", includeResultsetResponses="ALL").json()
        answer["meta"]["receivedRequestSummary"].pop("requestParameters")
        texts.add(str(answer))
    assert len(texts) == 1


def random_questions(cohort: Any, n: int) -> list[tuple[dict[str, object], Any]]:
    """Range and bracket questions, and which variants meet them, from the definitions."""
    rng = random.Random(7)
    asked: list[tuple[dict[str, object], Any]] = []
    for number in range(n):
        near = rng.choice(cohort.variants[:-1])
        start, width = near.position + rng.randint(-60, 60), rng.choice((1, 5, 60, 600))
        if number % 2:
            asked.append(
                (
                    {**PLACE, "start": [start], "end": [start + width]},
                    lambda v, a=start, b=start + width: v.position < b and v.end > a,
                )
            )
        else:
            low, high = near.end - rng.randint(0, 60), near.end + rng.randint(1, 300)
            asked.append(
                (
                    {**PLACE, "start": [start, start + width], "end": [low, high]},
                    lambda v, a=start, b=start + width, c=low, d=high: a <= v.position < b and c <= v.end < d,
                )
            )
    return asked


@pytest.mark.parametrize("dataset", ["open", "floored"])
def test_random_ranges_and_brackets_equal_a_naive_scan(beacon: Any, cohort: Any, dataset: str) -> None:
    hits = 0
    for parameters, meets in random_questions(cohort, 120):
        expected = sorted(
            (v.position, v.ref, v.alt, v.identifier)
            for v in cohort.variants
            if v.contig == "22"
            and meets(v)
            and (v.tellable(cohort.everybody) if dataset == "floored" else v.counts(cohort.everybody)[1] > 0)
        )
        found = beacon.records(parameters, dataset, pagination={"limit": 0})[f"ZZ:{dataset}"]
        assert [r["variantInternalId"] for r in found["results"]] == [name for *_, name in expected]
        assert found["resultsCount"] == len(expected)
        hits += len(expected)
        for record in found["results"][:2]:
            variant = cohort.named(record["variantInternalId"])
            total = record["frequencyInPopulations"][0]["frequencies"][0]
            assert (total["alleleNumber"], total["alleleCount"]) == variant.counts(cohort.everybody)
    assert hits > 50


def test_types_and_lengths_narrow_a_range(beacon: Any, cohort: Any) -> None:
    whole = {**PLACE, "start": [50_313_000], "end": [50_315_100]}

    def names(**more: object) -> list[str]:
        found = beacon.records({**whole, **more}, "open", pagination={"limit": 0})["ZZ:open"]
        return [record["variantInternalId"].split("-", 2)[2] for record in found["results"]]

    assert names(variantType="DEL") == ["50313500-GAT-G", "50314000-A-<DEL>"]
    assert names(variantType="INS") == ["50313600-G-GTT"]
    assert names(variantType="INDEL") == ["50313500-GAT-G", "50313600-G-GTT"]
    assert names(variantType="MNP") == ["50315000-AC-TG"]
    assert names(variantMinLength=100) == ["50314000-A-<DEL>"]
    assert names(variantMinLength=2, variantMaxLength=2) == ["50313500-GAT-G", "50313600-G-GTT", "50315000-AC-TG"]
    assert names(alternateBases="GTT") == ["50313600-G-GTT"]
    assert set(names(variantType="SNP")).isdisjoint({"50313500-GAT-G", "50315000-AC-TG"})


def test_a_symbolic_allele_is_found_by_any_base_that_it_covers(beacon: Any) -> None:
    found = beacon.records({**PLACE, "start": [50_314_498], "end": [50_314_499]}, "open")["ZZ:open"]
    (record,) = found["results"]
    assert record["variation"]["variantType"] == "DEL"
    assert record["variation"]["location"]["interval"]["end"]["value"] == 50_314_500
    again = beacon.get(f"/g_variants/{record['variantInternalId']}", datasetIds="open").json()
    (shown,) = again["response"]["resultSets"][0]["results"]
    assert {name: value for name, value in shown.items() if name != "caseLevelData"} == record


def test_a_gene_is_its_place(beacon: Any, cohort: Any) -> None:
    found = beacon.records({"geneId": "CRELD2", "assemblyId": "GRCh37"}, "open", pagination={"limit": 0})["ZZ:open"]
    by_id = beacon.records({"geneId": "ENSG00000184164.10", "assemblyId": "GRCh37"}, "open", pagination={"limit": 0})
    # CRELD2 on GRCh37 in the shipped table: 22:50312283-50321186.
    expected = [
        v.identifier
        for v in sorted(cohort.variants, key=lambda v: (v.position, v.ref, v.alt))
        if v.contig == "22" and v.position < 50_321_186 and v.end > 50_312_282 and v.counts(cohort.everybody)[1]
    ]
    assert [record["variantInternalId"] for record in found["results"]] == expected
    assert by_id["ZZ:open"]["results"] == found["results"]
    without = beacon.records({"geneId": "creld2"}, "open", "new", pagination={"limit": 0})
    assert without["ZZ:open"]["resultsCount"] == found["resultsCount"]
    assert beacon.post("/g_variants", {"geneId": "NOSUCHGENE1"}).status_code == 400


def test_pages_join_to_the_whole(beacon: Any, cohort: Any) -> None:
    whole = {**PLACE, "start": [50_313_000], "end": [50_330_000]}
    everything = beacon.records(whole, "open", pagination={"limit": 0})["ZZ:open"]
    pages: list[object] = []
    for skip in range(100):
        page = beacon.records(whole, "open", pagination={"skip": skip, "limit": 7})["ZZ:open"]
        assert page["resultsCount"] == everything["resultsCount"] > 70
        if not page["results"]:
            break
        pages += page["results"]
    assert pages == everything["results"]
    default = beacon.records(whole, "open")["ZZ:open"]
    assert len(default["results"]) == 10
    unfiltered = beacon.records({}, "open", pagination={"limit": 0})["ZZ:open"]
    assert unfiltered["resultsCount"] == sum(v.counts(cohort.everybody)[1] > 0 for v in cohort.variants)
    assert unfiltered["results"][-1]["variantInternalId"] == "GRCh37-X-50000001-T-C"


def test_a_variants_id_is_stable_and_found_again(beacon: Any) -> None:
    asked = {**PLACE, "start": [50_313_358], "end": [50_313_610]}
    for record in beacon.records(asked, "floored")["ZZ:floored"]["results"]:
        again = beacon.get(f"/g_variants/{record['variantInternalId']}", datasetIds="floored").json()
        assert again["response"]["resultSets"][0]["results"] == [record]


def test_the_portals_filters_choose_rows(beacon: Any) -> None:
    filters = [
        {"id": "sexFilter", "operator": "=", "value": "F", "scope": "population"},
        {"id": "countryFilter", "operator": "=", "value": "FIN", "scope": "population"},
    ]
    asked = {**PLACE, "start": [50_313_358], "referenceBases": "G", "alternateBases": "A"}
    rows = frequencies(beacon.records(asked, "open", filters=filters)["ZZ:open"])
    assert next(iter(rows)) == "Total"
    assert "FIN_F" in rows
    assert not {"M", "SWE", "SWE_F"} & set(rows)
    refused = beacon.post("/g_variants", asked, filters=[{"id": "age", "operator": "=", "value": "5", "scope": "population"}])
    assert refused.status_code == 400
    nobody = beacon.records(asked, "open", filters=[{**filters[1], "value": "LU"}])["ZZ:open"]
    assert (nobody["exists"], nobody["info"]["status"]) == (False, "empty")


@pytest.mark.parametrize(
    "wrong",
    [
        {"referenceName": "22", "start": [5]},
        {"referenceName": "22", "start": [5], "alternateBases": "A"},
        {"assemblyId": "GRCh37", "start": [5], "alternateBases": "A"},
        {"assemblyId": "GRCh36", "referenceName": "22"},
        {"assemblyId": "GRCh38", "referenceName": "NC_000022.10"},
        {**PLACE, "referenceName": "23"},
        {**PLACE, "start": [5]},
        {**PLACE, "end": [5]},
        {**PLACE, "start": [5], "end": [5]},
        {**PLACE, "start": [5, 6], "end": [7]},
        {**PLACE, "start": [6, 5], "end": [7, 8]},
        {**PLACE, "start": [1, 2, 3]},
        {**PLACE, "start": [-1], "end": [5]},
        {**PLACE, "start": [1.5], "end": [5]},
        {**PLACE, "start": [True], "end": [5]},
        {**PLACE, "start": [51_304_567], "end": [51_304_568]},
        {**PLACE, "start": [5], "end": [9], "referenceBases": "A", "alternateBases": "T"},
        {**PLACE, "start": [5], "referenceBases": "A", "alternateBases": "A"},
        {**PLACE, "start": [5], "referenceBases": "A", "alternateBases": "-"},
        {**PLACE, "start": [5], "referenceBases": "R", "alternateBases": "A"},
        {**PLACE, "start": [5], "end": [9], "variantType": "TRANSLOCATION"},
        {**PLACE, "start": [5], "end": [9], "variantMinLength": 9, "variantMaxLength": 2},
        {**PLACE, "aminoacidChange": "600"},
        {**PLACE, "genomicAlleleShortForm": "NC_000022.10:g.50313359G>A"},
        {"genomicAlleleShortForm": "V600E"},
        {"genomicAlleleShortForm": "NC_000022.10:g.50313359G>A", "assemblyId": "GRCh38"},
        {"mateName": "chr2"},
        {**PLACE, "mateName": "chr99"},
        {**PLACE, "strand": "+"},
        {"geneId": "CRELD2", "start": [5]},
        {"geneId": 5},
        {**PLACE, "datasetIds": ["elsewhere"]},
        {**PLACE, "datasetIds": [5]},
        {"individual": {"sex": "F"}},
    ],
)
def test_what_is_not_understood_is_refused_and_never_no_hit(beacon: Any, wrong: dict[str, object]) -> None:
    for answer in (beacon.post("/g_variants", wrong), beacon.post("/g_variants", wrong, nested=True)):
        assert answer.status_code == 400
        assert answer.json()["error"]["errorMessage"]


@pytest.mark.parametrize(
    "query",
    [
        {"pagination": {"limit": -1}},
        {"pagination": {"skip": "1"}},
        {"pagination": {"nextPage": "abc"}},
        {"requestedGranularity": "aggregated"},
        {"includeResultsetResponses": "SOME"},
        {"filters": {"id": "x"}},
        {"filters": [{"id": "HP:0001250", "similarity": "near"}]},
        {"filters": [{"id": "HP:0001250", "includeDescendantTerms": "yes"}]},
        {"filters": [{"value": "x"}]},
        {"surprise": 1},
        {"testMode": "yes"},
    ],
)
def test_malformed_queries_are_refused(beacon: Any, query: dict[str, object]) -> None:
    for path in ("/g_variants", "/individuals"):
        assert beacon.post(path, None, **query).status_code == 400


def test_get_takes_lists_in_both_spellings_and_refuses_unknown_names(beacon: Any) -> None:
    bracket = {**PLACE, "requestedGranularity": "count", "datasetIds": "open"}
    joined = beacon.get("/g_variants", start="50313300,50313360", end="50313300,50313360", **bracket).json()
    repeated = beacon.client.get(
        "/g_variants",
        params=[*bracket.items(), ("start", "50313300"), ("start", "50313360"), ("end", "50313300"), ("end", "50313360")],
    ).json()
    assert joined["responseSummary"] == repeated["responseSummary"] == {"exists": True, "numTotalResults": 1}
    assert beacon.get("/g_variants", surprise="x").status_code == 400
    assert beacon.get("/g_variants", allele="x").status_code == 400
    assert beacon.client.get("/g_variants?assemblyId=GRCh37&assemblyId=GRCh38").status_code == 400
    assert beacon.client.get("/g_variants?referenceName=%ff").status_code == 400


def test_granularity_may_stand_beside_the_query(beacon: Any) -> None:
    parameters = {**PLACE, "start": [50_313_358], "referenceBases": "G", "alternateBases": "A"}
    body = {"query": {"requestParameters": parameters}, "requestedGranularity": "count", "pagination": {"limit": 3}}
    answer = beacon.client.post("/g_variants", json=body).json()
    assert answer["meta"]["returnedGranularity"] == "count"
    assert answer["meta"]["receivedRequestSummary"]["pagination"] == {"skip": 0, "limit": 3}
    assert answer["meta"]["receivedRequestSummary"]["requestParameters"] == {"g_variant": parameters}
