"""Consent that stands beside people's other data: in a column of their table, OMOP's too, in the metadata of phenopackets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cohelix.bank import consent
from cohelix.bank.consent import ConsentBook
from cohelix.bank.load import LoadRequest, load
from cohelix.bank.publish import open_current
from cohelix.core.errors import BadFile
from cohelix.core.genome import Assembly
from cohelix.core.ids import DatasetId
from cohelix.phenotypes import read_people
from cohelix.phenotypes.consents import SCOPES

_COHORT = DatasetId("d")
_SAID = {"P1": "frequencies;secondary-use", "P2": "ALL", "P3": "none", "P4": "", "P5": "individual_queries", "P6": "NA"}
_AGREED: dict[str, dict[str, bool]] = {
    "P1": {"frequencies": True, "individual-queries": False, "secondary-use": True},
    "P2": dict.fromkeys(SCOPES, True),
    "P3": dict.fromkeys(SCOPES, False),
    "P5": {"frequencies": False, "individual-queries": True, "secondary-use": False},
}


def _genotypes(folder: Path) -> Path:
    head = ["##fileformat=VCFv4.2", "##contig=<ID=22,length=51304566>", '##FORMAT=<ID=GT,Number=1,Type=String,Description="G">']
    columns = "\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *_SAID])
    path = folder / "d.vcf"
    path.write_text("\n".join([*head, columns, "22\t20000006\t.\tA\tG\t.\tPASS\t.\tGT" + "\t0/1" * len(_SAID)]) + "\n")
    return path


def _table(folder: Path, said: dict[str, str], column: str = "consent") -> Path:
    path = folder / "people.tsv"
    path.write_text(f"individual_id\tsex\t{column}\n" + "".join(f"{name}\tfemale\t{words}\n" for name, words in said.items()))
    return path


def _packets(folder: Path, said: dict[str, str]) -> Path:
    path = folder / "people.ndjson"
    packets = []
    for name, words in said.items():
        references = [{"id": "PMID:1"}, {"id": "cohelix:consent", "description": words}]
        meta = {"phenopacketSchemaVersion": "2.0", "externalReferences": references}
        packets.append({"id": f"packet-{name}", "subject": {"id": name, "sex": "FEMALE"}, "metaData": meta})
    path.write_text("\n".join(map(json.dumps, packets)) + "\n")
    return path


def _omop(folder: Path, said: dict[str, str], column: str = "consent") -> Path:
    omop = folder / "omop"
    omop.mkdir(exist_ok=True)
    rows = [f"{number},8532,1970,{name},{words}" for number, (name, words) in enumerate(said.items())]
    head = f"person_id,gender_concept_id,year_of_birth,person_source_value,{column}"
    (omop / "PERSON.csv").write_text("\n".join([head, *rows]) + "\n")
    (omop / "concept.csv").write_text("concept_id,concept_name,vocabulary_id,concept_code\n1,x,SNOMED,1\n")
    (folder / "ids.yaml").write_text("individual: person_source_value\n")
    return omop


def _load(folder: Path, people: Path, mode: consent.ConsentMode | None = None) -> Path:
    files = (_genotypes(folder),)
    request = LoadRequest(
        *(_COHORT, files, Assembly.GRCH37),
        disclosure="open",
        individuals=people,
        mapping=folder / "ids.yaml" if people.name == "omop" else None,
        consent=mode,
        quality="off",
        simulated=True,
    )
    load(folder / "node", request)
    return folder / "node"


@pytest.mark.parametrize("make", [_table, _packets, _omop])
def test_an_opt_in_dataset_takes_whom_the_files_name(tmp_path: Path, make: type) -> None:
    node = _load(tmp_path, make(tmp_path, {name: "" if words == "NA" else words for name, words in _SAID.items()}), "opt-in")
    assert ConsentBook(node).read().choices == _AGREED
    version = open_current(node, _COHORT)
    assert {scope: int(consent.agreed_columns(node, version, scope).sum()) for scope in SCOPES} == {
        "frequencies": 2,
        "individual-queries": 2,
        "secondary-use": 2,
    }


def test_what_was_said_at_the_node_goes_on_to_hold(tmp_path: Path) -> None:
    node = _load(tmp_path, _table(tmp_path, _SAID))
    assert ConsentBook(node).read().choices == _AGREED, "an opt-out dataset keeps what was said too"
    ConsentBook(node).change(["P2"], ["secondary-use"], given=False)
    _load(tmp_path, _table(tmp_path, _SAID | {"P4": "frequencies"}))
    choices = ConsentBook(node).read().choices
    assert choices["P2"] == {**_AGREED["P2"], "secondary-use": False}
    assert choices["P4"] == {"frequencies": True, "individual-queries": False, "secondary-use": False}


@pytest.mark.parametrize("word", ["yes please", "2019-04-01", "frequencies;research", "all;frequencies", "1"])
def test_other_words_are_refused_with_their_place(tmp_path: Path, word: str) -> None:
    with pytest.raises(BadFile, match="consent") as refused:
        _load(tmp_path, _table(tmp_path, _SAID | {"P4": word}))
    assert "line 5" in str(refused.value) and "frequencies" in str(refused.value)
    assert not (tmp_path / "node" / "consent").exists(), "nothing of a load that was refused stays"
    with pytest.raises(BadFile, match="consent") as refused:
        _load(tmp_path, _omop(tmp_path, _SAID | {"P4": word, "P6": ""}))
    assert "line 5" in str(refused.value) and "frequencies" in str(refused.value)
    with pytest.raises(BadFile, match="cohelix:consent"):
        read_people([_packets(tmp_path, _SAID | {"P4": word, "P6": ""})])


def test_rows_of_one_person_agree_and_a_mapping_names_the_column_or_leaves_it_out(tmp_path: Path) -> None:
    table = _table(tmp_path, {"P1": "all"})
    table.write_text(table.read_text() + "P1\tfemale\tnone\n")
    with pytest.raises(BadFile, match="contradicts"):
        read_people([table])
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text("consent: AGREED\n")
    assert read_people([_table(tmp_path, {"P1": "all"}, "AGREED")], mapping=mapping).consents == {"P1": frozenset(SCOPES)}
    ids = "individual: person_source_value\n"
    mapping.write_text(f"{ids}consent: Agreed\n")
    assert read_people([_omop(tmp_path, {"P1": "all"}, "AGREED")], mapping=mapping).consents == {"P1": frozenset(SCOPES)}
    mapping.write_text(f"{ids}ignore: [consent]\n")
    assert read_people([_omop(tmp_path, {"P1": "signed in 2019"})], mapping=mapping).consents == {}
    mapping.write_text("ignore: [consent]\n")
    assert read_people([_table(tmp_path, {"P1": "signed in 2019"})], mapping=mapping).consents == {}
