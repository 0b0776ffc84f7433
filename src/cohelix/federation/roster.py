"""Who takes part in a run: acceptances, the roster of them, and the signatures that freeze it before anything is computed.

Each member that the hub asked signs an acceptance with its identity's key; it holds a fresh X25519 key of this run. The hub
gathers them into a roster. The three aggregators sign it, each one roster in a run and never another, and a contributor
computes only for a roster that it has checked whole. What is checked stands in `check_roster` and `check_frozen`, with the
name of each deviation; `docs/concepts/secure-sum.md` lists them.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from pydantic import Field

from cohelix.core.errors import Deviation
from cohelix.federation.signing import Identity, PublicKey, document_holds, sign_document
from cohelix.wire.analysis import Terms
from cohelix.wire.frequency import Wire
from cohelix.wire.plan import canonical

CONTRIBUTORS_MIN = 3  # with two, each would learn the other's figures
AGGREGATORS = 3
HUB = "hub"  # the one coordinator where there are no aggregators; no member may be called so
_ACCEPTANCE, _ROSTER = "cohelix-acceptance-1", "cohelix-roster-1"
_MEMBERS_MAX = 1000
_X25519_PRIME = 2**255 - 19

Mode = Literal["shares", "masks", "plain"]
"""How figures are hidden: shares to three aggregators; pairwise masks before one coordinator; not at all."""

HIDDEN: tuple[Mode, ...] = ("shares",)  # what a policy allows unless it says more


class Peer(NamedTuple):
    """A member as this node's own settings know it; the hub has no say in it. A former key holds for a while beside its own."""

    key: PublicKey
    aggregator: bool = False
    former: tuple[PublicKey, ...] = ()


class Acceptance(Wire):
    """A member's word that it takes part in a run.

    `frozen` is the fingerprint of the dataset versions and releases that it computes from; `node_key` its Ed25519 key and
    `session_key` the X25519 public key that it made for this run, both base64url. `people_bound`, `mac_floor`, `open_data` and
    `node_level` are those of its terms: what is asked of everybody follows from them. The signature covers all the rest.
    """

    run: str = Field(min_length=1, max_length=64)
    plan_hash: str = Field(pattern="^[0-9a-f]{64}$")
    node: str = Field(min_length=1, max_length=64)
    node_key: str = Field(max_length=64)
    frozen: str = Field(max_length=128)
    session_key: str = Field(max_length=64)
    contributor: bool
    aggregator: bool
    people_bound: int = Field(default=0, ge=0)
    mac_floor: int = Field(default=0, ge=0)
    open_data: bool = False
    node_level: bool = False
    signature: str = Field(default="", max_length=100)

    def content(self) -> bytes:
        """What is signed."""
        return canonical(self.model_dump(mode="json", exclude={"signature"}))


class Roster(Wire):
    """The participants of a run: all acceptances by node, the three aggregators, and how figures are hidden.

    `coordinator` is the hub's Ed25519 key. `aggregators` is empty in the modes `masks` and `plain`.
    """

    run: str = Field(min_length=1, max_length=64)
    plan_hash: str = Field(pattern="^[0-9a-f]{64}$")
    mode: Mode = "shares"
    coordinator: str = Field(max_length=64)
    acceptances: tuple[Acceptance, ...] = Field(max_length=_MEMBERS_MAX)
    aggregators: tuple[str, ...] = Field(default=(), max_length=AGGREGATORS)

    def digest(self) -> str:
        """The roster's name: lower-case hexadecimal SHA-256 of its canonical form."""
        return hashlib.sha256(canonical(self.model_dump(mode="json"))).hexdigest()

    def contributors(self) -> tuple[Acceptance, ...]:
        """Those who contribute figures, by node."""
        return tuple(sorted((one for one in self.acceptances if one.contributor), key=lambda one: one.node))

    def of(self, node: str) -> Acceptance | None:
        """A member's acceptance, if it has one here."""
        return next((one for one in self.acceptances if one.node == node), None)

    def receivers(self) -> dict[str, str]:
        """Who adds up, with their Ed25519 keys: the aggregators in their order, or the hub alone."""
        if self.mode != "shares":
            return {HUB: self.coordinator}
        keys = {one.node: one.node_key for one in self.acceptances}
        return {name: keys[name] for name in self.aggregators}


