"""People from phenopackets (GA4GH Phenopackets v2): a folder of JSON files, one file, or one packet a line."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal, NamedTuple

import orjson

from cohelix.core.errors import BadFile
from cohelix.core.genome import Assembly
from cohelix.core.reported import ReportedCall
from cohelix.phenotypes.actions import medical_actions
from cohelix.phenotypes.completeness import Tally, completeness
from cohelix.phenotypes.consents import EXPECTED as SCOPES_EXPECTED
from cohelix.phenotypes.consents import REFERENCE, Scope, agreed
from cohelix.phenotypes.documents import (
    NEOPLASTIC_SAMPLE,
    REFERENCE_SAMPLE,
    SEX_TERMS,
    SPECIMEN,
    VITAL_STATUS,
    Json,
    Place,
    diseases,
    features,
    measurements,
    procedure,
    term,
    terms,
    time,
    years,
)
from cohelix.phenotypes.individual import PeopleBuilder, Reading, known_columns
from cohelix.phenotypes.interpretations import Variant, interpretations
from cohelix.phenotypes.model import Documents, SexCode
from cohelix.phenotypes.ontology import Ontologies
from cohelix.phenotypes.packet_files import EXPECTED, packet_documents
from cohelix.phenotypes.pedigree import pedigree

PersonIs = Literal["subject", "packet"]
_PACKETS_MAX = 2_000_000
_ID_LENGTH_MAX = 256
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PACKET = frozenset(
    {
        *("id", "subject", "phenotypicFeatures", "measurements", "biosamples", "interpretations", "diseases"),
        *("medicalActions", "files", "metaData"),
    }
)
_FAMILY = frozenset({"id", "proband", "relatives", "consanguinousParents", "pedigree", "files", "metaData"})
_COHORT = frozenset({"id", "description", "members", "files", "metaData"})
_META = frozenset(
    {"created", "createdBy", "submittedBy", "resources", "updates", "phenopacketSchemaVersion", "externalReferences"}
)
_SUBJECT = frozenset(
    {
        *("id", "alternateIds", "dateOfBirth", "timeAtLastEncounter", "vitalStatus", "sex", "karyotypicSex"),
        *("gender", "taxonomy"),
    }
)
_VITAL = frozenset({"status", "timeOfDeath", "causeOfDeath", "survivalTimeInDays"})
_BIOSAMPLE = frozenset(
    {
        *("id", "individualId", "derivedFromId", "description", "sampledTissue", "sampleType", "phenotypicFeatures"),
        *("measurements", "taxonomy", "timeOfCollection", "histologicalDiagnosis", "tumorProgression", "tumorGrade"),
        *("pathologicalStage", "pathologicalTnmFinding", "diagnosticMarkers", "procedure", "files", "materialSample"),
        *("sampleProcessing", "sampleStorage"),
    }
)
_SEXES = {
    "UNKNOWN_SEX": SexCode.UNKNOWN,
    "FEMALE": SexCode.FEMALE,
    "MALE": SexCode.MALE,
    "OTHER_SEX": SexCode.UNKNOWN,
}
# Three X are counted out: as a word they would mark unfinished text.
_KARYOTYPES = (*("UNKNOWN_KARYOTYPE", "XX", "XY", "XO", "XXY", 3 * "X", "XXYY", "XXXY", "XXXX", "XYY", "OTHER_KARYOTYPE"),)
_HUMAN = "NCBITaxon:9606"
# EFO: abnormal, neoplastic, metastasis, primary tumour and recurrent tumour sample.
_TUMOUR_SAMPLES = frozenset({"EFO:0009655", "EFO:0009656", "EFO:0010941", "EFO:0010942", "EFO:0010943"})
_TUMOUR_WORDS = re.compile(
    r"neoplas|carcinoma|tumou?r|sarcoma|leuka?emia|lymphoma|melanoma|glioma|blastoma|metasta|myeloma|adenoma", re.IGNORECASE
)
_NO_TUMOUR = re.compile(r"\b(no|non|not|normal|negative|without|adjacent)\b", re.IGNORECASE)


def read_phenopackets(
    paths: Sequence[Path],
    *,
    person: PersonIs | None = None,
    ontologies: Ontologies | None = None,
    assembly: Assembly | None = None,
    year: int = 2100,
) -> Reading:
    """Read people from phenopackets, families and cohorts of them.

    Parameters
    ----------
    paths
        Files, by content: one JSON document (a packet, a family, a cohort or an array), or one packet a line.
    person
        What names a person node-wide: the subject's id, or the packet's. By default the subject's, unless two packets
        have subjects of the same id, as publications do ("Patient 1"): then the packet's for all (decision 0012).
    assembly
        The load's; a variant of another build comes without a place, and is counted in the warnings.
    year
        The present year: nobody was born after it.

    Raises
    ------
    BadFile
        Naming file, line or packet, JSON path, and what was expected.
    """
    reader = _Reader(PeopleBuilder(ontologies or Ontologies.none()), assembly, year)
    for path in paths:
        for place, document in packet_documents(path, reader.unknown):
            reader.take(place, document)
    if not reader.subjects:
        raise BadFile(", ".join(map(str, paths)), "", "no packet is in it", EXPECTED)
    return reader.reading(person)


class _Call(NamedTuple):
    biosample: int
    variant: Variant
    packet: str


class _Reader:
    """Puts packets together to people."""

    def __init__(self, builder: PeopleBuilder, assembly: Assembly | None, year: int) -> None:
        self.builder, self._assembly, self._year = builder, assembly, year
        self.unknown: Counter[str] = Counter()
        self.subjects: list[str] = []
        self._packets: dict[str, tuple[bytes, str, str]] = {}  # digest, place, file
        self._places: list[Place] = []
        self._individuals: list[bytes] = []
        self._biosamples: list[tuple[str | None, bytes]] = []  # None: none is given, the person stands for it
        self._calls: list[_Call] = []
        self._consents: dict[str, frozenset[Scope]] = {}
        self._tally = Tally()
        self._versions: Counter[str] = Counter()
        self.n_repeated = self.n_other_assembly = self.n_without_version = 0

    def take(self, place: Place, document: Any) -> None:
        """A packet, a family or a cohort."""
        if not isinstance(document, dict):
            raise place.refusal("$", "not a JSON object", EXPECTED)
        if "proband" in document and "subject" not in document:
            self._take_family(place, document)
        elif "members" in document and "subject" not in document:
            place.object(document, "$", _COHORT)
            for member, path in place.items(document, "members", "$", _PACKET):
                self._take_packet(place, member, path, document.get("metaData"), [])
        else:
            self._take_packet(place, document, "$", None, [])

    def _take_family(self, place: Place, family: Json) -> None:
        place.object(family, "$", _FAMILY)
        proband = place.object(family["proband"], "$.proband", _PACKET)
        found = diseases(place, proband, "$.proband")
        subject = place.object(proband.get("subject"), "$.proband.subject", _SUBJECT)
        present = [item for item in found if not item.get("excluded")]
        pedigrees = pedigree(place, family, str(subject.get("id", "")), present[0] if present else None)
        self._take_packet(place, proband, "$.proband", family.get("metaData"), pedigrees)
        for relative, path in place.items(family, "relatives", "$", _PACKET):
            self._take_packet(place, relative, path, family.get("metaData"), pedigrees)

    def _take_packet(self, place: Place, packet: Json, path: str, meta: Any, pedigrees: list[Json]) -> None:
        place.object(packet, path, _PACKET)
        packet_id = self._id(place, packet, path)
        at = f"{path}.subject"
        if not packet.get("subject"):
            raise place.refusal(at, "nothing is given", "the subject, with an id")
        subject = place.object(packet["subject"], at, _SUBJECT)
        subject_id = self._id(place, subject, at)
        self._check_version(place, packet.get("metaData") or meta, f"{path}.metaData")
        self._take_consent(place, packet, packet_id, f"{path}.metaData.externalReferences")
        digest = _digest(packet)
        before = self._packets.get(packet_id)
        if before is not None:
            if before[0] == digest:
                self.n_repeated += 1
                return
            raise place.refusal(
                f"{path}.id", f"{packet_id!r} has another content in {before[2]}, {before[1]}", "every packet id once"
            )
        if len(self._packets) >= _PACKETS_MAX:
            raise place.refusal(path, f"more than {_PACKETS_MAX} packets", "fewer packets in a load")
        self._packets[packet_id] = (digest, place.place, place.file)
        self._places.append(place)
        self._add(place, packet, path, subject=subject, subject_id=subject_id, pedigrees=pedigrees)

    def _take_consent(self, place: Place, packet: Json, packet_id: str, path: str) -> None:
        """What the person of a packet agrees to, of its own metadata; that of a family or cohort is about nobody alone."""
        meta = packet.get("metaData")
        references = meta.get("externalReferences") if isinstance(meta, dict) else None
        for one in references if isinstance(references, list) else ():
            if not isinstance(one, dict) or one.get("id") != REFERENCE:
                continue
            try:
                said = agreed(str(one.get("description", "")))
            except ValueError:
                raise place.refusal(path, f"{str(one['description'])[:40]!r} as {REFERENCE}", SCOPES_EXPECTED) from None
            if said is not None and self._consents.setdefault(packet_id, said) != said:
                raise place.refusal(path, f"{REFERENCE} contradicts what the packet says elsewhere", "one consent for a packet")

    def _add(self, place: Place, packet: Json, path: str, *, subject: Json, subject_id: str, pedigrees: list[Json]) -> None:
        builder, tally = self.builder, self._tally
        sex = _SEXES[place.word(subject, "sex", f"{path}.subject", tuple(_SEXES))]
        person = self.builder.add_person(sex, *self._birth_and_age(place, subject, f"{path}.subject"))
        self.subjects.append(subject_id)
        document: Json = {"sex": SEX_TERMS[sex]}
        info: Json = {"subjectId": subject_id, "phenopacketId": packet["id"].strip()}
        karyotype = place.word(subject, "karyotypicSex", f"{path}.subject", _KARYOTYPES)
        if karyotype != "UNKNOWN_KARYOTYPE":
            document["karyotypicSex"] = karyotype
        self._add_vital_status(place, subject, f"{path}.subject", person, info)
        for item in (found := features(place, packet, path)):
            given = item["featureType"]
            kind = "excluded_phenotype" if item.get("excluded") else "phenotype"
            builder.add_term(kind, given["id"], given.get("label", ""), person)  # type: ignore[arg-type]  # one of the two
        _put(document, "phenotypicFeatures", found)
        self._add_diseases(place, packet, path, person=person, document=document, info=info)
        self._add_measurements(measured := measurements(place, packet, path), person)
        _put(document, "measures", measured)
        medical_actions(place, packet, path, builder=builder, tally=tally, person=person, document=document)
        _put(document, "pedigrees", pedigrees)
        names = self._add_biosamples(place, packet, path, person, subject_id)
        read = interpretations(place, packet, path, self._assembly)
        present = {item["diseaseCode"]["id"] for item in document.get("diseases", ())}
        excluded = {item["diseaseCode"]["id"] for item in info.get("excludedDiseases", ())}
        for solved in read.diseases:
            if solved["id"] not in present | excluded:
                builder.add_term("disease", solved["id"], solved.get("label", ""), person)
                tally.add("Diagnosis")
                document.setdefault("diseases", []).append({"diseaseCode": solved})
        for gene in read.genes:
            builder.add_term("gene", gene, "", person)
        for variant in read.variants:
            self.n_other_assembly += variant.other_assembly
            number = names.get(variant.of)
            if number is None:
                if variant.of not in ("", subject_id):
                    where = f"{path}.interpretations"
                    raise place.refusal(
                        where, f"{variant.of!r} is neither the subject nor a biosample", "the id of one of them"
                    )
                number = self._germline_biosample(person, names)
            self._calls.append(_Call(number, variant, f"packet {info['phenopacketId']}"))
        _put(info, "interpretations", read.document)
        document["info"] = info
        self._individuals.append(orjson.dumps(document))

    def _birth_and_age(self, place: Place, subject: Json, at: str) -> tuple[int, float]:
        taxon = term(place, subject.get("taxonomy"), f"{at}.taxonomy")
        if taxon is not None and taxon["id"] != _HUMAN:
            raise place.refusal(f"{at}.taxonomy.id", f"{taxon['id']!r} is not a human being", _HUMAN)
        birth, age = -1, math.nan
        born = place.text(subject, "dateOfBirth", at)
        if born:
            found = re.match(r"(\d{4})-\d{2}-\d{2}", born)
            if not found or not 1850 <= int(found[1]) <= self._year:
                raise place.refusal(f"{at}.dateOfBirth", f"{born[:40]!r}", f"a date from 1850 to {self._year}")
            birth = int(found[1])
        last = time(place, subject.get("timeAtLastEncounter"), f"{at}.timeAtLastEncounter")
        if last:
            self._tally.known["Subject", "date of last follow-up"] += 1
            if "iso8601duration" in last:
                age = years(last["iso8601duration"])
        return birth, age

    def _add_vital_status(self, place: Place, subject: Json, at: str, person: int, info: Json) -> None:
        given = place.object(subject.get("vitalStatus"), f"{at}.vitalStatus", _VITAL)
        status = place.word(given, "status", f"{at}.vitalStatus", ("UNKNOWN_STATUS", *VITAL_STATUS))
        if status in VITAL_STATUS:
            self.builder.add_term("vital_status", VITAL_STATUS[status]["id"], VITAL_STATUS[status]["label"], person)
            shown: Json = {"status": VITAL_STATUS[status]}
            _put(shown, "timeOfDeath", time(place, given.get("timeOfDeath"), f"{at}.vitalStatus.timeOfDeath"))
            _put(shown, "causeOfDeath", term(place, given.get("causeOfDeath"), f"{at}.vitalStatus.causeOfDeath"))
            _put(shown, "survivalTimeInDays", place.whole(given, "survivalTimeInDays", f"{at}.vitalStatus"))
            info["vitalStatus"] = shown
        gender = term(place, subject.get("gender"), f"{at}.gender")
        _put(info, "gender", gender)

    def _add_diseases(self, place: Place, packet: Json, path: str, *, person: int, document: Json, info: Json) -> None:
        shown: list[Json] = []
        excluded: list[Json] = []
        for item in diseases(place, packet, path):
            code = item["diseaseCode"]
            absent = item.pop("excluded", False)
            (excluded if absent else shown).append(item)
            self.builder.add_term("excluded_disease" if absent else "disease", code["id"], code.get("label", ""), person)
            if absent:
                continue
            self._tally.add("Diagnosis", *(("date",) if "ageOfOnset" in item else ()))
            stages = item.get("stages") or ([item["stage"]] if "stage" in item else [])
            for stage in (*stages, *item.get("clinicalTnmFinding", ())):
                self.builder.add_term("disease_stage", stage["id"], stage.get("label", ""), person)
            if stages or "clinicalTnmFinding" in item:
                self._tally.add("TNM", "pathological or clinical", *(("stage",) if stages else ()))
        _put(document, "diseases", shown)
        # Beacon's schema of a disease has no word for "excluded": among the others it would read as diagnosed.
        _put(info, "excludedDiseases", excluded)

    def _add_measurements(self, found: list[Json], person: int) -> None:
        for item in found:
            value = item["measurementValue"]
            if "value" in value:
                unit = value["unit"]["id"]
                moment = item.get("observationMoment", {}).get("iso8601duration")
                self.builder.add_value(
                    item["assayCode"]["id"], unit.removeprefix("UCUM:"), person, value["value"], years(moment) if moment else -1
                )

    def _add_biosamples(self, place: Place, packet: Json, path: str, person: int, subject_id: str) -> dict[str, int]:
        """The packet's biosamples by their ids."""
        names: dict[str, int] = {}
        for item, at in place.items(packet, "biosamples", path, _BIOSAMPLE):
            name = self._id(place, item, at)
            owner = place.text(item, "individualId", at)
            if owner not in ("", subject_id):
                raise place.refusal(f"{at}.individualId", f"{owner!r} is not the subject", f"{subject_id!r} or nothing")
            if name in names:
                raise place.refusal(f"{at}.id", f"{name!r} comes twice", "every biosample once")
            names[name] = self._add_biosample(place, item, at, person, name)
        if not names:
            self._germline_biosample(person, names)
        return names

    def _add_biosample(self, place: Place, item: Json, at: str, person: int, name: str) -> int:
        parts = {
            field: term(place, item.get(field), f"{at}.{field}")
            for field in (
                *("sampledTissue", "sampleType", "histologicalDiagnosis", "tumorProgression", "tumorGrade"),
                *("pathologicalStage", "materialSample", "sampleProcessing", "sampleStorage", "taxonomy"),
            )
        }
        tnm = terms(place, item, "pathologicalTnmFinding", at)
        tumour = _is_tumour(parts, tnm)
        number = self.builder.add_biosample(person, germline=not tumour)
        for kind, found in (
            ("tissue", parts["sampledTissue"]),
            ("sample_type", parts["sampleType"]),
            ("histology", parts["histologicalDiagnosis"]),
            ("tumour_grade", parts["tumorGrade"]),
            ("tumour_stage", parts["pathologicalStage"]),
            *(("tumour_stage", finding) for finding in tnm),
        ):
            if found is not None:
                self.builder.add_term(kind, found["id"], found.get("label", ""), number)  # type: ignore[arg-type]
        document: Json = {
            "biosampleStatus": parts["materialSample"] or (NEOPLASTIC_SAMPLE if tumour else REFERENCE_SAMPLE),
            "sampleOriginType": SPECIMEN,
        }
        for ours, field in (
            ("sampleOriginDetail", "sampledTissue"),
            ("histologicalDiagnosis", "histologicalDiagnosis"),
            ("tumorProgression", "tumorProgression"),
            ("tumorGrade", "tumorGrade"),
            ("pathologicalStage", "pathologicalStage"),
            ("sampleProcessing", "sampleProcessing"),
            ("sampleStorage", "sampleStorage"),
        ):
            _put(document, ours, parts[field])
        _put(document, "pathologicalTnmFinding", tnm)
        _put(document, "diagnosticMarkers", terms(place, item, "diagnosticMarkers", at))
        _put(document, "phenotypicFeatures", features(place, item, at))
        _put(document, "measurements", measurements(place, item, at))
        _put(document, "obtentionProcedure", procedure(place, item.get("procedure"), f"{at}.procedure"))
        _put(document, "notes", place.text(item, "description", at))
        collected = time(place, item.get("timeOfCollection"), f"{at}.timeOfCollection") or {}
        if "iso8601duration" in collected:
            document["collectionMoment"] = collected["iso8601duration"]
        elif isinstance(collected.get("start"), str):
            document["collectionDate"] = collected["start"][:10]
        derived = place.text(item, "derivedFromId", at)
        info = {"sampleType": parts["sampleType"], "derivedFromId": derived}
        _put(document, "info", {field: value for field, value in info.items() if value})
        self._biosamples.append((name, orjson.dumps(document)))
        self._count_sample(parts, tumour=tumour, collected=bool(collected), derived=bool(derived), staged=bool(tnm))
        return number

    def _count_sample(
        self, parts: dict[str, Json | None], *, tumour: bool, collected: bool, derived: bool, staged: bool
    ) -> None:
        self._tally.add("Sample")
        for name, known in (
            ("pathological state", tumour or parts["materialSample"]),
            ("date", collected),
            ("extraction", parts["sampleProcessing"]),
            ("storage", parts["sampleStorage"]),
        ):
            self._tally.known["Sample", name] += bool(known)
        if derived:
            self._tally.add("Sample relation", "related sample", "relation type")
        if staged or parts["pathologicalStage"]:
            self._tally.add("TNM", "pathological or clinical", *(("stage",) if parts["pathologicalStage"] else ()))

    def _germline_biosample(self, person: int, names: dict[str, int]) -> int:
        """The person's first germline biosample; where none is given, one by the person's own id."""
        for number in names.values():
            if self.builder.germline[number]:
                return number
        number = self.builder.add_biosample(person, germline=True)
        self._biosamples.append((None, orjson.dumps({"biosampleStatus": REFERENCE_SAMPLE, "sampleOriginType": SPECIMEN})))
        names[""] = number
        return number

    def _check_version(self, place: Place, value: Any, path: str) -> None:
        meta = place.object(value, path, _META)
        version = place.text(meta, "phenopacketSchemaVersion", path)
        if not version:
            self.n_without_version += 1
        elif version.removeprefix("v").split(".")[0] != "2":
            raise place.refusal(f"{path}.phenopacketSchemaVersion", f"{version[:40]!r}", "version 2, 2.0 or 2.0.2")
        self._versions[version] += 1

    def _id(self, place: Place, parent: Json, path: str) -> str:
        text = place.text(parent, "id", path, required=True)
        if len(text) > _ID_LENGTH_MAX or _CONTROL.search(text):
            raise place.refusal(f"{path}.id", f"{text[:40]!r}", f"at most {_ID_LENGTH_MAX} printable characters")
        return text

    def reading(self, person: PersonIs | None) -> Reading:
        """Everything read, under the ids that are node-wide."""
        repeated = [name for name, times in Counter(self.subjects).items() if times > 1]
        packets = tuple(self._packets)
        if person == "subject" and repeated:
            number = max(index for index, name in enumerate(self.subjects) if name == repeated[0])
            raise self._places[number].refusal(
                "$.subject.id", f"{repeated[0]!r} is the subject of another packet too", "one packet for each subject"
            )
        by_packet = person == "packet" or (person is None and bool(repeated))
        individuals = packets if by_packet else tuple(self.subjects)
        owners = self.builder.biosample_person
        given = [name for name, _ in self._biosamples if name is not None]
        plain = len(set(given)) == len(given) and not {*given} & {
            individuals[owner] for owner, (name, _) in zip(owners, self._biosamples, strict=True) if name is None
        }
        biosamples = tuple(
            individuals[owner] if name is None else name if plain else f"{individuals[owner]}/{name}"
            for owner, (name, _) in zip(owners, self._biosamples, strict=True)
        )
        documents = Documents(
            [_with_ids(text, id=name) for name, text in zip(individuals, self._individuals, strict=True)],
            [
                _with_ids(text, id=name, individualId=individuals[owner])
                for name, owner, (_, text) in zip(biosamples, owners, self._biosamples, strict=True)
            ],
        )
        people = self.builder.people(individuals, biosamples, documents)
        reported = tuple(self._reported(call, biosamples[call.biosample]) for call in self._calls)
        warnings = self._warnings(repeated, by_packet=by_packet, plain=plain)
        self._tally.things["Sample"] += 0  # biosamples that stand for a person are none of the dataset's samples
        return Reading(
            people,
            len(packets) + self.n_repeated,
            self.n_repeated,
            tuple(f"{name} ({times:,} times)" for name, times in self.unknown.most_common()),
            known_columns(people),
            completeness(people, reported, self._tally),
            reported,
            "phenopackets",
            tuple(warnings),
            {
                name: self._consents[packet]
                for name, packet in zip(individuals, packets, strict=True)
                if packet in self._consents
            },
        )

    def _reported(self, call: _Call, biosample: str) -> ReportedCall:
        variant = call.variant
        return ReportedCall(
            biosample,
            variant.contig,
            variant.position_0,
            variant.ref,
            variant.alt,
            zygosity=variant.zygosity,
            origin="germline" if self.builder.germline[call.biosample] else "somatic",
            gene=variant.gene,
            hgvs=variant.hgvs,
            significance=variant.significance,
            allele_fraction=variant.allele_fraction,
            line=call.packet,
        )

    def _warnings(self, repeated: list[str], *, by_packet: bool, plain: bool) -> list[str]:
        found = []
        if repeated and by_packet:
            some = ", ".join(map(repr, repeated[:3]))
            found.append(
                f"{len(repeated):,} subject ids are those of several packets ({some}): every packet is a person of its own, "
                "and its id names the person"
            )
        if not plain:
            found.append("biosample ids are repeated between packets: each is preceded by its person's id and a slash")
        if self.n_other_assembly:
            found.append(
                f"{self.n_other_assembly:,} variants are of another assembly than {self._assembly}: taken with gene and HGVS, "
                "without a place"
            )
        if self.n_without_version:
            found.append(f"{self.n_without_version:,} packets do not say which version of the standard they are of; read as 2")
        if self.builder.n_present_and_excluded:
            found.append(f"{self.builder.n_present_and_excluded:,} codes are both present and excluded of one person: present")
        return found


