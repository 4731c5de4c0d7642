"""etcd's settings as flags, variables and config files say them, under the names of the flags."""

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from requorum.deployments.config import MemberConfig
from requorum.deployments.flagnames import BOOLEANS, KNOWN
from requorum.errors import RequorumError
from requorum.hosts.direct import PeerTls
from requorum.inventory import plain_yaml

DEFAULT_QUOTA = 2 << 30
CERTIFICATES = ("trusted-ca-file", "cert-file", "peer-trusted-ca-file", "peer-cert-file")


def variable_of(flag: str) -> str:
    """``ETCD_DATA_DIR`` of ``data-dir``."""
    return "ETCD_" + flag.upper().replace("-", "_")


def from_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Settings out of ETCD_* variables."""
    return {
        name[len("ETCD_") :].lower().replace("_", "-"): value
        for name, value in environment.items()
        if name.startswith("ETCD_") and name != "ETCD_"
    }


def from_flags(argv: Sequence[str]) -> dict[str, str]:
    """Settings out of a command line; of a flag that stands there twice, the last."""
    return {one.name: one.value for one in flags_of(argv)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """A flag: the word in which it stands, and how many words it takes."""

    name: str
    value: str
    at: int
    count: int


def flags_of(argv: Sequence[str]) -> list[Flag]:
    """The flags of a command line in their order, as Go's flag package reads them: ``--name=value``, ``--name value``, one
    dash or two, and a boolean one alone, which never takes the next word. A flag that is not etcd's takes the next word
    unless that is a flag itself."""
    found: list[Flag] = []
    at = 1
    while at < len(argv):
        word = argv[at]
        if word == "--":
            break
        if not word.startswith("-") or not word.lstrip("-"):
            at += 1
            continue
        name, equals, value = word.lstrip("-").partition("=")
        takes = not equals and name not in BOOLEANS and at + 1 < len(argv)
        if takes and (name in KNOWN or not argv[at + 1].startswith("-")):
            found.append(Flag(name=name, value=argv[at + 1], at=at, count=2))
            at += 2
            continue
        found.append(Flag(name=name, value=value if equals else "true", at=at, count=1))
        at += 1
    return found


def stray_word(argv: Sequence[str]) -> str:
    """The first word of etcd's command line that is no flag and no flag's value: etcd does not start with it."""
    taken = {at for one in flags_of(argv) for at in range(one.at, one.at + one.count)}
    return next((word for at, word in enumerate(argv) if at and at not in taken), "")


def with_flags(argv: Sequence[str], changes: Mapping[str, str]) -> list[str]:
    """A command line with the values of some of its flags changed."""
    out = list(argv)
    for one in reversed(flags_of(argv)):
        if one.name in changes:
            out[one.at : one.at + one.count] = [f"--{one.name}={changes[one.name]}"]
    return out


_PATHS = ("data-dir", "wal-dir")


def in_folder(found: Mapping[str, Any], folder: str, path: str) -> dict[str, Any]:
    """Settings with whole paths for etcd's dirs, and with its own default (``NAME.etcd``) where none is named, in the folder
    that etcd is started in; raises RequorumError where that is not known (``folder`` is empty, or ``~``)."""
    made = dict(found)
    if not made.get("data-dir"):
        made["data-dir"] = f"{made.get('name') or 'default'}.etcd"
    for name in _PATHS:
        value = made.get(name)
        if isinstance(value, str) and value and not value.startswith("/"):
            if not folder.startswith("/"):
                raise RequorumError(
                    f"{path}: {name} is {value!r}, and where etcd is started is not known",
                    hint=f"write the whole path: {name}: /path/to/{value}",
                )
            made[name] = os.path.normpath(os.path.join(folder, value))
    return made


def from_yaml(raw: bytes, path: str) -> dict[str, Any]:
    """Settings out of a config file; raises RequorumError when it is none. TLS files stand under the flags' names."""
    try:
        data = plain_yaml.load(raw.decode())
    except (YAMLError, ValueError, RecursionError) as err:
        raise RequorumError(f"{path}: not YAML: {' '.join(str(err).split())}") from err
    if not isinstance(data, dict):
        raise RequorumError(f"{path}: it is no etcd config file")
    for section, prefix in (("client-transport-security", ""), ("peer-transport-security", "peer-")):
        tls = data.pop(section, None) or {}
        if not isinstance(tls, dict):
            raise RequorumError(f"{path}: {section} must be a mapping")
        data.update(
            {f"{prefix}{name}": tls[name] for name in ("trusted-ca-file", "cert-file", "key-file") if name in tls}
        )
    return data


