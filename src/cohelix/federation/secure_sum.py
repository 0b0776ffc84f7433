"""The secure sum: contributors hide their figures, three aggregators add what none of them can read, the hub opens the total.

A vector of words (`stats.secret_sharing`) is split into three shares. Two are streams of AES-256-CTR under keys that the
contributor and an aggregator both derive from their session keys; nobody sends them. The third, what is left, goes sealed to
the third aggregator; who that is rotates by ask, block and contributor. An aggregator adds the shares that are for it, over
all contributors of the frozen roster, and signs its partial sum; the three partial sums together are the total.

Pure functions: keys and what happened earlier are passed in. The same figures give the same bytes; other figures give other
keys (`Header.salt`), so that no stream ever hides two things. Where the hub is the only coordinator (`masks`), each pair of
contributors shares a stream that one adds and the other subtracts. Reasons and figures: `docs/decisions/0018-secure-sum.md`.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cohelix.analysis.steps import Sums
from cohelix.core.errors import Deviation, ShapeMismatch
from cohelix.federation.roster import AGGREGATORS, HUB, FrozenRoster, Roster, check_signatures, shared_secret
from cohelix.federation.signing import Identity, document_holds, sign_document
from cohelix.federation.sum_documents import (
    Added,
    Header,
    Opening,
    Partial,
    Place,
    Sealed,
    headers_digest,
    opening_of,
    raw,
    words_digest,
)
from cohelix.stats.secret_sharing import Layout, Ring, Words, last_share
from cohelix.wire.plan import canonical

__all__ = [
    "Added",
    "Header",
    "Opening",
    "Partial",
    "Place",
    "Sealed",
    "aggregate",
    "check_first_sum",
    "check_headers",
    "check_opening",
    "check_totals",
    "commitment",
    "contributor_keys",
    "matching",
    "open_sum",
    "opening_of",
    "receiver",
    "seal",
    "stream",
    "unsealed",
]
_HEADER, _PARTIAL, _KEY, _SALT = "cohelix-share-1", "cohelix-partial-1", "cohelix-sum-key-1", "cohelix-sum-salt-1"
_GENOTYPES = frozenset({"n0", "n1", "n2"})  # how every method names people by dosage; the bound of each is everybody
_ZEROS = bytes(256 * 1024)
_NO_NONCE = bytes(12)  # every key hides one message only


def receiver(roster: Roster, contributor: str, place: Place) -> str:
    """Who gets the share of a contributor that travels; rotates, so that each aggregator unseals a third of them."""
    names = list(roster.receivers())
    position = [one.node for one in roster.contributors()].index(contributor)
    return names[(position + place.ask + place.block) % len(names)]


def seal(
    parts: Sums,
    place: Place,
    layout: Layout,
    frozen: FrozenRoster,
    *,
    node: str,
    session: bytes,
    identity: Identity,
    earlier: Header | None = None,
) -> Sealed:
    """A contributor's figures of one block, hidden.

    Parameters
    ----------
    parts
        Its part of the sum, as `analysis.steps.compute_part` gives it.
    frozen
        The roster, checked with `roster.check_frozen` before.
    session, identity
        The private key of this run, and the node's own.
    earlier
        The header that this node made for this ask and block before. The caller keeps each header durably before it
        answers.

    Raises
    ------
    Deviation
        `second-ask` or `second-data` where other things were sealed here before; `no-contributor`, `weak-session-key`.
    ShapeMismatch
        If the parts are not as the layout says, or exceed their bounds.
    """
    roster = frozen.roster
    if node not in {one.node for one in roster.contributors()}:
        raise Deviation("no-contributor", "this node did not accept to contribute to the run", HUB)
    if earlier is not None and earlier.place != place:
        raise Deviation("second-ask", "this block of the run was asked with another question before", HUB)
    words = layout.encode(parts)
    roster_hash = roster.digest()
    header = Header(
        run=roster.run,
        roster_hash=roster_hash,
        ask=place.ask,
        block=place.block,
        ask_digest=place.ask_digest,
        node=node,
        narrow=layout.ring.narrow,
        wide=layout.ring.wide,
        salt=_salt(session, roster_hash, place, words),
        payload_digest="0" * 64,
    )
    to = receiver(roster, node, place)
    if roster.mode == "shares":
        keys = contributor_keys(header, roster, session)
        share = last_share(layout.ring, words, (stream(key, layout.ring) for name, key in keys.items() if name != to))
        payload = ChaCha20Poly1305(keys[to]).encrypt(_NO_NONCE, raw(share), _context(header, to))
        commitments = tuple(commitment(key) for key in keys.values())
    else:
        if roster.mode == "masks":
            _mask(words, header, roster, session)
        payload, commitments = bytes(raw(words)), ()
    digest = hashlib.sha256(payload).hexdigest()
    header = header.model_copy(update={"payload_digest": digest, "commitments": commitments})
    header = header.model_copy(update={"signature": sign_document(identity, _HEADER, header.content())})
    if earlier is not None and earlier != header:
        raise Deviation("second-data", "other figures were sealed for this block of the run before", node)
    return Sealed(header, {to: payload})


def check_headers(headers: Sequence[Header], place: Place, frozen: FrozenRoster) -> Ring:
    """Whether these are the signed headers of all contributors for this block, and speak of the same sum.

    Returns
    -------
    The shape of the vectors.

    Raises
    ------
    Deviation
        `doubled-contributor`, `foreign-contributor`, `missing-contributor`, `foreign-header`, `split-ask`, `split-layout`
        or `forged-header`.
    """
    roster = frozen.roster
    keys = {one.node: one.node_key for one in roster.contributors()}
    names = [one.node for one in headers]
    if len(set(names)) < len(names):
        raise Deviation("doubled-contributor", "a contributor is there twice", HUB)
    strange, absent = sorted(set(names) - set(keys)), sorted(set(keys) - set(names))
    if strange:
        raise Deviation("foreign-contributor", f"{strange[0]} is no contributor of the roster", HUB)
    if absent:
        raise Deviation("missing-contributor", f"{absent[0]} is missing: a block opens for the whole roster only", HUB)
    roster_hash = roster.digest()
    for one in headers:
        if not document_holds(keys[one.node], _HEADER, one.content(), one.signature):
            raise Deviation("forged-header", f"the header's signature by {one.node} does not hold", HUB)
        if (one.run, one.roster_hash, one.ask, one.block) != (roster.run, roster_hash, place.ask, place.block):
            raise Deviation("foreign-header", f"the header of {one.node} belongs to another block, run or roster", HUB)
        if one.ask_digest != place.ask_digest:
            raise Deviation("split-ask", f"{one.node} was asked another question than is summed")
        if len(one.commitments) != (AGGREGATORS if roster.mode == "shares" else 0):
            raise Deviation("wrong-commitment", f"{one.node} has not committed itself to its keys", one.node)
        if one.ring != headers[0].ring:
            raise Deviation("split-layout", f"{one.node} and {headers[0].node} sent sums of different shapes")
    return headers[0].ring


def aggregate(
    place: Place,
    headers: Sequence[Header],
    payloads: Mapping[str, bytes],
    frozen: FrozenRoster,
    *,
    node: str,
    session: bytes,
    identity: Identity,
    earlier: Partial | None = None,
) -> Added:
    """An aggregator's sum of the shares that are for it, signed.

    Parameters
    ----------
    payloads
        By contributor, the shares that travel to this aggregator (`receiver`), and no others.
    frozen
        The roster that this aggregator signed.
    node
        Its id; `hub` where the hub is the one coordinator, whose `session` is not used.
    earlier
        What this aggregator signed for this ask and block before; the caller keeps it durably before it answers.

    Raises
    ------
    Deviation
        As of `check_headers`; `foreign-share`, `missing-share`, `changed-share`, `unreadable-share`, `wrong-commitment`;
        `second-opening` where the block was added from other shares before.
    """
    ring = check_headers(headers, place, frozen)
    roster = frozen.roster
    ordered = sorted(headers, key=lambda one: one.node)
    if earlier is not None and (earlier.place != place or earlier.headers_digest != headers_digest(ordered)):
        raise Deviation("second-opening", "this block was added from other shares before", HUB)
    mine = {one.node for one in ordered if receiver(roster, one.node, place) == node}
    if set(payloads) - mine:
        raise Deviation("foreign-share", f"the share of {min(set(payloads) - mine)} is for another aggregator", HUB)
    total = ring.zeros()
    for one in ordered:
        if one.node in mine:
            ring.add(total, _travelled(one, payloads.get(one.node), roster, node, session))
        else:
            ring.add(total, stream(_receiver_key(one, roster, node, session), ring))
    partial = Partial(
        run=roster.run,
        roster_hash=ordered[0].roster_hash,
        ask=place.ask,
        block=place.block,
        ask_digest=place.ask_digest,
        node=node,
        narrow=ring.narrow,
        wide=ring.wide,
        headers_digest=headers_digest(ordered),
        words_digest=words_digest(total),
    )
    partial = partial.model_copy(update={"signature": sign_document(identity, _PARTIAL, partial.content())})
    return Added(partial, total)


def check_opening(opening: Opening, place: Place, frozen: FrozenRoster) -> Ring:
    """Whether an opened block is what all contributors and all aggregators of the roster signed.

    Raises
    ------
    Deviation
        As of `check_headers`; `missing-partial`, `foreign-partial`, `forged-partial`, `split-headers`, `changed-partial`.
    """
    ring = check_headers(opening.headers, place, frozen)
    receivers = frozen.roster.receivers()
    if sorted(one.partial.node for one in opening.added) != sorted(receivers):
        raise Deviation("missing-partial", "a block opens with the partial sums of all aggregators, each once", HUB)
    expected = (frozen.roster.run, opening.headers[0].roster_hash, place, ring)
    digest = headers_digest(sorted(opening.headers, key=lambda one: one.node))
    for partial, words in opening.added:
        if not document_holds(receivers[partial.node], _PARTIAL, partial.content(), partial.signature):
            raise Deviation("forged-partial", f"the signature of the partial sum of {partial.node} does not hold", HUB)
        if (partial.run, partial.roster_hash, partial.place, partial.ring) != expected:
            raise Deviation("foreign-partial", f"the partial sum of {partial.node} belongs to another block", HUB)
        if partial.headers_digest != digest:
            raise Deviation("split-headers", f"{partial.node} has added other shares than these headers sign")
        if words.shape != (ring.words,) or partial.words_digest != words_digest(words):
            raise Deviation("changed-partial", f"the words are not those that {partial.node} signed", HUB)
    return ring


def open_sum(opening: Opening, place: Place, layout: Layout, frozen: FrozenRoster) -> Sums:
    """The total of a block: float64, counts int64.

    Raises
    ------
    Deviation
        As of `check_opening`; `split-layout` where the sum has another shape than was asked; `out-of-bounds` where a total
        exceeds the public bound that every part keeps.
    """
    if check_opening(opening, place, frozen) != layout.ring:
        raise Deviation("split-layout", "the contributors sent sums of another shape than was asked")
    total = layout.ring.zeros()
    for one in opening.added:
        layout.ring.add(total, one.words)
    sums = layout.decode(total)
    check_totals(sums, layout)
    return sums


def check_totals(sums: Sums, layout: Layout) -> None:
    """Whether opened totals can be: somebody's part, or partial sum, was not what it should be where they cannot.

    Raises
    ------
    Deviation
        `out-of-bounds` where one exceeds its public bound; `impossible-counts` where a count is negative, or people with
        dosage 0, 1 and 2 are more than there are (so that 0 ≤ AC ≤ 2N).
    """
    for field in layout.fields:
        array = sums[field.name]
        if array.size and not max(float(array.max()), -float(array.min())) <= field.bound + layout.error(field.name, 2**16):
            raise Deviation("out-of-bounds", f"the total of {field.name} exceeds its bound")
        if field.integer and array.size and array.min() < 0:
            raise Deviation("impossible-counts", f"a count of {field.name} is negative")
    bounds = {field.name: field.bound for field in layout.fields if field.integer}
    if bounds.keys() >= _GENOTYPES and _most(sums) > min(bounds[name] for name in _GENOTYPES):
        raise Deviation("impossible-counts", "more people have a genotype than there are")


def _most(sums: Sums) -> int:
    """Most people with a genotype at any variant."""
    people = np.asarray(sums["n0"] + sums["n1"] + sums["n2"])
    return int(people.max()) if people.size else 0


def check_first_sum(
    opening: Opening,
    layout: Layout,
    frozen: FrozenRoster,
    *,
    own: Header,
    people: int,
    floor: int,
) -> int:
    """A contributor's own check that enough people of others are in the sum; before it answers the second ask.

    Parameters
    ----------
    opening
        Of the first ask, which counts people as `n`.
    own
        The header that this node made for it.
    people
        n_k, this node's own.
    floor
        k: the least number of people at all other nodes together.

    Returns
    -------
    N, the pooled number of people.

    Raises
    ------
    Deviation
        As of `open_sum`; `foreign-first-sum` where it is not the first ask's or counts no people;
        `dropped-contribution` where this node's header is not the one that was added; `too-few-others`.
    """
    if own.ask != 0 or own.block != 0 or not any(one.name == "n" and one.integer and one.shape == () for one in layout.fields):
        raise Deviation("foreign-first-sum", "the first sum of a run counts its people", HUB)
    check_signatures(frozen)
    if own not in opening.headers:
        raise Deviation("dropped-contribution", "what was added is not what this node signed", HUB)
    total = int(open_sum(opening, own.place, layout, frozen)["n"])
    if total - people < floor:
        raise Deviation("too-few-others", "the other nodes together have fewer people than this node's policy wants")
    return total


def _travelled(header: Header, payload: bytes | None, roster: Roster, node: str, session: bytes) -> Words:
    """The share that came to this receiver, as words."""
    content = matching(header, payload)
    if roster.mode == "shares":
        content = unsealed(header, content, _receiver_key(header, roster, node, session), node)
    try:
        return header.ring.words_of(content)
    except ShapeMismatch as error:
        raise Deviation("unreadable-share", f"the share of {header.node} is of another length", header.node) from error


def matching(header: Header, payload: bytes | None) -> bytes:
    """The share that travelled, if it is the one that its contributor signed: else `missing-share` or `changed-share`."""
    if payload is None:
        raise Deviation("missing-share", f"the share of {header.node} is missing", HUB)
    if hashlib.sha256(payload).hexdigest() != header.payload_digest:
        raise Deviation("changed-share", f"the share of {header.node} is not the one that it signed", HUB)
    return payload


def unsealed(header: Header, payload: bytes, key: bytes, to: str) -> bytes:
    """The words of a sealed share; `unreadable-share` of its contributor where the key does not open it."""
    try:
        return ChaCha20Poly1305(key).decrypt(_NO_NONCE, payload, _context(header, to))
    except InvalidTag as error:
        raise Deviation("unreadable-share", f"the share that {header.node} signed does not open", header.node) from error


def contributor_keys(header: Header, roster: Roster, session: bytes) -> dict[str, bytes]:
    """A contributor's key with each receiver, in the roster's order."""
    keys = {}
    for name in roster.receivers():
        other = roster.of(name)
        if other is None:
            raise Deviation("unwilling-aggregator", f"{name} has no acceptance in the roster", HUB)
        keys[name] = _key(shared_secret(session, other.session_key, name), header, name)
    return keys


def _receiver_key(header: Header, roster: Roster, node: str, session: bytes) -> bytes:
    """A receiver's key with one contributor, checked against what the contributor committed itself to."""
    contributor, names = roster.of(header.node), list(roster.receivers())
    if contributor is None:
        raise Deviation("foreign-contributor", f"{header.node} is no contributor of the roster", HUB)
    key = _key(shared_secret(session, contributor.session_key, header.node), header, node)
    if header.commitments[names.index(node)] != commitment(key):
        raise Deviation("wrong-commitment", f"{header.node} has committed itself to another key", header.node)
    return key


