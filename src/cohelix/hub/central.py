"""A central committee: an authority whose keys lie at the hub issues its visas there, as nodes' authorities do at theirs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import structlog

from cohelix.access.actor import Role
from cohelix.access.applications import Acting, Rules
from cohelix.access.authority import Authority, all_authorities
from cohelix.access.grants import Grants
from cohelix.audit.events import Event as AuditEvent
from cohelix.core.clock import Clock
from cohelix.core.errors import CohelixError, Unreachable
from cohelix.federation.granting import Granting
from cohelix.wire.applications import Identity
from cohelix.wire.grants import ApplicationShown, GrantTold

_log = structlog.get_logger("cohelix.hub")


class CentralData:
    """Datasets about which a hub's own authorities decide.

    Parameters
    ----------
    known
        Committee and country of datasets, as their members say now; None where that is not asked: an application names
        the right ones when it is handed in.
    """

    def __init__(self, folder: Path, known: Mapping[str, tuple[str | None, str | None]] | None = None) -> None:
        self._folder, self.known = folder, known

    def authorities(self) -> dict[str, Authority]:
        """The hub's own, by id."""
        return {one.id: one for one in all_authorities(self._folder)}

    def ours(self, _dataset: str, authority: str) -> bool:
        """Whether one of the hub's authorities decides."""
        return authority in self.authorities()

    def said(self, dataset: str) -> tuple[str | None, str | None] | None:
        """The committee and the country that the dataset's holder has named; None: nobody was asked."""
        if self.known is None:
            return None
        committee, country = self.known.get(dataset, (None, None))
        if committee is None:
            raise Unreachable(f"the holder of {dataset} cannot be asked who decides: its member is away")
        return committee, country


class CentralGrants:
    """What the hub's own authorities have issued, and are to issue.

    Parameters
    ----------
    hand_in
        Takes a visa as a member's would be taken.
    note
        Writes down what is granted, before it is, and what was revoked.
    """

    def __init__(
        self,
        folder: Path,
        grants: Grants,
        *,
        hub_url: str,
        rules: Rules,
        note: Callable[[AuditEvent], None],
        hand_in: Callable[[str], None],
        clock: Clock | None = None,
    ) -> None:
        self.data, self._grants, self._hand_in = CentralData(folder, {}), grants, hand_in
        self._granting = Granting(
            folder,
            self.data,
            grants=lambda: grants,
            hub_url=lambda: hub_url.rstrip("/"),
            note=note,
            rules=lambda: rules,
            clock=clock,
        )

    def take(self, shown: ApplicationShown) -> Sequence[GrantTold]:
        """Grant and end what an application's events say, and hand in what was granted."""
        told = self._granting.take(shown)
        for one in self._grants.unsent():
            try:
                self._hand_in(one.visa)
                self._grants.note_sent(one.identifier)
            except CohelixError as error:
                _log.warning("a visa of the hub's own authority is not kept", visa=one.identifier, reason=error.detail)
        return told

    def acting(self, authority: str) -> Acting:
        """The authority itself, which reports what it has issued."""
        issuer = self.data.authorities()[authority].issuer
        who = Identity(subject=authority, issuer=issuer)
        return Acting(who, frozenset({Role.DAC_MEMBER}), authorities=frozenset({authority}))
