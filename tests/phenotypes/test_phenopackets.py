"""Phenopackets: counts against a naive count over the JSON, what is kept of a full packet, and what is refused."""

from __future__ import annotations

import gzip
import json
import os
import random
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cohelix.core.errors import BadFile
from cohelix.core.genome import Assembly
from cohelix.phenotypes import read_people
from cohelix.phenotypes.documents import SEX_TERMS
from validation.conformance.schemas import Schemas

SHARED = Path(os.environ.get("COHELIX_SHARED", Path(__file__).parents[2].parent / "shared"))
STORE = SHARED / "data" / "phenopackets"
BEACON = SHARED / "vectors" / "beacon-v2-schemas"
HUNDRED = SHARED / "vectors" / "phenopackets" / "store"


def term(code, label=""):
    return {"id": code, "label": label or code}


def packet(name="packet.1", subject="P1", **more):
    return {
        "id": name,
        "subject": {"id": subject, "sex": "FEMALE"},
        "metaData": {"created": "2024-01-01T00:00:00Z", "phenopacketSchemaVersion": "2.0"},
        **more,
    }


FULL = packet(
    subject="P1",
    phenotypicFeatures=[
        {"type": term("HP:0001250"), "onset": {"age": {"iso8601duration": "P3Y6M"}}, "severity": term("HP:0012828")},
        {"type": term("HP:0001263"), "excluded": True},
        {"type": term("HP:0000252"), "modifiers": [term("HP:0012834")], "onset": {"timestamp": "2021-04-23"}},
    ],
    diseases=[
        {
            "term": term("NCIT:C4872"),
            "onset": {"ageRange": {"start": {"iso8601duration": "P50Y"}, "end": {"iso8601duration": "P55Y"}}},
            "diseaseStage": [term("NCIT:C27971")],
            "clinicalTnmFinding": [term("NCIT:C48724")],
        },
        {"term": term("OMIM:114480"), "excluded": True},
    ],
    measurements=[
        {
            "assay": term("LOINC:26515-7"),
            "value": {"quantity": {"unit": term("UCUM:10*3/uL"), "value": value}},
            "timeObserved": {"age": {"iso8601duration": f"P{age}Y"}},
        }
        for value, age in ((300, 52), (120.5, 51))
    ],
    biosamples=[
        {"id": "blood", "sampledTissue": term("UBERON:0000178", "blood"), "sampleType": term("OBI:0000655")},
        {
            "id": "tumour",
            "individualId": "P1",
            "sampledTissue": term("UBERON:0000310", "breast"),
            "histologicalDiagnosis": term("NCIT:C4194", "Invasive Ductal Carcinoma"),
            "tumorGrade": term("NCIT:C36136"),
            "pathologicalStage": term("NCIT:C27971"),
            "pathologicalTnmFinding": [term("NCIT:C48725")],
            "timeOfCollection": {"timestamp": "2021-04-23"},
            "derivedFromId": "blood",
        },
    ],
    medicalActions=[
        {
            "treatment": {
                "agent": term("DrugCentral:1610"),
                "routeOfAdministration": term("NCIT:C38288"),
                "doseIntervals": [
                    {
                        "quantity": {"unit": term("UCUM:mg"), "value": 30},
                        "scheduleFrequency": term("NCIT:C64496"),
                        "interval": {"start": "2020-03-15T00:00:00Z", "end": "2020-03-25T00:00:00Z"},
                    }
                ],
            },
            "treatmentIntent": term("NCIT:C62220"),
        },
        {"procedure": {"code": term("NCIT:C15195"), "performed": {"age": {"iso8601duration": "P52Y"}}}},
        {"radiationTherapy": {"modality": term("NCIT:C28039"), "bodySite": term("UBERON:0000310"), "fractions": 5}},
    ],
    interpretations=[
        {
            "id": "i",
            "progressStatus": "SOLVED",
            "diagnosis": {
                "disease": term("NCIT:C4872"),
                "genomicInterpretations": [
                    {
                        "subjectOrBiosampleId": of,
                        "interpretationStatus": status,
                        "variantInterpretation": {
                            "acmgPathogenicityClassification": "LIKELY_PATHOGENIC",
                            "variationDescriptor": {
                                "id": "v",
                                "geneContext": {"valueId": "HGNC:1100", "symbol": gene},
                                "expressions": [{"syntax": "hgvs.c", "value": "NM_007294.4:c.1A>G"}],
                                "vcfRecord": {
                                    "genomeAssembly": build, "chrom": "chr17", "pos": "43124096", "ref": "t", "alt": "C"
                                },
                                "allelicState": term("GENO:0000135"),
                                "extensions": [{"name": "mosaicism", "value": "40.0%"}],
                            },
                        },
                    }
                    for of, status, gene, build in (
                        ("P1", "CAUSATIVE", "BRCA1", "GRCh38"),
                        ("tumour", "REJECTED", "TP53", "hg38"),
                        ("blood", "CANDIDATE", "ATM", "hg19"),
                    )
                ],
            },
        }
    ],
)  # fmt: skip


