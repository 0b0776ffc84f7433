"""The node's side of joining: proves its key to the hub with a one-time token, and pins the hub's key."""

from __future__ import annotations

import json
import ssl
from collections.abc import Sequence
from pathlib import Path

import httpx
from pydantic import ValidationError

from cohelix.core.clock import Clock, SystemClock
from cohelix.core.errors import BadUsage, CohelixError, Conflict, Damaged, NotAuthentic, NotPermitted, Unreachable
from cohelix.core.private_files import replace_private
from cohelix.federation.registry import JoinToken
from cohelix.federation.signing import Identity, PublicKey, check_answer, sign_request, signature_of
from cohelix.federation.transport import PATH, address_of, checked_address, fixed_tls
from cohelix.wire.federation import JoinConfirmed, JoinRequest, PinnedHub

_PINNED = "hub.json"
_SECONDS = 20.0
_ANSWER_BYTES_MAX = 256 * 1024


def join(
    identity: Identity,
    token: JoinToken,
    request: JoinRequest,
    *,
    tls: ssl.SSLContext | None = None,
    clock: Clock | None = None,
) -> PinnedHub:
    """Put a join request to the token's hub and return what the node is to pin.

    Parameters
    ----------
    tls
        Whom the connection trusts; those whom the system trusts where nothing is given.

    Raises
    ------
    Unreachable
        If the hub does not answer.
    NotPermitted, Conflict, BadUsage
        If the hub refuses, in the hub's words.
    NotAuthentic
        If the answer is not the hub's whose key the token holds.
    """
    clock = clock or SystemClock()
    if token.member != request.node:
        raise NotPermitted(f"this token is for member {token.member}, and this node is {request.node}")
    url = f"{checked_address(token.hub_url, private_addresses=True)}{PATH}/join"
    body = request.model_dump_json().encode()
    headers = sign_request(identity, method="POST", url=url, body=body, clock=clock)
    answer = post_to_hub(url, body, headers, keys=(PublicKey(token.hub_key),), tls=tls, clock=clock)
    try:
        confirmed = JoinConfirmed.model_validate_json(answer)
    except ValidationError as error:
        raise NotAuthentic("the hub's confirmation is not one") from error
    member = confirmed.member
    if (member.id, member.key, confirmed.hub_key) != (request.node, identity.public, token.hub_key):
        raise NotAuthentic("the hub confirmed something else than was asked")
    return PinnedHub(
        hub_url=confirmed.hub_url,
        hub_key=token.hub_key,
        node_url=address_of(member),
        dials_out=member.dials_out,
        joined_at=clock.now().isoformat(timespec="seconds"),
    )


def write_pinned(folder: Path, pinned: PinnedHub) -> None:
    """Keep the hub's address and key in the node's folder, in place of an earlier hub's; atomic."""
    replace_private(folder / _PINNED, pinned.model_dump_json(indent=1).encode())


def read_pinned(folder: Path) -> PinnedHub | None:
    """The hub that this node joined, or None; `Damaged` where `hub.json` is not what was written."""
    path = folder / _PINNED
    try:
        return PinnedHub.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise Damaged(f"{path} does not name a hub and its key") from error


def post_to_hub(
    url: str,
    body: bytes,
    headers: dict[str, str],
    *,
    keys: Sequence[PublicKey],
    tls: ssl.SSLContext | None,
    clock: Clock | None = None,
) -> bytes:
    """Put one signed message to the hub and give its answer, which one of these keys signed.

    Raises
    ------
    Unreachable
        If the hub does not answer.
    NotPermitted, Conflict, BadUsage
        If it refuses, in its words.
    NotAuthentic
        If the answer is not the hub's.
    """
    try:
        with (
            httpx.Client(verify=tls or fixed_tls()(), trust_env=False, follow_redirects=False, timeout=_SECONDS) as client,
            client.stream("POST", url, content=body, headers=headers) as answer,
        ):
            content = b""
            for part in answer.iter_raw():
                content += part
                if len(content) > _ANSWER_BYTES_MAX:
                    raise NotAuthentic("the hub's answer is too long to be one")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unreachable(f"no hub answers at {url}: {type(error).__name__}") from error
    if answer.status_code in (400, 401, 403, 404, 409):
        raise _refusal(answer.status_code, content)
    if answer.status_code != 200:
        raise Unreachable(f"the hub at {url} answered HTTP {answer.status_code}")
    check_answer(dict(answer.headers), status=200, body=content, to=signature_of(headers), keys=keys, clock=clock)
    return content


def _refusal(status: int, content: bytes) -> CohelixError:
    """The hub's own words for why it refuses."""
    try:
        words = str(json.loads(content)["detail"])[:500]
    except (ValueError, KeyError, TypeError):
        words = f"HTTP {status}"
    kinds: dict[int, type[CohelixError]] = {400: BadUsage, 409: Conflict}
    return kinds.get(status, NotPermitted)(f"the hub refused: {words}")