class RosterSignature(Wire):
    """A receiver's signature of a roster; it signs one in a run."""

    node: str = Field(max_length=64)
    roster_hash: str = Field(pattern="^[0-9a-f]{64}$")
    signature: str = Field(max_length=100)


class FrozenRoster(Wire):
    """A roster with the signatures of all who will add up."""

    roster: Roster
    signatures: tuple[RosterSignature, ...] = Field(max_length=AGGREGATORS)


def new_session() -> bytes:
    """A private X25519 key for one run, 32 bytes; to be kept secret, and forgotten when the run ends."""
    return X25519PrivateKey.generate().private_bytes_raw()


def session_public(session: bytes) -> str:
    """The public key of a session, base64url without padding."""
    return _text(X25519PrivateKey.from_private_bytes(session).public_key().public_bytes_raw())


def shared_secret(session: bytes, session_key: str, member: str) -> bytes:
    """What this session and another member's session key have in common, 32 bytes.

    Raises
    ------
    Deviation
        `weak-session-key`: no key, or one of the few that give everybody the same secret.
    """
    try:
        return X25519PrivateKey.from_private_bytes(session).exchange(_session_key(session_key, member))
    except ValueError as error:
        raise Deviation("weak-session-key", f"the session key of {member} gives everybody the same secret", member) from error


def accept(
    run: str,
    plan_hash: str,
    *,
    node: str,
    frozen: str,
    session: bytes,
    contributor: bool,
    aggregator: bool,
    identity: Identity,
    terms: Terms | None = None,
) -> Acceptance:
    """A node's signed acceptance; `session` as from `new_session`."""
    terms = terms or Terms()
    identity = identity.current()
    plain = Acceptance(
        run=run,
        plan_hash=plan_hash,
        node=node,
        node_key=identity.public,
        frozen=frozen,
        session_key=session_public(session),
        contributor=contributor,
        aggregator=aggregator,
        people_bound=terms.people_bound,
        mac_floor=terms.mac_floor,
        open_data=terms.open_data,
        node_level=terms.node_level,
    )
    return plain.model_copy(update={"signature": sign_document(identity, _ACCEPTANCE, plain.content())})


def check_acceptance(acceptance: Acceptance, *, run: str, plan_hash: str, node: str, key: str) -> None:
    """The hub's check of an acceptance that came from a member whose key it knows.

    Raises
    ------
    Deviation
        `foreign-run`, `foreign-plan`, `substituted-key` or `forged-acceptance`.
    """
    _check_run(acceptance.run, acceptance.plan_hash, run, plan_hash, node)
    if acceptance.node != node or acceptance.node_key != key:
        raise Deviation("substituted-key", f"the acceptance of {node} is by another key or name", node)
    _check_signed(acceptance)


def make_roster(
    run: str,
    plan_hash: str,
    acceptances: Iterable[Acceptance],
    *,
    aggregators: Sequence[str],
    coordinator: str,
    mode: Mode = "shares",
) -> Roster:
    """The roster of a run, acceptances by node."""
    return Roster(
        run=run,
        plan_hash=plan_hash,
        mode=mode,
        coordinator=coordinator,
        acceptances=tuple(sorted(acceptances, key=lambda one: one.node)),
        aggregators=tuple(aggregators),
    )


