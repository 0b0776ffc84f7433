"""A federation for analyses, as processes on loopback: a hub and members of simulated people, who know each other's keys."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from cohelix import hub, node
from cohelix.bank.load import LoadRequest, load
from cohelix.core.genome import Assembly, region_1based
from cohelix.core.ids import DatasetId
from cohelix.federation.joining import join, write_pinned
from cohelix.federation.registry import Registry
from cohelix.federation.signing import load_identity
from cohelix.node.settings import PeerSettings, set_peer
from cohelix.testing.cohorts import TRAIT, SimulatedCohort, part_of, simulate_cohort, write_vcf
from cohelix.testing.processes import Processes, Server, free_port
from cohelix.wire.dataset import Disclosure
from cohelix.wire.federation import JoinRequest

DATASET: Final = "sim"
REGION: Final = "22:20000001-20090000"
COVARIATE: Final = "PC1"


@dataclass
class AnalysisFederation:
    """Running servers, their folders, and the people: `cohort` of all members together, members one after another."""

    folder: Path
    processes: Processes
    cohort: SimulatedCohort
    covariate: np.ndarray
    members: dict[str, int]
    ports: dict[str, int]
    servers: dict[str, Server] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The hub's address."""
        return f"http://127.0.0.1:{self.ports['hub']}"

    def serve(self, name: str) -> Server:
        """Start the hub (`hub`) or a member, again after it was killed."""
        noun = "hub" if name == "hub" else "node"
        self.servers[name] = self.processes.serve(name, noun, "serve", str(self.folder / name), "--port", str(self.ports[name]))
        return self.servers[name]

    def kill(self, name: str) -> None:
        """End a server as if its machine had lost power."""
        process = self.servers.pop(name).process
        process.kill()
        process.wait()
        self.processes.stop(process)

    def plan(self, **changes: object) -> dict[str, object]:
        """A linear analysis of the simulated trait at all members."""
        usual: dict[str, object] = {
            "project": "test",
            "assembly": "GRCh37",
            "datasets": [f"{name}:{DATASET}" for name in self.members],
            "trait": {"measurement": TRAIT},
            "covariates": [{"measurement": COVARIATE}, "sex"],
            "variants": {"region": REGION, "maf_min": 0.01},
            "method": "linear",
        }
        return {**usual, **changes}


@contextmanager
def analysis_federation(
    folder: Path,
    members: Mapping[str, int],
    *,
    variants: int = 600,
    disclosure: Disclosure = "open",
    seed: int = 4,
    analysis: str = "",
    hub_settings: str = "",
    dialling_out: Collection[str] = (),
) -> Iterator[AnalysisFederation]:
    """A hub and members of so many people each; all of them aggregate, and each knows all others.

    Parameters
    ----------
    analysis
        Lines of each member's `[analysis]` table.
    hub_settings
        Further lines of `hub.toml`.
    dialling_out
        Members that the hub does not dial: they fetch their questions.
    """
    made = make_folders(folder, members, variants=variants, disclosure=disclosure, seed=seed, analysis=analysis)
    with made.processes:
        with (folder / "hub" / "hub.toml").open("a", encoding="utf-8") as file:
            file.write(hub_settings)
        with ThreadPoolExecutor(len(made.ports)) as starting:
            list(starting.map(made.serve, made.ports))
        for name in members:
            join_hub(made, name, dials_out=name in dialling_out)
        yield made


def make_folders(
    folder: Path,
    members: Mapping[str, int],
    *,
    variants: int = 600,
    disclosure: Disclosure = "open",
    seed: int = 4,
    analysis: str = "",
) -> AnalysisFederation:
    """The folders of a federation for analyses; nobody serves yet, and nobody has joined."""
    region = region_1based("22", 20_000_001, 20_090_000)
    cohort = simulate_cohort(members, variants, seed=seed, region=region, assembly=Assembly.GRCH37)
    covariate = np.random.default_rng(seed).standard_normal(len(cohort.samples))
    ports = {name: free_port() for name in ("hub", *members)}
    made = AnalysisFederation(folder, Processes(folder / "logs"), cohort, covariate, dict(members), ports)
    hub.make_hub(folder / "hub", url=made.url, name="Test federation")
    start = 0
    for name, people in members.items():
        _make_member(made, name, slice(start, start + people), disclosure, analysis)
        start += people
    introduce(made)
    return made


def _make_member(made: AnalysisFederation, name: str, people: slice, disclosure: Disclosure, analysis: str) -> None:
    place = made.folder / name
    node.init_node(place, node=name, name=f"Bank of {name}", country="FI")
    with (place / "node.toml").open("a", encoding="utf-8") as file:
        file.write(f"aggregator = true\n\n[analysis]\n{analysis}\n")
    own = part_of(made.cohort, people)
    genotypes, table = made.folder / f"{name}.vcf.gz", made.folder / f"{name}.tsv"
    write_vcf(own, genotypes)
    header = f"individual_id\tsex\tpopulation\t{TRAIT} [1]\t{COVARIATE} [1]"
    rows = zip(own.samples, own.sexes, own.populations, own.trait.tolist(), made.covariate[people].tolist(), strict=True)
    lines = [f"{sample}\t{sex}\t{population}\t{trait!r}\t{other!r}" for sample, sex, population, trait, other in rows]
    table.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    load_again(made, name, disclosure)


def load_again(made: AnalysisFederation, name: str, disclosure: Disclosure = "open") -> None:
    """Publish a new version of a member's dataset, from the same files."""
    request = LoadRequest(
        dataset=DatasetId(DATASET),
        genotypes=(made.folder / f"{name}.vcf.gz",),
        assembly=made.cohort.assembly,
        individuals=made.folder / f"{name}.tsv",
        disclosure=disclosure,
        simulated=True,
    )
    load(made.folder / name, request)


def introduce(made: AnalysisFederation) -> None:
    """Tell each member the others' keys, as their operators would."""
    keys = {name: load_identity(made.folder / name).public for name in made.members}
    for name in made.members:
        for other, key in keys.items():
            if other != name:
                set_peer(made.folder / name, PeerSettings(id=other, key=key, aggregator=True))


def join_hub(made: AnalysisFederation, name: str, *, dials_out: bool = False) -> None:
    """Make a serving member known to the hub."""
    identity, hub_identity = load_identity(made.folder / name), load_identity(made.folder / "hub")
    token = Registry(made.folder / "hub").invite(name, hub_url=made.url, hub_key=hub_identity.public)
    request = JoinRequest(
        token=token.secret,
        node=name,
        name=f"Bank of {name}",
        country="FI",
        url="" if dials_out else f"http://127.0.0.1:{made.ports[name]}",
        key=identity.public,
        dials_out=dials_out,
    )
    write_pinned(made.folder / name, join(identity, token, request))
