"""Whether an aggregator has added up rightly: contributors disclose the keys of its shares of a block, and no others.

A share alone is uniformly random, so the figures stay hidden; `docs/concepts/secure-sum.md` says what an audit costs.
"""

from __future__ import annotations

from collections.abc import Mapping

from cohelix.core.errors import Deviation
from cohelix.federation.roster import HUB, FrozenRoster
from cohelix.federation.secure_sum import check_opening, commitment, contributor_keys, matching, receiver, stream, unsealed
from cohelix.federation.sum_documents import Header, Opening, words_digest


def disclose(own: Header, frozen: FrozenRoster, to: str, *, session: bytes, earlier: str | None = None) -> str:
    """The key of the share that one aggregator had from this node, so that anybody can check that aggregator's addition.

    One share alone tells nothing of the figures, but takes that aggregator out of those who must not collude. So a node
    discloses for one aggregator of a block only.

    Parameters
    ----------
    own
        This node's header of the block.
    earlier
        The aggregator that it disclosed for at this block before; the caller keeps it durably.

    Returns
    -------
    32 bytes in hexadecimal.

    Raises
    ------
    Deviation
        `second-disclosure`.
    """
    if earlier is not None and earlier != to:
        raise Deviation("second-disclosure", "the share of another aggregator was disclosed for this block", HUB)
    return contributor_keys(own, frozen.roster, session)[to].hex()


def check_partial(
    opening: Opening,
    of: str,
    keys: Mapping[str, str],
    payloads: Mapping[str, bytes],
    frozen: FrozenRoster,
) -> None:
    """Whether an aggregator added up what it was given, from disclosed keys.

    Parameters
    ----------
    of
        The aggregator.
    keys
        By contributor, what `disclose` gave.
    payloads
        By contributor, the sealed shares that travelled to it.

    Raises
    ------
    Deviation
        `false-disclosure` of a contributor whose key is not the one that it committed itself to; as of `aggregate` about
        its share; `wrong-partial` of the aggregator.
    """
    roster = frozen.roster
    place = opening.headers[0].place
    ring = check_opening(opening, place, frozen)
    position = list(roster.receivers()).index(of)
    total = ring.zeros()
    for one in opening.headers:
        key = bytes.fromhex(keys.get(one.node, ""))
        if commitment(key) != one.commitments[position]:
            raise Deviation("false-disclosure", f"{one.node} has committed itself to another key", one.node)
        if receiver(roster, one.node, place) == of:
            ring.add(total, ring.words_of(unsealed(one, matching(one, payloads.get(one.node)), key, of)))
        else:
            ring.add(total, stream(key, ring))
    (found,) = (added.partial for added in opening.added if added.partial.node == of)
    if found.words_digest != words_digest(total):
        raise Deviation("wrong-partial", f"the partial sum that {of} signed is not the sum of its shares", of)