def _mask(words: Words, header: Header, roster: Roster, session: bytes) -> None:
    """Hide words with a stream for each other contributor: of a pair, the first adds it and the second subtracts it."""
    for other in roster.contributors():
        if other.node == header.node:
            continue
        first, second = sorted((header.node, other.node))
        # The other one does not know our salt: the stream is tied to the question alone, and `earlier` guards it.
        common = header.model_copy(update={"node": first, "salt": "0" * 64})
        key = _key(shared_secret(session, other.session_key, other.node), common, second)
        mask = stream(key, header.ring)
        (header.ring.add if header.node == first else header.ring.subtract)(words, mask)


def _key(secret: bytes, header: Header, to: str) -> bytes:
    """The key of one message: of this run, roster, ask, block, contributor, figures and receiver."""
    return HKDF(SHA256(), 32, bytes.fromhex(header.roster_hash), _context(header, to)).derive(secret)


def _context(header: Header, to: str) -> bytes:
    named = [_KEY, header.run, header.roster_hash, header.ask, header.block, header.ask_digest, header.node, to, header.salt]
    return canonical(named)


def stream(key: bytes, ring: Ring) -> Words:
    """Uniformly random words: the key stream of AES-256-CTR, in pieces that stay in the processor's cache."""
    words = np.empty(ring.words + 2, "<u8")  # the cipher wants room for one block more
    view = words.view(np.uint8).data
    encryptor = Cipher(algorithms.AES256(key), modes.CTR(bytes(16))).encryptor()
    for start in range(0, 8 * ring.words, len(_ZEROS)):
        piece = memoryview(_ZEROS)[: 8 * ring.words - start]
        encryptor.update_into(piece, view[start:])
    return words[: ring.words].astype(np.uint64, copy=False)


def commitment(key: bytes) -> str:
    """What a contributor publishes of a key of 256 random bits."""
    return hashlib.sha256(_KEY.encode() + b"\n" + key).hexdigest()


def _salt(session: bytes, roster_hash: str, place: Place, words: Words) -> str:
    """A hash of the figures under a key that nobody else has."""
    mac = hmac.new(session, canonical([_SALT, roster_hash, *place]), hashlib.sha256)
    mac.update(raw(words))
    return mac.hexdigest()
