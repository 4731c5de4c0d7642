"""Whether the names in a member's configuration lead anywhere, as its own host sees it."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from requorum.deployments.config import MemberConfig
from requorum.hosts import net
from requorum.hosts.connection import Connection


def unresolved(host: Connection, config: MemberConfig) -> tuple[str, ...]:
    """The names in a member's own URLs, and in those of its fellows, for which its host finds no address."""
    fellows = [one.partition("=")[2] for one in config.initial_cluster.split(",")]
    names = net.names_of([*config.peer_urls, config.endpoint, *fellows])
    return host.call(net.unresolved, list(names)) if names else ()


def still_at(host: Connection, config: MemberConfig, known: Sequence[str]) -> tuple[str, ...]:
    """Of the peer URLs that a cluster knows a member at, and its configuration does not have, those that lead to it all the
    same: an address where it has a name, on the same port."""
    ports = {_place(one)[1] for one in config.peer_urls}
    others = [one for one in known if one not in config.peer_urls and _place(one)[1] in ports and _place(one)[0]]
    here = host.call(net.local, [_place(one)[0] for one in others]) if others else ()
    return tuple(one for one in others if _place(one)[0] in here)


def _place(url: str) -> tuple[str, int]:
    """The host and the port of a URL; nothing where it is none."""
    try:
        parts = urlsplit(url.strip())
        return parts.hostname or "", parts.port or 0
    except ValueError:
        return "", 0


def fault(host: Connection, config: MemberConfig) -> str:
    """Why a member could not be found at its own URLs; empty where nothing speaks against it. A name of a fellow is looked
    up by that one's host."""
    names = net.names_of([*config.peer_urls, config.endpoint])
    lost = host.call(net.unresolved, list(names)) if names else ()
    return f"{', '.join(lost)} does not resolve on {host.name}" if lost else ""
