"""Whether the proposer of a run may have it at a node: by visas, or by the data holder's word to a project."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cohelix.access.actor import Actor
from cohelix.access.gate import Asker, Gate
from cohelix.access.policy import (
    PASSPORT_REFUSED,
    REVOCATION_UNKNOWN,
    VISA_REQUIRED,
    VISA_REVOKED,
    Decision,
    Purpose,
)
from cohelix.audit.events import Decided, RunAccepted, RunRefused, Tier
from cohelix.bank.membership import power_of
from cohelix.bank.study import StudyPeople
from cohelix.core.ids import DatasetId, NodeId, federation_dataset_id
from cohelix.disclosure import AnalysisPolicy
from cohelix.wire.analysis import HeldVisa, Refusal
from cohelix.wire.federation import OnBehalf
from cohelix.wire.plan import Plan

_SENTENCES = {
    VISA_REQUIRED: "The proposer has no visa for {dataset}, and the data holder has not allowed the project.",
    VISA_REVOKED: "The proposer's visa for {dataset} was revoked.",
    REVOCATION_UNKNOWN: "Whether the proposer's visa for {dataset} was revoked cannot be told at the moment.",
    PASSPORT_REFUSED: "The proposer's passport was refused: {problem}.",
}


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a node's gate says to a plan.

    Attributes
    ----------
    refusal
        Why the proposer may not have it; None where nothing is against it.
    booked_to
        The project that the node's ledger books it to: the plan's, or one of the proposer's own where visas open the data,
        so that nobody gets a new ledger by naming a new project.
    visas
        Visas that it rests on, without which the run does not go on.
    """

    refusal: Refusal | None = None
    booked_to: str = ""
    visas: tuple[HeldVisa, ...] = ()

    def as_booked(self, study: StudyPeople, policy: AnalysisPolicy) -> tuple[StudyPeople, AnalysisPolicy]:
        """Study and policy with the project that is booked; one that visas have opened is allowed."""
        if not self.visas:
            return study, policy
        plan = study.plan.model_copy(update={"project": self.booked_to})
        return replace(study, plan=plan), policy.model_copy(update={"projects": (*policy.projects, self.booked_to)})


class RunAccess:
    """The gate, for runs."""

    def __init__(self, gate: Gate, node: str) -> None:
        self._gate, self._node = gate, NodeId(node)

    def allowed(self, message: OnBehalf, plan: Plan, study: StudyPeople, asked: str) -> Allowed:
        """Whether the proposer may have the plan computed here; written down before it is said.

        Parameters
        ----------
        asked
            The plan's hash, under which the audit log writes it down.
        """
        asker = self._gate.asker(message.passport, Purpose(message.purpose or "", plan.project), way="hub")
        asking = self._gate.asking("analysis", asker)
        decisions = [
            asking.decision(
                federation_dataset_id(self._node, part.dataset),
                part.version.manifest.disclosure,
                power_of(part.version),
            )
            for part in study.parts
        ]
        asking.leave(asked)
        shut = [one for one in decisions if not one.analyses]
        by_visa = [one for one in decisions if one.tier == "controlled"]
        if shut and (asker.actor.known or asker.refused_passport):
            return Allowed(_refusal(asker, shut[0]), plan.project)
        if by_visa and not shut and plan.project not in self._gate.projects:
            return Allowed(None, _own_project(asker.actor), _held(asker.actor, by_visa))
        return Allowed(None, plan.project)

    def note(
        self,
        run: str,
        plan: Plan,
        asked: str,
        refusal: Refusal | None,
        *,
        visas: Sequence[HeldVisa] = (),
        open_data: bool = False,
    ) -> None:
        """Write down that the node takes part in a run, with which datasets and by what right, or why not.

        Parameters
        ----------
        run
            Empty where it was only asked.
        visas, open_data
            What opens the data: visas, or that everybody may have them; the data holder's word to the project otherwise.
        """
        if refusal is None:
            datasets = []
            for dataset in plan.datasets_of(self._node):
                name = federation_dataset_id(self._node, DatasetId(dataset))
                held = tuple(sorted(one.identifier for one in visas if one.dataset == name))
                tier: Tier = "controlled" if held else "public" if open_data else "project"
                datasets.append(Decided(name, "answered", tier, visas=held))
            self._gate.note(RunAccepted(run=run, project=plan.project, plan=asked, datasets=tuple(datasets)))
        else:
            self.note_left(run, plan, refusal)

    def note_left(self, run: str, plan: Plan, refusal: Refusal) -> None:
        """Write down that the node takes no part, or no part any more, and why."""
        self._gate.note(RunRefused(run=run, project=plan.project, reason=refusal.rule))

    def ended(self, visas: Sequence[HeldVisa]) -> Refusal | None:
        """Why a run that rests on these visas may not go on; None while all of them hold."""
        for one in visas:
            slug = self._gate.standing(one.identifier, one.issuer, one.expires)
            if slug is not None:
                return Refusal(rule=slug, reason=_SENTENCES[slug].format(dataset=one.dataset))
        return None


def _refusal(asker: Asker, decision: Decision) -> Refusal:
    slug = next((one.slug for one in decision.reasons if one.slug in _SENTENCES), VISA_REQUIRED)
    sentence = _SENTENCES[slug].format(dataset=decision.dataset, problem=asker.refused_passport.rstrip("."))
    return Refusal(rule=slug, reason=sentence[:1000])


def _own_project(actor: Actor) -> str:
    """A project's name that is one person's, and tells nobody whose."""
    person = hashlib.sha256(f"{actor.issuer}\n{actor.subject}".encode()).hexdigest()
    return f"person-{person[:32]}"


def _held(actor: Actor, decisions: Sequence[Decision]) -> tuple[HeldVisa, ...]:
    visas = {visa.identifier: visa for visa in actor.visas}
    return tuple(
        HeldVisa(
            identifier=name,
            issuer=visas[name].issuer,
            dataset=decision.dataset,
            expires=visas[name].expires.isoformat(timespec="seconds"),
        )
        for decision in decisions
        for name in decision.visas
    )
