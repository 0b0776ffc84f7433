"""The demo's federated analysis: one gene's expression over all members, summed secretly, beside the published answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from cohelix.cli.demo_journeys import DemoFederation, Detail, expect
from cohelix.core.errors import CohelixError
from cohelix.testing.members import Share

AGGREGATORS: Final = ("FI", "GB", "IT")
# GEUVADIS (Lappalainen 2013): the gene's lead variant, slope and nominal p as published with the example data of QTLtools.
GENE: Final = "ENSG00000184164.10"
LEAD, SLOPE, P_VALUE = "22-50313359-G-A", -1.14337, 7.6e-45
SLOPE_TOLERANCE: Final = 1e-5  # the published slopes are printed to six digits
REGION: Final = "22:50000000-51304566"
REVIEWER: Final = "output-reviewer"
_COVARIATES: Final = ("PC", "expression_PC")


class Analysed(NamedTuple):
    """What is analysed: a measurement, its covariates and the region."""

    trait: str
    covariates: tuple[str, ...]
    variants: dict[str, Any]


def trust(federation: DemoFederation) -> Detail:
    """Every node learns the others' keys from their operators, and with which three it shares what it sums."""
    from cohelix.federation.signing import load_identity
    from cohelix.node.settings import PeerSettings, set_aggregator, set_peer

    keys = {node: load_identity(folder).public for node, folder in federation.folders.items()}
    for node, folder in federation.folders.items():
        for other, key in keys.items():
            if other != node:
                set_peer(folder, PeerSettings(id=other, key=key, aggregator=other in AGGREGATORS))
        set_aggregator(folder, adds_up=node in AGGREGATORS)
    return {"aggregators": [node for node in AGGREGATORS if node in keys]}


def gwas(federation: DemoFederation) -> Detail:
    """The region's variants against a gene's expression: check, run, review, result, by the command line."""
    asked = analysed(federation)
    if asked is None:
        return {"asked": "nothing: the members' people have no measurement"}
    folder = federation.hub_folder.parent / "analysis"
    folder.mkdir()
    plan = folder / "plan.yaml"
    plan.write_text(json.dumps(plan_of(federation, asked, federation.dataset), indent=1), encoding="utf-8")
    check = federation.ask_analysis("check", str(plan), ended=(0, 3))
    reasons = [f"{one['node']}: {one['refusal']['reason']}" for one in check["nodes"] if one["refusal"]]
    expect("what stands against the plan", [check["reason"], *reasons], [None])
    held = federation.ask_analysis("run", str(plan), "--out", str(folder / "early"), ended=(3,))
    expect("the run's state before a review", held["state"], "held")
    run = held["id"]
    words = ("hub", "review", str(federation.hub_folder), run, "--by", REVIEWER, "--release", "--json")
    reviewed = json.loads(federation.processes.run("review", *words))
    expect("the run's state after a review", reviewed["run"]["state"], "released")
    federation.ask_analysis("result", run, "--out", str(folder / "results"))
    picture = folder / "manhattan.png"
    drawn = json.loads(
        federation.processes.run("plot", "analysis", "plot", str(folder / "results"), "--out", str(picture), "--json")
    )
    lead = drawn["top"][0]
    name = f"{lead['chromosome']}-{lead['position']}-{lead['other_allele']}-{lead['effect_allele']}"
    detail: Detail = {
        "run": run,
        "people": lead["n"],
        "lead": name,
        "slope": round(lead["beta"], 6),
        "figures": {**lead, "lambda": drawn["lambda"]},
    }
    if federation.shares.kind == "geuvadis":
        expect("the lead variant", name, LEAD)
        if abs(lead["beta"] - SLOPE) > SLOPE_TOLERANCE:
            raise CohelixError(f"slope {lead['beta']} where {SLOPE} was published")
        detail |= {"published": SLOPE, "published p": P_VALUE}
    return {**detail, "picture": str(picture), "page": f"{federation.hub.url}/analyses/{run}"}


ANALYSIS_JOURNEYS: Final[tuple[tuple[str, Callable[[DemoFederation], Detail]], ...]] = (("trust", trust), ("gwas", gwas))


def plan_of(federation: DemoFederation, asked: Analysed, dataset: str) -> Detail:
    """The plan over a dataset of every member."""
    trait = {"measurement": asked.trait}
    return {
        "project": "demo",
        "assembly": federation.assembly,
        "datasets": [f"{node}:{dataset}" for node in federation.servers],
        "cohort": {"all": [trait]},
        "trait": trait,
        "covariates": [{"measurement": name} for name in asked.covariates],
        "transformation": "residual-rank",
        "rank_cell": 1,
        "variants": asked.variants,
        "missing": "mean",
        "method": "linear",
        "release": {"node_level": False},
    }


def analysed(federation: DemoFederation) -> Analysed | None:
    """The published gene with its covariates where the data are the known ones, else the first measurement alone."""
    measured = _measurements(federation.shares.shares[0])
    if federation.shares.kind == "geuvadis" and GENE in measured:
        covariates = tuple(name for name in measured if name.startswith(_COVARIATES))
        return Analysed(GENE, covariates, {"region": REGION, "maf_min": 0.05, "call_rate_min": 0.95})
    return Analysed(measured[0], (), {"maf_min": 0.01}) if measured else None


def _measurements(share: Share) -> list[str]:
    header = share.people.open(encoding="utf-8").readline().rstrip("\n").split("\t")
    return [name.partition(" [")[0] for name in header if " [" in name]
