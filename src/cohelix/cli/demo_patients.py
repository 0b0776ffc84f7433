"""The demo's patients: loaded at two members each, and the questions of a clinician and of a cancer researcher.

The patients are simulated (`testing.patients`), marked so wherever they are shown, and in datasets of their own beside the
members' genotypes: no figure of the other journeys is about them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from cohelix.cli.demo_journeys import DemoFederation, Detail, expect
from cohelix.testing.patients import (
    FAB_CLASSES,
    FAB_PREFIX,
    Patient,
    Tumour,
    has_feature,
    simulate_patients,
    simulate_tumours,
    write_packets,
    write_tumours,
)

RARE: Final = "rare-disease"
LEUKAEMIA: Final = "leukaemia"
NOTE: Final = "Simulated: no such person exists."
PATIENTS, TUMOURS = 300, 120
GENE: Final = "STXBP1"
SEIZURE: Final = "HP:0001250"
MUTATED: Final = "FLT3"
_SEED: Final = 2026
_Held = TypeVar("_Held", Patient, Tumour)


def load_patients(federation: DemoFederation) -> Detail:
    """The first two members load patients with rare diseases, the two others leukaemias; their servers go on meanwhile."""
    jobs: list[tuple[str, str, Sequence[str]]] = []
    for node, patients in _patients(federation).items():
        packets = federation.folders[node].parent / f"{node}-patients.ndjson"
        write_packets(patients, packets, federation.shares.assembly, _SEED)
        jobs.append((node, RARE, ("--individuals", str(packets))))
    for node, tumours in _tumours(federation).items():
        folder = federation.folders[node].parent / f"{node}-tumours"
        folder.mkdir()
        mutations, clinical, mapping = write_tumours(tumours, folder, federation.shares.assembly, _SEED)
        more = ("--genotypes", str(mutations), "--individuals", str(clinical), "--mapping", str(mapping))
        jobs.append((node, LEUKAEMIA, more))

    def load(job: tuple[str, str, Sequence[str]]) -> None:
        node, dataset, more = job
        declared = ("--assembly", federation.assembly, "--disclosure", "open", "--simulated", "--open-release-note", NOTE)
        title = ("--title", "Simulated patients with rare diseases" if dataset == RARE else "Simulated leukaemias")
        words = ("node", "load", str(federation.folders[node]), "--dataset", dataset, *declared, *title, *more)
        federation.processes.run(f"load-{node}-{dataset}", *words)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(load, jobs))
    return {"datasets": [f"{node}:{dataset}" for node, dataset, _ in jobs], "simulated": True}


def rare_disease(federation: DemoFederation) -> Detail:
    """Who else has this gene and a seizure of whatever kind: counted at each bank, excluded features left out."""
    expected = {
        f"{node}:{RARE}": sum(patient.gene == GENE and has_feature(patient, SEIZURE) for patient in patients)
        for node, patients in _patients(federation).items()
    }
    found = _people(federation, GENE, SEIZURE)
    expect("patients", {name: found.get(name) for name in expected}, expected)
    return {"gene": GENE, "feature": SEIZURE, "people": expected, "try": _command(federation, GENE, SEIZURE)}


def cancer(federation: DemoFederation) -> Detail:
    """Carriers of a gene's somatic variants by class of leukaemia; the same place has no germline figure from them."""
    by_class: dict[str, int] = {}
    for fab in FAB_CLASSES:
        expected = {
            f"{node}:{LEUKAEMIA}": sum(MUTATED in tumour.genes and tumour.fab == fab for tumour in tumours)
            for node, tumours in _tumours(federation).items()
        }
        found = _people(federation, MUTATED, f"{FAB_PREFIX}{fab}")
        expect(f"carriers in {fab}", {name: found.get(name) for name in expected}, expected)
        by_class[fab] = sum(expected.values())
    answer = federation.client.frequency(str(federation.question.variant), assembly=federation.assembly)
    parts = {part.id: part.status for node in answer.nodes for part in node.datasets}
    expect("somatic datasets", {parts.get(name) for name in expected}, {"not_assessed"})
    return {"gene": MUTATED, "carriers": by_class, "try": _command(federation, MUTATED, f"{FAB_PREFIX}{FAB_CLASSES[-1]}")}


PATIENT_JOURNEYS: Final[tuple[tuple[str, Callable[[DemoFederation], Detail]], ...]] = (
    ("rare-disease", rare_disease),
    ("cancer", cancer),
)


def _people(federation: DemoFederation, gene: str, term: str) -> dict[str, int]:
    """How many people each dataset counts with the gene and the term, asked of the Beacon network."""
    asked = {"geneId": gene, "filters": term, "requestedGranularity": "count", "includeResultsetResponses": "ALL"}
    document: dict[str, Any] = federation.client.beacon("individuals", asked)
    return {one["id"]: one["resultsCount"] for one in document["response"]["resultSets"]}


def _command(federation: DemoFederation, gene: str, term: str) -> str:
    words = f"geneId={gene} filters={term} requestedGranularity=count"
    return f"cohelix beacon individuals {words} --hub {federation.hub.url}"


def _patients(federation: DemoFederation) -> dict[str, list[Patient]]:
    return _split(list(federation.folders)[:2], simulate_patients(PATIENTS, _SEED))


def _tumours(federation: DemoFederation) -> dict[str, list[Tumour]]:
    return _split(list(federation.folders)[2:4], simulate_tumours(TUMOURS, _SEED))


def _split(nodes: Sequence[str], held: Sequence[_Held]) -> dict[str, list[_Held]]:
    return {node: list(held[place :: len(nodes)]) for place, node in enumerate(nodes)}
