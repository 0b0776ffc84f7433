"""The node's side of joining: proves its key to the hub with a one-time token, and pins the hub's key."""

from __future__ import annotations

import os
import ssl
import tempfile
from pathlib import Path

import httpx
from pydantic import ValidationError

from cohelix.core.clock import Clock, SystemClock
from cohelix.core.errors import BadUsage, CohelixError, Conflict, Damaged, NotAuthentic, NotPermitted, Unreachable
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
    answer = post_to_hub(url, body, headers, tls=tls)
    if answer.status_code in (400, 401, 403, 404, 409):
        raise _refusal(answer)
    if answer.status_code != 200:
        raise Unreachable(f"the hub at {token.hub_url} answered HTTP {answer.status_code}")
    check_answer(
        dict(answer.headers),
        status=200,
        body=answer.content,
        to=signature_of(headers),
        key=PublicKey(token.hub_key),
        clock=clock,
    )
    try:
        confirmed = JoinConfirmed.model_validate_json(answer.content)
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
    descriptor, name = tempfile.mkstemp(dir=folder, prefix=f".{_PINNED}.")
    with os.fdopen(descriptor, "wb") as file:
        file.write(pinned.model_dump_json(indent=1).encode())
        file.flush()
        os.fsync(file.fileno())
    Path(name).replace(folder / _PINNED)


def read_pinned(folder: Path) -> PinnedHub | None:
    """The hub that this node joined, or None; `Damaged` where `hub.json` is not what was written."""
    path = folder / _PINNED
    try:
        return PinnedHub.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise Damaged(f"{path} does not name a hub and its key") from error


def post_to_hub(url: str, body: bytes, headers: dict[str, str], *, tls: ssl.SSLContext | None) -> httpx.Response:
    """Put one signed message to the hub; its answer is yet to be checked. `Unreachable` where there is none."""
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
            return httpx.Response(answer.status_code, headers=answer.headers, content=content)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unreachable(f"no hub answers at {url}: {type(error).__name__}") from error


def _refusal(answer: httpx.Response) -> CohelixError:
    """The hub's own words for why it refuses."""
    try:
        words = str(answer.json()["detail"])[:500]
    except (ValueError, KeyError, TypeError):
        words = f"HTTP {answer.status_code}"
    kinds: dict[int, type[CohelixError]] = {400: BadUsage, 409: Conflict}
    return kinds.get(answer.status_code, NotPermitted)(f"the hub refused: {words}")