def write(tmp_path, *packets, name="people.ndjson"):
    path = tmp_path / name
    data = b"\n".join(orjson.dumps(item) if isinstance(item, dict) else item for item in packets)
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def read(tmp_path, *packets, name="people.ndjson", **options):
    return read_people([write(tmp_path, *packets, name=name)], assembly=Assembly.GRCH38, year=2026, **options)


def counts(people, kind):
    return {found.term.code: len(found.people) for found in people.terms if found.term.kind == kind}


@pytest.fixture(scope="module")
def everybody():
    if not STORE.is_dir():
        pytest.skip("the phenopacket store (real data) is not here")
    return read_people([STORE], assembly=Assembly.GRCH38, year=2026)


@pytest.fixture(scope="module")
def documents():
    with gzip.open(STORE / "phenopackets.ndjson.gz") as lines:
        return [json.loads(line) for line in lines]


class TestAllOfTheStore:
    def test_every_packet_is_a_person(self, everybody, documents):
        people = everybody.people
        assert len(people) == len(documents) == 8_008
        assert people.individual_ids == tuple(item["id"] for item in documents)
        assert "subject ids" in everybody.warnings[0]
        words = Counter(item["subject"].get("sex") for item in documents)
        assert Counter(people.sex.tolist()) == {1: words["MALE"], 2: words["FEMALE"], 0: words["UNKNOWN_SEX"] + words[None]}

    def test_counts_per_disease_gene_and_hpo_term(self, everybody, documents):
        naive = defaultdict(lambda: defaultdict(set))
        for number, item in enumerate(documents):
            for disease in item["diseases"]:
                naive["disease"][disease["term"]["id"]].add(number)
            for feature in item.get("phenotypicFeatures", []):
                kind = "excluded_phenotype" if feature.get("excluded") else "phenotype"
                naive[kind][feature["type"]["id"]].add(number)
            for interpretation in item["interpretations"]:
                for genomic in interpretation["diagnosis"]["genomicInterpretations"]:
                    gene = genomic["variantInterpretation"]["variationDescriptor"]["geneContext"]["symbol"]
                    naive["gene"][gene].add(number)
        for kind, codes in naive.items():
            assert counts(everybody.people, kind) == {code: len(whom) for code, whom in codes.items()}

    def test_excluded_features_are_never_present(self, everybody, documents):
        present = {(found.term.code, who) for found in everybody.people.terms if found.term.kind == "phenotype" for who in found.people.tolist()}  # fmt: skip  # noqa: E501
        excluded = {
            (feature["type"]["id"], number)
            for number, item in enumerate(documents)
            for feature in item.get("phenotypicFeatures", [])
            if feature.get("excluded")
        }
        assert len(excluded) > 90_000
        assert not present & excluded

    def test_variants_are_those_of_the_records(self, everybody, documents):
        naive = Counter()
        for item in documents:
            for genomic in item["interpretations"][0]["diagnosis"]["genomicInterpretations"]:
                described = genomic["variantInterpretation"]["variationDescriptor"]
                record = described.get("vcfRecord")
                place = (
                    (record["chrom"][3:], int(record["pos"]) - 1, record["ref"], record["alt"]) if record else ("", 0, "", "")
                )
                naive[item["id"], *place, described["allelicState"]["label"], described["geneContext"]["symbol"]] += 1
        calls = everybody.reported
        assert Counter((c.biosample, c.contig, c.position_0, c.ref, c.alt, c.zygosity, c.gene) for c in calls) == naive
        assert {call.biosample for call in calls} <= {*everybody.people.biosample_ids}

    def test_all_documents_are_of_beacons_schemas(self, everybody):
        schemas, seen = Schemas(BEACON), set()
        people = everybody.people
        for name, text in zip(people.individual_ids, people.documents.individuals, strict=True):
            document = orjson.loads(text)
            assert document["id"] == name
            # What was found valid before is so again, whatever the feature is called.
            for field, value in document.items():
                if isinstance(value, list):
                    parts = {orjson.dumps([field, {**part, "featureType": None}]): part for part in value}
                    document[field] = [part for key, part in parts.items() if key not in seen]
                    seen |= parts.keys()
            if any(value for value in document.values() if isinstance(value, list)) or len(seen) < 1_000:
                assert schemas.record_faults(document, "individual") == []
            assert document["sex"] in SEX_TERMS.values()
        for text in {text.split(b",", 2)[2] for text in people.documents.biosamples}:
            assert schemas.record_faults({"id": "x", **orjson.loads(b"{" + text)}, "biosample") == []

    def test_completeness_is_counted_over_the_packets(self, everybody, documents):
        complete = everybody.completeness
        onsets = sum("onset" in disease for item in documents for disease in item["diseases"])
        assert complete.get("Diagnosis", "date")[3:] == (onsets, 8_008)
        assert complete.get("Subject", "birth date")[3:] == (0, 8_008)
        assert complete.get("Variant", "HGVS").known == sum(bool(call.hgvs) for call in everybody.reported)
        assert complete.get("Sample", "organism").of == 0  # nobody's sample is described


