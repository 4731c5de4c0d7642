"""How a member is deployed and configured, whatever the kind of deployment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from requorum.hosts.direct import PeerTls
from requorum.inventory.values import ProcessDeployment, StaticPodDeployment, SystemdDeployment

Deployment = Union[ProcessDeployment, SystemdDeployment, StaticPodDeployment]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberConfig:
    """What a member's config file, env file or manifest says.

    ``endpoint`` is where clients reach it; ``quota`` is in bytes; the last three are files on its host, empty without
    TLS. ``certificates`` are all certificate files that the member itself runs with, ``peer`` what it shows
    its peers. ``corrupt_check``: at its start it compares its data with theirs before it serves.
    """

    name: str
    data_dir: str
    wal_dir: str
    peer_urls: tuple[str, ...]
    endpoint: str
    initial_cluster: str
    token: str
    state: str
    quota: int
    ca: str = ""
    cert: str = ""
    key: str = ""
    certificates: tuple[str, ...] = ()
    peer: PeerTls | None = None
    corrupt_check: bool = False
