"""What in Kubernetes' own data can hinder its return after a recovery, and the command that helps.

An admission webhook that must not fail, and that a pod of the cluster serves, keeps that very pod from being made again
(OCPBUGS-6729). The record of an API server that no lease ends stays among the endpoints of the service ``kubernetes`` for
good (kubernetes#86812). Both are pointed out, nothing is changed.
"""

import base64
import shlex
from typing import Any

from requorum.etcd import client
from requorum.etcdfiles import protowire
from requorum.hosts import programs
from requorum.proof.prove import CALL_SECONDS, Asked

REGISTRY = "/registry/"
MASTERS = "/registry/masterleases/"
KINDS = ("validatingwebhookconfigurations", "mutatingwebhookconfigurations")
_MAGIC = b"k8s\x00"


def look(member: Asked) -> tuple[str, ...]:
    """What is worth knowing before pods come back; nothing where etcd holds no Kubernetes, or does not tell."""
    try:
        configurations = [one for kind in KINDS for one in _get(member, f"{REGISTRY}{kind}/")]
        masters = _get(member, MASTERS)
        leases = _leases(member) if masters else set()
    except (programs.ProgramError, KeyError, TypeError, ValueError):
        return ()
    notes = [note for key, kv in configurations for note in webhook_notes(key, _value(kv))]
    flags = " ".join(shlex.quote(one) for one in member.flags)
    for key, kv in masters:
        if int(kv.get("lease", 0)) not in leases:
            notes.append(
                f"the record of API server {key.rpartition('/')[2]} has no lease that would ever end it; if none runs "
                f"there: etcdctl {flags} del {shlex.quote(key)}"
            )
    return tuple(notes)


def _get(member: Asked, prefix: str) -> list[tuple[str, dict[str, Any]]]:
    answer = member.host.call(client.ctl_json, member.tools, member.flags, ["get", prefix, "--prefix"], CALL_SECONDS)
    return [(base64.b64decode(one["key"]).decode(errors="replace"), one) for one in answer.get("kvs") or []]


def _value(kv: dict[str, Any]) -> bytes:
    return base64.b64decode(kv.get("value", ""))


def _leases(member: Asked) -> set[int]:
    answer = member.host.call(client.ctl_json, member.tools, member.flags, ["lease", "list"], CALL_SECONDS)
    return {int(one["id"]) for one in answer.get("leases") or []}


def webhook_notes(key: str, value: bytes) -> tuple[str, ...]:
    """The webhooks of one configuration that must not fail, by its key and its value as Kubernetes stores it."""
    words = key.removeprefix(REGISTRY).split("/")
    if not key.startswith(REGISTRY) or len(words) != 2 or words[0] not in KINDS:
        return ()
    kind, name = words[0].removesuffix("s"), words[1]
    try:
        served = sorted({service for fatal, service in _webhooks(value) if fatal and service})
    except (protowire.WireError, UnicodeDecodeError):
        return ()
    if not served:
        return ()
    note = (
        f"{kind} {name} refuses requests while {', '.join(served)} does not run, also those that would start it again; if "
        f"pods do not come back: kubectl get {kind} {name} -o yaml > {name}.yaml && kubectl delete {kind} {name}"
    )
    return (note,)


def _webhooks(value: bytes) -> list[tuple[bool, str]]:
    """Of each webhook whether it must not fail, and the service that answers (``namespace/name``), empty for a URL.

    The value is ``k8s\\0`` and a runtime.Unknown whose field 2 is the object; its field 2 are the webhooks, of which 2 is
    the clientConfig (1: the service) and 4 the failurePolicy. The default is Fail.
    """
    if not value.startswith(_MAGIC):
        return []
    found = []
    for raw in _all(value[len(_MAGIC) :], 2):
        for webhook in _all(raw, 2):
            policy = b"".join(bytes(one) for one in _all(webhook, 4)).decode()
            service = ""
            for config in _all(webhook, 2):
                for one in _all(config, 1):
                    names = [b"".join(bytes(part) for part in _all(one, number)).decode() for number in (1, 2)]
                    service = "/".join(names)
            found.append((policy in ("", "Fail"), service))
    return found


def _all(message: Any, wanted: int) -> list[Any]:
    return [value for number, wire, value in protowire.fields(message) if (number, wire) == (wanted, protowire.BYTES)]
