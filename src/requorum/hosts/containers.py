"""Containers on a host, as its runtime tells of them through crictl or ctr, whichever is there (containerd brings ctr).

Looked at only, but for programs that are copied out of an image: etcd is stopped by a signal to its process, which works
without a runtime, too (its shims survive it), and a runtime sees as it sees any other end.
"""

from __future__ import annotations

import contextlib
import json
import socket as _sockets
from collections.abc import Sequence
from pathlib import Path

from requorum.errors import RequorumError
from requorum.hosts import files, programs
from requorum.hosts.bounds import made_of_parts, part, within

CLIENTS = ("crictl", "ctr")
FOLDERS = (*programs.PATH.split(":"), "/opt/bin", "/var/lib/rancher/rke2/bin")
SECONDS = 20.0
IN_IMAGE = ("/usr/local/bin", "/usr/bin", "/bin")
"""Where images of etcd keep its programs."""
_BRING = "bring the programs of this version along: --etcd-dir DIR"
_POD = "io.kubernetes.pod.name"
_NAMESPACE = "io.kubernetes.pod.namespace"
_KIND = "io.cri-containerd.kind"


def _client(socket: str, among: Sequence[str] = CLIENTS) -> tuple[str, list[str]]:
    """The first client that is there: its name, and the words that a command of it begins with; empty when none is."""
    for name in among:
        path = programs.which(name, FOLDERS)
        if path is None:
            continue
        if name == "crictl":
            return name, [str(path), f"--runtime-endpoint=unix://{socket}", f"--image-endpoint=unix://{socket}"]
        return name, [str(path), f"--address={socket}", "--namespace=k8s.io"]
    return "", []


@part
def refuses(socket: str) -> bool:
    """Whether nothing listens at a socket: clients take ten seconds or twenty to say so."""
    with contextlib.closing(_sockets.socket(_sockets.AF_UNIX)) as made:
        made.settimeout(SECONDS / 2)
        try:
            made.connect(socket)
        except (ConnectionRefusedError, FileNotFoundError):
            return True
        except OSError:
            return False
    return False


def _ask(socket: str, argv: Sequence[str]) -> str:
    if refuses(socket):
        raise RequorumError(f"the container runtime does not answer: nothing listens at {socket}")
    try:
        return programs.run(argv, seconds=SECONDS).out
    except programs.ProgramError as err:
        raise RequorumError(f"the container runtime does not answer: {err}") from err


@made_of_parts
def fault_of(socket: str) -> str:
    """Why the runtime does not answer; empty when it does, or when there is nothing to ask it with."""
    name, argv = _client(socket)
    if not name:
        return f"nothing listens at {socket}" if refuses(socket) else ""
    try:
        _ask(socket, [*argv, "version"])
    except RequorumError as err:
        return err.message
    return ""


@made_of_parts
def running(socket: str, namespace: str, pod: str, *, sandbox: bool) -> tuple[str, ...]:
    """The ids of a pod's containers that run, with ``sandbox`` that of its sandbox too; none when there is nothing to ask
    the runtime with. Raises RequorumError when it does not answer.
    """
    name, argv = _client(socket)
    if not name:
        return ()
    if name == "crictl":
        found = _of_crictl(_ask(socket, [*argv, "ps", "--output=json"]), "containers", namespace, pod)
        if sandbox:
            found += _of_crictl(
                _ask(socket, [*argv, "pods", "--state=ready", "--output=json"]), "items", namespace, pod
            )
        return tuple(found)
    labels = {_POD: pod, _NAMESPACE: namespace, **({} if sandbox else {_KIND: "container"})}
    wanted = ",".join(f'labels."{key}"=={value}' for key, value in labels.items())
    ids = set(_ask(socket, [*argv, "containers", "list", "--quiet", wanted]).split())
    if not ids:
        return ()
    rows = [line.split() for line in _ask(socket, [*argv, "tasks", "list"]).splitlines()[1:]]
    return tuple(row[0] for row in rows if len(row) == 3 and row[0] in ids and row[2] not in ("STOPPED", "UNKNOWN"))