def check_roster(
    roster: Roster,
    *,
    own: Acceptance,
    peers: Mapping[str, Peer],
    coordinator: str,
    modes: Collection[Mode] = HIDDEN,
) -> str:
    """A member's check of a roster, before it signs it or computes for it.

    Parameters
    ----------
    own
        The acceptance that this member gave, as it kept it.
    peers
        The members that this node's own settings list, by id; itself may be among them.
    coordinator
        The hub's key as this node pinned it when it joined.
    modes
        Those that the node's policy allows for this plan.

    Returns
    -------
    The roster's hash.

    Raises
    ------
    Deviation
        Of the hub: `foreign-run`, `foreign-plan`, `foreign-coordinator`, `weaker-mode`, `missing-acceptance`,
        `changed-acceptance`, `doubled-node`, `doubled-node-key`, `doubled-session-key`, `forged-acceptance`,
        `substituted-key`, `too-few-contributors`, `too-few-known-contributors`, `mixed-data`, `wrong-aggregators`,
        `unknown-aggregator` or `unwilling-aggregator`; of a member: `weak-session-key`.
    """
    _check_run(roster.run, roster.plan_hash, own.run, own.plan_hash, HUB)
    if roster.coordinator != coordinator:
        raise Deviation("foreign-coordinator", "the roster names another hub than the one that this node joined", HUB)
    if roster.mode not in modes:
        raise Deviation("weaker-mode", f"this node's policy does not allow the mode {roster.mode}", HUB)
    _check_own(roster, own)
    _check_distinct(roster)
    for one in roster.acceptances:
        _check_run(one.run, one.plan_hash, own.run, own.plan_hash, HUB)
        _check_signed(one)
        _session_key(one.session_key, one.node)
        known = peers.get(one.node)
        if known is not None and one.node_key not in (known.key, *known.former):
            raise Deviation("substituted-key", f"{one.node} has another key on this node's own list", HUB)
    _check_contributors(roster, own, peers)
    _check_aggregators(roster, own, peers)
    return roster.digest()


def sign_roster(
    roster: Roster,
    *,
    own: Acceptance,
    peers: Mapping[str, Peer],
    coordinator: str,
    identity: Identity,
    earlier: str | None = None,
    modes: Collection[Mode] = HIDDEN,
) -> RosterSignature:
    """An aggregator's signature of a roster that it has checked.

    Parameters
    ----------
    earlier
        Hash of the roster that this member signed or accepted in this run before; the caller keeps it durable.

    Raises
    ------
    Deviation
        As of `check_roster`; `second-roster` where another was signed; `wrong-aggregators` where this member is none.
    """
    found = check_roster(roster, own=own, peers=peers, coordinator=coordinator, modes=modes)
    if own.node not in roster.receivers():
        raise Deviation("wrong-aggregators", "this member is not an aggregator of the roster", HUB)
    check_only_roster(found, earlier)
    return sign_as(own.node, found, identity)


def sign_as(node: str, roster_hash: str, identity: Identity) -> RosterSignature:
    """A receiver's signature of a roster's hash; the hub's own, where it is the one coordinator."""
    signature = sign_document(identity, _ROSTER, f"{node}\n{roster_hash}".encode())
    return RosterSignature(node=node, roster_hash=roster_hash, signature=signature)


def check_only_roster(roster_hash: str, earlier: str | None) -> None:
    """`second-roster` where a member has signed or accepted another roster in this run."""
    if earlier is not None and earlier != roster_hash:
        raise Deviation("second-roster", "another roster was signed or accepted in this run before", HUB)


def check_signatures(frozen: FrozenRoster) -> str:
    """Whether all who add up have signed this roster; its hash.

    Raises
    ------
    Deviation
        `unsigned-roster`, `split-roster` or `forged-roster-signature`.
    """
    found = frozen.roster.digest()
    signatures = {one.node: one for one in frozen.signatures}
    for name, key in frozen.roster.receivers().items():
        one = signatures.get(name)
        if one is None:
            raise Deviation("unsigned-roster", f"{name} has not signed the roster", HUB)
        if one.roster_hash != found:
            raise Deviation("split-roster", f"{name} has signed another roster", HUB)
        if not document_holds(key, _ROSTER, f"{name}\n{found}".encode(), one.signature):
            raise Deviation("forged-roster-signature", f"the roster's signature by {name} does not hold", HUB)
    return found


def check_frozen(
    frozen: FrozenRoster,
    *,
    own: Acceptance,
    peers: Mapping[str, Peer],
    coordinator: str,
    earlier: str | None = None,
    modes: Collection[Mode] = HIDDEN,
) -> str:
    """A contributor's check of the frozen roster; the hash that it computes for from now on.

    Raises
    ------
    Deviation
        As of `check_roster`, `check_signatures` and `check_only_roster`.
    """
    check_roster(frozen.roster, own=own, peers=peers, coordinator=coordinator, modes=modes)
    found = check_signatures(frozen)
    check_only_roster(found, earlier)
    return found