def test_a_folder_of_files_equals_their_lines(tmp_path):
    if not HUNDRED.is_dir():
        pytest.skip("the hundred packets (real data) are not here")
    files = sorted(HUNDRED.glob("*.json"))
    lines = [orjson.dumps(orjson.loads(file.read_bytes())) for file in files]
    by_file = read_people([HUNDRED], assembly=Assembly.GRCH38)
    by_line = read(tmp_path, *lines, name="all.jsonl.gz")
    as_array = read(tmp_path, b"[\n" + b",\n".join(lines) + b"\n]", name="all.json")
    for other in (by_line, as_array):
        assert other.people.individual_ids == by_file.people.individual_ids
        assert counts(other.people, "phenotype") == counts(by_file.people, "phenotype")
        assert [call.hgvs for call in other.reported] == [call.hgvs for call in by_file.reported]


class TestAFullPacket:
    def test_its_terms(self, tmp_path):
        people = read(tmp_path, FULL).people
        found = {(item.term.kind, item.term.code): item.people.tolist() for item in people.terms}
        blood, tumour = 0, 1
        assert found == {
            ("phenotype", "HP:0001250"): [0],
            ("phenotype", "HP:0000252"): [0],
            ("excluded_phenotype", "HP:0001263"): [0],
            ("disease", "NCIT:C4872"): [0],
            ("excluded_disease", "OMIM:114480"): [0],
            ("disease_stage", "NCIT:C27971"): [0],
            ("disease_stage", "NCIT:C48724"): [0],
            ("treatment", "DrugCentral:1610"): [0],
            ("treatment", "NCIT:C28039"): [0],
            ("procedure", "NCIT:C15195"): [0],
            ("gene", "BRCA1"): [0],
            ("gene", "ATM"): [0],  # the rejected variant's gene is no finding
            ("tissue", "UBERON:0000178"): [blood],
            ("sample_type", "OBI:0000655"): [blood],
            ("tissue", "UBERON:0000310"): [tumour],
            ("histology", "NCIT:C4194"): [tumour],
            ("tumour_grade", "NCIT:C36136"): [tumour],
            ("tumour_stage", "NCIT:C27971"): [tumour],
            ("tumour_stage", "NCIT:C48725"): [tumour],
        }
        assert people.biosample_ids == ("blood", "tumour")
        assert people.germline.tolist() == [True, False]
        assert [(item.name, item.unit, item.values.tolist()) for item in people.measurements] == [
            ("LOINC:26515-7", "10*3/uL", [300.0])  # the later one
        ]

    def test_its_variants(self, tmp_path):
        reading = read(tmp_path, FULL)
        first, second, third = reading.reported
        assert (first.biosample, first.origin, first.contig, first.position_0, first.ref, first.alt) == (
            *("blood", "germline", "17", 43_124_095), "T", "C",
        )  # fmt: skip
        assert (first.significance, first.zygosity, first.allele_fraction) == ("Likely pathogenic", "heterozygous", 0.4)
        assert (second.biosample, second.origin) == ("tumour", "somatic")
        assert (third.contig, third.hgvs) == ("", ("NM_007294.4:c.1A>G",))  # of the other build: no place
        assert "1 variants are of another assembly" in reading.warnings[0]

    def test_its_documents(self, tmp_path):
        if not BEACON.is_dir():
            pytest.skip("Beacon's schemas are not here")
        schemas, people = Schemas(BEACON), read(tmp_path, FULL).people
        individual = orjson.loads(people.documents.individuals[0])
        assert schemas.record_faults(individual, "individual") == []
        assert [item["diseaseCode"]["id"] for item in individual["diseases"]] == ["NCIT:C4872"]
        assert [item["diseaseCode"]["id"] for item in individual["info"]["excludedDiseases"]] == ["OMIM:114480"]
        assert individual["phenotypicFeatures"][1]["excluded"] is True
        assert individual["phenotypicFeatures"][0]["onset"] == {"iso8601duration": "P3Y6M"}
        for text in people.documents.biosamples:
            assert schemas.record_faults(orjson.loads(text), "biosample") == []
        assert orjson.loads(people.documents.biosamples[1])["collectionDate"] == "2021-04-23"

    def test_its_completeness(self, tmp_path):
        complete = read(tmp_path, FULL).completeness
        assert complete.get("Sample", "pathological state")[3:] == (1, 2)
        assert complete.get("Treatment", "intent")[3:] == (1, 3)
        assert complete.get("Sample relation", "related sample")[3:] == (1, 1)