def _of_crictl(said: str, key: str, namespace: str, pod: str) -> list[str]:
    try:
        rows = json.loads(said).get(key) or []
        return [
            str(one["id"])
            for one in rows
            if (one["labels"].get(_NAMESPACE), one["labels"].get(_POD)) == (namespace, pod)
        ]
    except (ValueError, KeyError, AttributeError, TypeError) as err:
        raise RequorumError(f"the container runtime's answer cannot be read: {err!r}") from err


@made_of_parts
def has_image(socket: str, image: str) -> bool:
    """Whether an image is on this host; True where there is nothing to ask with. Raises RequorumError when the runtime
    does not answer."""
    name, argv = _client(socket)
    if not name:
        return True
    if name == "ctr":
        image = _reference(image)
        return bool(_ask(socket, [*argv, "images", "list", "--quiet", f"name=={image}"]).strip())
    if refuses(socket):
        raise RequorumError(f"the container runtime does not answer: nothing listens at {socket}")
    try:
        programs.run([*argv, "inspecti", image], seconds=SECONDS)
    except programs.ExitedNonZero as err:
        if "no such image" in err.detail.lower() or "not found" in err.detail.lower():
            return False
        raise RequorumError(f"the container runtime does not answer: {err}") from err
    except programs.ProgramError as err:
        raise RequorumError(f"the container runtime does not answer: {err}") from err
    return True


def _reference(image: str) -> str:
    """An image's name as the runtime keeps it: one that is pinned by its digest is kept without its tag."""
    name, at, digest = image.partition("@")
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}{last.partition(':')[0]}@{digest}" if at else image


@made_of_parts
@within(300.0)
def copy_out(socket: str, image: str, names: Sequence[str], folder: Path) -> tuple[str, ...]:
    """Copy programs out of an image into a folder; returns the names that were in it.

    Raises RequorumError where that does not go: it takes containerd with its ctr.
    """
    name, argv = _client(socket, ("ctr",))
    if not name:
        raise RequorumError(f"nothing here can open image {image}: there is no ctr", hint=_BRING)
    view = folder / "image"
    files.make_dir(view)
    try:
        _mount(socket, argv, _reference(image), view)
        return tuple(name for name in names if _copied(view, name, folder))
    finally:
        with contextlib.suppress(programs.ProgramError):
            programs.run([*argv, "images", "unmount", "--rm", str(view)], seconds=SECONDS)
        files.remove_if_empty(view)


def _mount(socket: str, argv: Sequence[str], image: str, view: Path) -> None:
    """Mount a view of an image by whichever snapshotter has it unpacked: the runtime's need not be the default one."""
    said = ""
    try:
        rows = [line.split() for line in _ask(socket, [*argv, "plugins", "list"]).splitlines()]
    except RequorumError as err:
        raise RequorumError(err.message, hint=_BRING) from err
    usable = [row[1] for row in rows if row and row[0] == "io.containerd.snapshotter.v1" and row[-1] == "ok"]
    for snapshotter in sorted(usable, key=lambda one: one != "overlayfs"):
        try:
            programs.run([*argv, "images", "mount", f"--snapshotter={snapshotter}", image, str(view)], seconds=SECONDS)
        except programs.ProgramError as err:
            said = str(err)
            continue
        return
    raise RequorumError(
        f"image {image} cannot be opened: {said or 'containerd has no snapshotter that works'}", hint=_BRING
    )


def _copied(view: Path, name: str, folder: Path) -> bool:
    found = programs.which(name, [f"{view}{place}" for place in IN_IMAGE])
    if found is None:
        return False
    target = folder / name
    programs.run(["cp", "--dereference", str(found), f"{target}.part"], seconds=120.0)
    programs.run(["chmod", "0700", f"{target}.part"], seconds=10.0)
    programs.run(["mv", f"{target}.part", str(target)], seconds=10.0)
    return True
