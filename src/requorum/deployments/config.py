"""How a member is deployed and configured, whatever the kind of deployment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Union

from requorum.hosts.direct import PeerTls
from requorum.inventory.values import ProcessDeployment, StaticPodDeployment, SystemdDeployment

Deployment = Union[ProcessDeployment, SystemdDeployment, StaticPodDeployment]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A setting that somebody made: the flag's ``name`` of it, how it is ``spelled`` there, and ``where`` (file and line, as
    far as that can be told). ``by``: a flag, a variable, a key of the config file, or a feature gate. ``known_in`` are the
    minor versions of etcd that know it, of those that we know."""

    name: str
    spelled: str
    where: str
    by: Literal["flag", "variable", "key", "gate"]
    known_in: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Hazard:
    """A setting that would do harm at the next start: how it is spelled, where it stands, what it would do (``effect``), and
    what to do about it (``remedy``). ``refuses``: no recovery may begin while it stands."""

    kind: str
    setting: str
    where: str
    effect: str
    remedy: str
    level: Literal["danger", "warning"]
    refuses: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberConfig:
    """What a member's config file, env file or manifest says.

    ``endpoint`` is where clients reach it; ``quota`` is in bytes; the last three are files on its host, empty without
    TLS. ``certificates`` are all certificate files that the member itself runs with, ``peer`` what it shows
    its peers. ``corrupt_check``: at its start it compares its data with theirs before it serves.
    ``settings`` are all that were made and ``hazards`` those of them that do
    harm whatever the disks hold; ``unsafe_no_fsync``: what it acknowledged need not be on its disk.
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
    settings: tuple[Setting, ...] = ()
    hazards: tuple[Hazard, ...] = ()
    unsafe_no_fsync: bool = False