def test_families_bring_everybody_and_their_pedigree(tmp_path):
    disease = [{"term": term("OMIM:154700")}]
    family = {
        "id": "F1",
        "proband": packet("p", "CHILD", diseases=disease),
        "relatives": [packet("m", "MOTHER")],
        "pedigree": {
            "persons": [
                {"individualId": "CHILD", "paternalId": "FATHER", "maternalId": "MOTHER", "affectedStatus": "AFFECTED"},
                {"individualId": "MOTHER", "sex": "FEMALE", "affectedStatus": "UNAFFECTED"},
                {"individualId": "FATHER", "sex": "MALE", "affectedStatus": "UNAFFECTED"},
            ]
        },
        "metaData": {"phenopacketSchemaVersion": "2.0"},
    }
    people = read(tmp_path, family, name="family.json").people
    assert people.individual_ids == ("CHILD", "MOTHER")
    shown = orjson.loads(people.documents.individuals[1])["pedigrees"][0]
    assert [member["role"]["label"] for member in shown["members"]] == ["Proband", "Biological Mother", "Biological Father"]
    if BEACON.is_dir():
        assert Schemas(BEACON).record_faults(orjson.loads(people.documents.individuals[0]), "individual") == []


def test_both_spellings_of_names_are_read(tmp_path):
    snake = packet(phenotypic_features=[{"type": term("HP:0001250"), "excluded": True}])
    snake["meta_data"] = {"phenopacket_schema_version": "2.0"}
    del snake["metaData"]
    assert counts(read(tmp_path, snake).people, "excluded_phenotype") == {"HP:0001250": 1}


def test_who_is_whom(tmp_path):
    two = packet("a", "Patient 1"), packet("b", "Patient 1")
    assert read(tmp_path, *two).people.individual_ids == ("a", "b")
    assert read(tmp_path, packet("a", "X"), packet("b", "Y")).people.individual_ids == ("X", "Y")
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text("person: packet\n")
    assert read(tmp_path, packet("a", "X"), mapping=mapping).people.individual_ids == ("a",)
    mapping.write_text("person: subject\n")
    with pytest.raises(BadFile, match=r"line 2.*Patient 1"):
        read(tmp_path, *two, mapping=mapping)
    again = read(tmp_path, packet("a"), packet("a"))
    assert (len(again.people), again.n_repeated_rows) == (1, 1)
    samples = read(tmp_path, packet("a", "X", biosamples=[{"id": "s"}]), packet("b", "Y", biosamples=[{"id": "s"}]))
    assert samples.people.biosample_ids == ("X/s", "Y/s")


def test_unknown_fields_are_told(tmp_path):
    reading = read(tmp_path, packet(mood="good", phenotypicFeatures=[{"type": term("HP:0001250"), "colour": 1}] * 2))
    assert {*reading.columns_not_taken} == {"$.mood (1 times)", "$.phenotypicFeatures[].colour (2 times)"}