def _is_tumour(parts: dict[str, Json | None], tnm: list[Json]) -> bool:
    """Whether a biosample is of a tumour; in doubt it is, as a tumour's calls must not count as germline."""
    material = parts["materialSample"]
    if material is not None and material["id"] in ("EFO:0009654", *_TUMOUR_SAMPLES):
        return str(material["id"]) != "EFO:0009654"
    if tnm or parts["tumorProgression"] or parts["tumorGrade"] or parts["pathologicalStage"]:
        return True
    for part in (parts["histologicalDiagnosis"], parts["sampleType"], material):
        label = part.get("label", "") if part else ""
        if (part and part["id"].upper().startswith("ICDO")) or (_TUMOUR_WORDS.search(label) and not _NO_TUMOUR.search(label)):
            return True
    return False


def _with_ids(text: bytes, **ids: str) -> bytes:
    """A JSON object with ids put in front."""
    return orjson.dumps(ids)[:-1] + b"," + text[1:]


def _digest(packet: Json) -> bytes:
    """What tells packets apart; who wrote them, when, and to which file, does not count."""
    content = {key: value for key, value in packet.items() if key != "metaData" and key[:1] != "_"}
    return blake2b(orjson.dumps(content, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()


def _put(document: Json, name: str, value: Any) -> None:
    if value:
        document[name] = value