def same_roster(frozen: FrozenRoster | None, roster_hash: str) -> FrozenRoster:
    """The roster that this member holds, if a question is of that one; `foreign-roster` where it is not, or none is held."""
    if frozen is None or frozen.roster.digest() != roster_hash:
        raise Deviation("foreign-roster", "this member computes and adds up for the roster that it has checked", HUB)
    return frozen


def _check_run(run: str, plan_hash: str, own_run: str, own_plan: str, member: str) -> None:
    if run != own_run:
        raise Deviation("foreign-run", "the message belongs to another run", member)
    if plan_hash != own_plan:
        raise Deviation("foreign-plan", "the message belongs to another plan", member)


def _check_signed(one: Acceptance) -> None:
    if not document_holds(one.node_key, _ACCEPTANCE, one.content(), one.signature):
        raise Deviation("forged-acceptance", f"the signature of the acceptance of {one.node} does not hold", HUB)


def _session_key(text: str, member: str) -> X25519PublicKey:
    """A session's public key, in the one way to write it: else two names could share a key unseen."""
    raw = base64.urlsafe_b64decode(text + "=") if re.fullmatch(r"[A-Za-z0-9_-]{43}", text) else b""
    if len(raw) != 32 or _text(raw) != text or int.from_bytes(raw, "little") >= _X25519_PRIME:
        raise Deviation("weak-session-key", f"the session key of {member} is not one", member)
    return X25519PublicKey.from_public_bytes(raw)


def _check_own(roster: Roster, own: Acceptance) -> None:
    found = [one for one in roster.acceptances if one.node == own.node]
    if not found:
        raise Deviation("missing-acceptance", "this member's acceptance is not in the roster", HUB)
    if found[0] != own:
        raise Deviation("changed-acceptance", "this member's acceptance is not as it was given", HUB)


def _check_distinct(roster: Roster) -> None:
    if len(Counter(one.node for one in roster.acceptances)) < len(roster.acceptances) or roster.of(HUB) is not None:
        raise Deviation("doubled-node", "a member is in the roster twice, or is called like the hub", HUB)
    for name, keys in (
        ("doubled-node-key", [one.node_key for one in roster.acceptances]),
        ("doubled-session-key", [one.session_key for one in roster.acceptances]),
    ):
        if len(set(keys)) < len(keys):
            raise Deviation(name, "two members of the roster have the same key", HUB)


def _check_contributors(roster: Roster, own: Acceptance, peers: Mapping[str, Peer]) -> None:
    contributors = roster.contributors()
    if len(contributors) < CONTRIBUTORS_MIN:
        raise Deviation("too-few-contributors", f"a sum needs at least {CONTRIBUTORS_MIN} contributors", HUB)
    known = [one for one in contributors if one.node == own.node or one.node in peers]
    if len(known) < CONTRIBUTORS_MIN:
        words = f"fewer than {CONTRIBUTORS_MIN} contributors are this node or on its own list of peers"
        raise Deviation("too-few-known-contributors", words, HUB)
    if own.contributor and not own.open_data and any(one.open_data for one in contributors):
        words = "open data would take part beside data that are not: whoever has them takes them off every sum"
        raise Deviation("mixed-data", words, HUB)


def _check_aggregators(roster: Roster, own: Acceptance, peers: Mapping[str, Peer]) -> None:
    wanted = AGGREGATORS if roster.mode == "shares" else 0
    if len(roster.aggregators) != wanted or len(set(roster.aggregators)) != wanted:
        raise Deviation("wrong-aggregators", f"the roster must name {wanted} different aggregators", HUB)
    for name in roster.aggregators:
        known, one = peers.get(name), roster.of(name)
        if name != own.node and (known is None or not known.aggregator):
            raise Deviation("unknown-aggregator", f"{name} is not an aggregator on this node's own list", HUB)
        if one is None or not one.aggregator:
            raise Deviation("unwilling-aggregator", f"{name} has not accepted to aggregate", HUB)


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