REFUSED = {
    "no id": ({**packet(), "id": ""}, "$.id"),
    "no subject": ({"id": "x"}, "$.subject"),
    "no subject id": ({"id": "x", "subject": {"sex": "MALE"}}, "$.subject.id"),
    "sex": (packet(subject="x") | {"subject": {"id": "x", "sex": "male"}}, "$.subject.sex"),
    "mouse": (packet() | {"subject": {"id": "x", "taxonomy": term("NCBITaxon:10090")}}, "$.subject.taxonomy.id"),
    "birth": (packet() | {"subject": {"id": "x", "dateOfBirth": "3021-01-01"}}, "$.subject.dateOfBirth"),
    "version 1": (packet(metaData={"phenopacketSchemaVersion": "1.0.0"}), "$.metaData.phenopacketSchemaVersion"),
    "negated": (packet(phenotypicFeatures=[{"type": term("HP:0000001"), "negated": True}]), "$"),
    "features": (packet(phenotypicFeatures={"type": {}}), "$.phenotypicFeatures"),
    "feature": (packet(phenotypicFeatures=["HP:0000001"]), "$.phenotypicFeatures[0]"),
    "no type": (packet(phenotypicFeatures=[{}]), "$.phenotypicFeatures[0].type"),
    "code": (packet(phenotypicFeatures=[{"type": {"id": "seizure"}}]), "$.phenotypicFeatures[0].type.id"),
    "excluded": (packet(phenotypicFeatures=[{"type": term("HP:1"), "excluded": "no"}]), "$.phenotypicFeatures[0].excluded"),
    "age": (
        packet(phenotypicFeatures=[{"type": term("HP:0000001"), "onset": {"age": {"iso8601duration": "3 years"}}}]),
        "$.phenotypicFeatures[0].onset.age.iso8601duration",
    ),
    "measurement": (packet(measurements=[{"assay": term("LOINC:1-1")}]), "$.measurements[0].value"),
    "unit": (
        packet(measurements=[{"assay": term("LOINC:1-1"), "value": {"quantity": {"value": 1}}}]),
        "$.measurements[0].value.quantity.unit",
    ),
    "biosample twice": (packet(biosamples=[{"id": "s"}, {"id": "s"}]), "$.biosamples[1].id"),
    "another's biosample": (packet(biosamples=[{"id": "s", "individualId": "Q"}]), "$.biosamples[0].individualId"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_malformed_packets(tmp_path, name):
    document, path = REFUSED[name]
    with pytest.raises(BadFile) as refusal:
        read(tmp_path, packet("good", "good"), document)
    assert refusal.value.place.startswith("line 2")
    assert refusal.value.place.endswith(f", {path}")
    assert refusal.value.expected


@pytest.mark.parametrize(
    ("field", "value"),
    [("chrom", "chr99"), ("pos", 0), ("pos", 1 << 40), ("pos", "12x"), ("ref", "-"), ("alt", "del"), ("genomeAssembly", "")],
)
def test_malformed_variants(tmp_path, field, value):
    document = json.loads(json.dumps(FULL))
    genomic = document["interpretations"][0]["diagnosis"]["genomicInterpretations"][0]
    genomic["variantInterpretation"]["variationDescriptor"]["vcfRecord"][field] = value
    with pytest.raises(BadFile, match=rf"genomicInterpretations\[0\].*vcfRecord\.{field}"):
        read(tmp_path, document)


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"id": 1}\n{', b"[]", b"[[1]]", b"null", b"\xff\xfe{}", b'{"id": NaN}', b"[" * 5000]
)
def test_not_phenopackets(tmp_path, content):
    for name in ("x.json", "x.ndjson"):
        with pytest.raises(BadFile) as refusal:
            read(tmp_path, content, name=name)
        assert refusal.value.expected


def test_a_packet_that_says_something_else_under_the_same_id(tmp_path):
    with pytest.raises(BadFile, match=r"another content in .*line 1"):
        read(tmp_path, packet("a", "X"), packet("a", "Y"))


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 4))
def test_damaged_packets_are_read_or_refused(tmp_path_factory, seed, n):
    rng, document = random.Random(seed), json.loads(json.dumps(FULL))
    for _ in range(n):
        node = document
        while True:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            if not keys:
                break
            key = rng.choice(keys)
            if isinstance(node[key], dict | list) and rng.random() < 0.8:
                node = node[key]
                continue
            node[key] = rng.choice([None, "", 0, -1, 1e308, True, [], {}, [None], {"id": []}, "HP:0000001", "x" * 300])
            break
    try:
        reading = read(tmp_path_factory.mktemp("damaged"), document)
    except BadFile as refusal:
        assert "line 1" in refusal.place
    else:
        assert len(reading.people) == len(reading.people.documents.individuals) == 1
        assert np.isfinite([value for item in reading.people.measurements for value in item.values]).all()