def edited_yaml(raw: bytes, changes: Mapping[str, str]) -> bytes:
    """A config file with some values changed; comments and all else stay."""
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 100000
    data = yaml.load(raw.decode())
    data.update(changes)
    out = io.StringIO()
    yaml.dump(data, out)
    return out.getvalue().encode()


def member_config(data: Mapping[str, Any], path: str, client: Mapping[str, str] | None = None) -> MemberConfig:
    """A member's configuration out of its settings; raises RequorumError when it lacks what is needed.

    ``path`` is where they come from. ``client`` holds the certificate files of etcdctl where those are named apart.
    """
    name, data_dir = data.get("name", "default"), data.get("data-dir")
    if not isinstance(data_dir, str) or not data_dir or "\0" in data_dir:
        raise RequorumError(f"{path}: it names no data-dir", hint="add data-dir: /path/to/it")
    for url in [*_list(data.get("advertise-client-urls")), *_list(data.get("listen-client-urls"))]:
        _check_url(url, path)
    endpoint = _first(data.get("advertise-client-urls")) or _first(data.get("listen-client-urls"))
    wal_dir = data.get("wal-dir") or os.path.join(data_dir, "member", "wal")
    own = {"ca": "trusted-ca-file", "cert": "cert-file", "key": "key-file"}
    files = {key: str(data.get(flag, "")) for key, flag in own.items()} if not client else dict(client)
    return MemberConfig(
        name=str(name),
        data_dir=data_dir,
        wal_dir=str(wal_dir),
        peer_urls=tuple(_list(data.get("initial-advertise-peer-urls", "http://localhost:2380"))),
        endpoint=endpoint or "http://localhost:2379",
        initial_cluster=str(data.get("initial-cluster", "")),
        token=str(data.get("initial-cluster-token", "etcd-cluster")),
        state=str(data.get("initial-cluster-state", "new")),
        quota=_quota(data.get("quota-backend-bytes"), path),
        ca=files["ca"],
        cert=files["cert"],
        key=files["key"],
        peer=_peer(data),
        corrupt_check=_true(data.get("experimental-initial-corrupt-check")) or _gated(data.get("feature-gates")),
        certificates=tuple(str(data[flag]) for flag in CERTIFICATES if data.get(flag)),
    )


def _peer(data: Mapping[str, Any]) -> PeerTls | None:
    named = [str(data.get(f"peer-{name}") or "") for name in ("trusted-ca-file", "cert-file", "key-file")]
    return PeerTls(ca=named[0], cert=named[1], key=named[2]) if all(named) else None


def _true(value: Any) -> bool:
    return str(value).lower() in ("true", "1", "t")


def _gated(value: Any) -> bool:
    """Whether etcd 3.6's feature gates switch the check on."""
    return any(one.strip().lower() == "initialcorruptcheck=true" for one in str(value or "").split(","))


def _check_url(url: str, path: str) -> None:
    try:
        good = bool(urlsplit(url).port or urlsplit(url).hostname)
    except ValueError:
        good = False
    if not good:
        raise RequorumError(f"{path}: {url!r} is no URL that a client could use")


def _quota(value: Any, path: str) -> int:
    try:
        return int(value or 0) or DEFAULT_QUOTA
    except (TypeError, ValueError) as err:
        raise RequorumError(f"{path}: quota-backend-bytes is {value!r}, not a number") from err


def _list(value: object) -> list[str]:
    return [one.strip() for one in str(value).split(",") if one.strip()] if value else []


def _first(value: object) -> str:
    found = _list(value)
    return found[0] if found else ""
