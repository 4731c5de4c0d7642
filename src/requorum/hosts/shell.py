"""A host that has no Python: what is done there is done by plain shell and coreutils, over the same ssh.

A function of ours that acts on a host has a counterpart here, or is made of such functions (then it runs on this machine,
and each of its parts there), or cannot be done on such a host, which is then said. Files are read whole; what reads
etcd's files in depth is the survey's (:mod:`requorum.survey.without_python`).
"""

import contextlib
import errno
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, ParamSpec, TypeVar

from requorum.errors import RequorumError
from requorum.hosts import bounds, containers, files, net, openssh, processes, programs, setaside, trees
from requorum.hosts.channel import Lost
from requorum.hosts.openssh import Opener
from requorum.hosts.processes import Holder
from requorum.hosts.programs import Completed

P = ParamSpec("P")
T = TypeVar("T")

OTHERS_SECONDS = 900
MISSING, EXISTS = 44, 45
_NOTE = {MISSING: errno.ENOENT, EXISTS: errno.EEXIST}


class Shell:
    """One such host. Calls may come from any thread; each is a session of its own over the one connection.

    ``overran``: something did not end in time, and may go on there: before anything else is done it must be waited for.
    """

    local = False
    bare = True

    def __init__(self, name: str, opener: Opener) -> None:
        self.name = name
        self._opener = opener
        self.overran = False

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do there what a function does; RequorumError where that needs a Python."""
        there: Any = THERE.get(function)
        if there is not None:
            result: T = there(self, *args, **kwargs)
            return result
        if not bounds.is_made_of_parts(function):
            raise RequorumError(
                f"{self.name}: {function.__name__.replace('_', ' ')} needs a Python there, and it has none",
                hint="install python3 on it, or let another host do it",
            )
        with bounds.on(self):
            return function(*args, **kwargs)

    def sh(self, script: str, *words: object, data: bytes = b"", seconds: float = 120.0) -> tuple[int, bytes, str]:
        """Run a script; returns its status, its output, and the end of what it said."""
        session = self._opener(script, [os.fspath(one) if isinstance(one, Path) else str(one) for one in words])
        timer = openssh.killer(session, seconds)
        try:
            with contextlib.suppress(OSError):
                session.stdin.write(data)
                session.stdin.close()
            out = session.stdout.read()
            status = session.end(5)
        finally:
            timer.cancel()
        if status in (255, -signal.SIGKILL):
            self.overran = self.overran or status != 255
            raise Lost(f"{self.name}: the connection dropped: {session.said()[-200:]}")
        return status, out, session.said()

    def do(self, script: str, *words: object, data: bytes = b"", seconds: float = 120.0) -> str:
        """Run a script that must succeed; raises OSError with what it said."""
        status, out, said = self.sh(script, *words, data=data, seconds=seconds)
        if status:
            number = _NOTE.get(status, errno.EIO)
            text = os.strerror(number) if status in _NOTE else said.splitlines()[-1] if said else f"status {status}"
            raise OSError(number, text, str(words[0]) if words else None)
        return out.decode(errors="replace")

    def hold(self, path: str) -> None:
        """The connection that carries this waits for what others left behind."""

    def wait_for_others(self, tag: str) -> None:
        """Wait until nothing is at work there any more that was started over another connection than ``tag``'s."""
        try:
            self.do(_OTHERS, tag, seconds=OTHERS_SECONDS + 30)
        except OSError as err:
            raise RequorumError(
                f"{self.name}: work of an earlier connection does not end there",
                hint="look what hangs: a disk, a program",
            ) from err

    def read_from(self, path: str, offset: int) -> "contextlib.AbstractContextManager[IO[bytes]]":
        """A file's bytes from an offset on."""
        return openssh.read_from(self._opener, self.name, path, offset)

    def append_to(self, path: str) -> "contextlib.AbstractContextManager[IO[bytes]]":
        """A file to append to."""
        return openssh.append_to(self._opener, self.name, path)

    def close(self) -> None:
        """Nothing to end: whoever opens the sessions ends the connection."""


_OTHERS = (
    f"end=$(($(date +%s) + {OTHERS_SECONDS})); while :; do found=; for p in /proc/[0-9]*; do "
    f"t=$(tr '\\000' '\\n' < \"$p/environ\" 2>/dev/null | sed -n 's/^{openssh.TAG}=//p'); "
    '[ -n "$t" ] && [ "$t" != "$1" ] && { found=1; break; }; done; [ "$found" ] || exit 0; '
    '[ "$(date +%s)" -lt "$end" ] || exit 1; sleep 0.2; done'
)


def _run(host: Shell, argv: Sequence[Any], *, seconds: float, env: Any = None, cwd: str | None = None) -> Completed:
    words = [os.fspath(one) for one in argv]
    given = [f"PATH={programs.PATH}", *(f"{key}={value}" for key, value in (env or {}).items())]
    tagged = f'env -i "{openssh.TAG}=${openssh.TAG}" timeout -k 5 "$limit" env "$@"'
    script = f'cd "$1" || exit 126; limit=$2; shift 2; exec {tagged} </dev/null'
    status, out, said = host.sh(script, cwd or "/", f"{seconds:.1f}", *given, *words, seconds=seconds + 30)
    if status == 124:
        raise programs.TimedOut(words, f"did not end within {seconds:.0f} s", said)
    if status in (126, 127):
        raise programs.NotFound(words, f"cannot be run: {said or 'it is not there'}")
    if status > 128:
        raise programs.Killed(words, f"was killed by signal {status - 128}", said)
    if status:
        raise programs.ExitedNonZero(words, f"failed with status {status}", said or out.decode(errors="replace"))
    return Completed(out=out.decode(errors="replace"), err=said)


def _which(host: Shell, name: str, folders: Sequence[Any]) -> Path | None:
    script = 'n=$1; shift; for d in "$@"; do [ -f "$d/$n" ] && [ -x "$d/$n" ] && echo "$d/$n" && exit 0; done; exit 0'
    found = host.do(script, name, *folders).strip()
    return Path(found) if found else None


def _read_file(host: Shell, path: Path) -> bytes:
    status, out, said = host.sh(f'[ -e "$1" ] || exit {MISSING}; [ -f "$1" ] || exit 46; exec cat -- "$1"', path)
    if status:
        number = _NOTE.get(status, errno.EINVAL)
        raise OSError(number, os.strerror(number) if status in _NOTE else said or "not a regular file", str(path))
    return out


def _read_begin(host: Shell, path: Path, size: int) -> bytes:
    status, out, said = host.sh(f'[ -f "$1" ] || exit {MISSING}; exec head -c "$2" -- "$1"', path, size)
    if status:
        number = _NOTE.get(status, errno.EINVAL)
        raise OSError(number, os.strerror(number) if status in _NOTE else said, str(path))
    return out


def _children(host: Shell, folder: Path, kept: Sequence[str] = ()) -> list[Path]:
    return [folder / one for one in _names_in(host, folder) if one not in kept]


def _names_in(host: Shell, path: Path) -> list[str]:
    return host.do('[ -d "$1" ] || exit 0; ls -A1 -- "$1"', path).splitlines()


_WRITE = (
    'umask 077; p="${1%/*}/.${1##*/}.part"; cat > "$p" && chmod "$2" "$p" && sync "$p" && mv -f -- "$p" "$1" '
    '&& sync "${1%/*}"'
)
_LIKE = (
    'p="${1%/*}/.${1##*/}.part"; rm -f -- "$p"; cp -a -- "$2" "$p" && cat > "$p" && sync "$p" && mv -f -- "$p" "$1" '
    '&& sync "${1%/*}"'
)
_CREATE = (
    'umask 077; p="${1%/*}/.${1##*/}.$$.part"; cat > "$p" && sync "$p"; '
    'if ln -- "$p" "$1" 2>/dev/null; then r=yes; else r=no; fi; rm -f -- "$p"; sync "${1%/*}"; echo $r'
)
_RENAME = (
    f'[ -e "$2" ] || [ -L "$2" ] && exit {EXISTS}; [ -e "$1" ] || [ -L "$1" ] || exit {MISSING}; '
    'mv -nT -- "$1" "$2" && { [ ! -e "$1" ] || exit 1; } && sync "${2%/*}" "${1%/*}"'
)
_MOVE = (
    'n=0; [ -d "$1" ] || { echo 0; exit 0; }; for f in "$1"/* "$1"/.[!.]* "$1"/..?*; do [ -e "$f" ] || [ -L "$f" ] || continue; '
    'case "${f##*/}" in lost+found|.requorum) continue;; esac; mkdir -p -m 0700 -- "$2" || exit 1; '
    f't="$2/${{f##*/}}"; [ ! -e "$t" ] && [ ! -L "$t" ] || exit {EXISTS}; mv -nT -- "$f" "$t" || exit 1; '
    '[ ! -e "$f" ] && [ ! -L "$f" ] || exit 1; n=$((n+1)); done; '
    'sync "$1"; [ -d "$2" ] && sync "$2"; echo $n'
)
_COPY = (
    '[ -e "$2" ] && { echo 0; exit 0; }; p="$2.part"; rm -rf -- "$p"; mkdir -p -m 0700 -- "$p" || exit 1; '
    'for f in "$1"/* "$1"/.[!.]* "$1"/..?*; do [ -e "$f" ] || [ -L "$f" ] || continue; '
    'case "${f##*/}" in lost+found|.requorum) continue;; esac; cp -a --reflink=auto -- "$f" "$p/" || exit 1; done; '
    'sync -f "$p" && mv -nT -- "$p" "$2" && sync "${2%/*}" && find "$2" -mindepth 1 | wc -l'
)
_FINISH = (
    'set -- "$1" "$2" "$3"; [ "$(sha256sum -- "$1" | cut -d" " -f1)" = "$3" ] || { rm -f -- "$1"; echo no; exit 0; }; '
    'chmod 600 "$1" && sync "$1" && mv -f -- "$1" "$2" && sync "${2%/*}" && echo yes'
)
_HOLDERS = (
    'for d in "$@"; do set -- "$@" "$(readlink -m -- "$d")"; shift; done; '
    'for p in /proc/[0-9]*; do for fd in "$p"/fd/*; do t=$(readlink "$fd" 2>/dev/null) || continue; hit=; '
    'for d in "$@"; do case "$t" in "$d"/*) hit=1;; esac; done; [ "$hit" ] || continue; '
    'f=$(sed -n \'s/^flags:.*\\(.\\)$/\\1/p\' "$p/fdinfo/${fd##*/}" 2>/dev/null); case "$f" in 1|2) '
    'c=$(tr "\\000" " " < "$p/cmdline"); [ "$c" ] || c=$(cat "$p/comm" 2>/dev/null); '
    'printf "%s %s\\n" "${p#/proc/}" "$c"; break;; esac; done; done; exit 0'
)
_COMMANDS = (
    "own=$(readlink /proc/1/ns/net); "
    'for p in /proc/[0-9]*; do c=$(tr "\\000" "\\037" < "$p/cmdline" 2>/dev/null) && [ "$c" ] || continue; '
    '[ "$(readlink "$p/ns/net")" = "$own" ] && n=1 || n=0; printf "%s %s %s\\n" "${p#/proc/}" "$n" "$c"; done; exit 0'
)
_FAULT = (
    '[ -e "$1" ] || exit 0; at() { q=$1; while [ ! -e "$q" ]; do q=${q%/*}; done; df --output=target -- "$q" | tail -n 1; }; '
    '[ "$(at "$1")" = "$(at "$2")" ] || { echo "file system"; exit 0; }; [ -w "$1" ] || echo permission'
)
_FREE = 'q=$1; while [ ! -e "$q" ]; do q=${q%/*}; [ "$q" ] || q=/; done; df -B1 --output=avail -- "$q" | tail -n 1'
_MAY = (
    'case "$2" in *[!0-9]*) u=$(id -u "$2" 2>/dev/null) || { echo no; exit 0; };; *) u=$2;; esac; '
    '[ "$u" = 0 ] && { echo yes; exit 0; }; '
    'set -- $(stat -c "%u %g %a" -- "$1") $(id -G "$2" 2>/dev/null); o=$1; g=$2; m=$(printf %03d $3); shift 3; bit=${m#??}; '
    '[ "$o" = "$u" ] && bit=${m%??}; for x in "$@"; do [ "$x" = "$g" ] && [ "$o" != "$u" ] && bit=$(echo $m | cut -c2); done; '
    "case $bit in 3|7) echo yes;; *) echo no;; esac"
)
_UNRESOLVED = (
    'command -v getent >/dev/null || exit 0; s=$1; shift; for n in "$@"; do '
    '(timeout "$s" getent ahosts -- "$n" >/dev/null || echo "$n") & done; wait; exit 0'
)
_APPEND = '[ -d "${1%/*}" ] || { echo no; exit 0; }; umask 077; cat >> "$1" && sync "$1" && echo yes'


def _unresolved(host: Shell, names: Sequence[str]) -> tuple[str, ...]:
    lost = host.do(_UNRESOLVED, int(net.RESOLVE_SECONDS), *names).split()
    return tuple(name for name in names if name in lost)


_LOCAL = (
    'command -v getent >/dev/null && command -v hostname >/dev/null || exit 0; m=" $(hostname -I) ::1 "; s=$1; shift; '
    'for n in "$@"; do for a in $(timeout "$s" getent ahosts -- "$n" | cut -d " " -f 1); do '
    'case "$a" in 127.*) echo "$n"; break;; esac; case "$m" in *" $a "*) echo "$n"; break;; esac; done; done; exit 0'
)


def _local(host: Shell, names: Sequence[str]) -> tuple[str, ...]:
    found = host.do(_LOCAL, int(net.RESOLVE_SECONDS), *names).split()
    return tuple(name for name in names if name in found)


def _append(host: Shell, path: Path, raw: bytes) -> bool:
    return host.do(_APPEND, path, data=raw).strip() == "yes"


def _holders(host: Shell, folders: list[Path]) -> tuple[Holder, ...]:
    lines = [line.partition(" ") for line in host.do(_HOLDERS, *folders).splitlines()]
    return tuple(Holder(pid=int(pid), command=command.strip(), locks=False, ports=()) for pid, _, command in lines)


def _commands(host: Shell) -> tuple[processes.Command, ...]:
    lines = [line.split(" ", 2) for line in host.do(_COMMANDS).split("\n") if line[:1].isdigit()]
    return tuple(
        processes.Command(pid=int(pid), words=tuple(words.rstrip("\x1f").split("\x1f")), on_host=on_host == "1")
        for pid, on_host, words in lines
    )


def _move(host: Shell, source: Path, target: Path, kept: Sequence[str] = (), stays: str = "") -> int:
    if stays:
        raise RequorumError(f"{host.name}: a log inside the data dir cannot be moved by itself without a Python there")
    return int(host.do(_MOVE, source, target, seconds=600))


def _copy(host: Shell, source: Path, target: Path, kept: Sequence[str] = (), stays: str = "") -> int:
    if stays:
        raise RequorumError(f"{host.name}: a log inside the data dir cannot be copied by itself without a Python there")
    return int(host.do(_COPY, source, target, seconds=3600))


def _size_if_there(host: Shell, path: Path) -> int:
    return int(host.do('[ -f "$1" ] && stat -c %s -- "$1" || echo 0', path))


def _newest_aside(host: Shell, path: Path) -> Path:
    found = host.do('[ -e "$1" ] && { echo "$1"; exit 0; }; ls -1tc -- "$1".requorum-* 2>/dev/null | head -n 1', path)
    return Path(found.strip()) if found.strip() else path


THERE: dict[Callable[..., Any], Callable[..., Any]] = {
    programs.run: _run,
    programs.which: _which,
    net.clock: lambda host: float(host.do("date +%s.%N")),
    net.healthy: lambda host, url, ca, cert, key: None,
    net.ready: lambda host, url: "" if _answers(host, url, net.ANSWER_SECONDS) else f"nothing listens at {url}",
    net.answers: lambda host, url, seconds=3.0: _answers(host, url, seconds),
    net.unresolved: _unresolved,
    net.local: _local,
    files.read_file: _read_file,
    files.read_begin: _read_begin,
    files.read_end: lambda host, path, size: files.whole_lines(
        host.do('tail -c "$2" -- "$1"', path, size + 1).encode(), size
    ),
    files.there: lambda host, path: host.do('if [ -e "$1" ] || [ -L "$1" ]; then echo yes; fi', path) != "",
    files.names_in: _names_in,
    trees.children: _children,
    files.newest_aside: _newest_aside,
    files.make_dir: lambda host, path, mode=0o700: host.do(
        '[ -d "$1" ] || { umask 077; mkdir -p -m "$2" -- "$1" && sync "${1%/*}"; }', path, f"{mode:o}"
    ),
    files.write_durably: lambda host, path, data, mode=0o600: host.do(_WRITE, path, f"{mode:o}", data=data),
    files.write_like: lambda host, path, data, like: host.do(_LIKE, path, like, data=data),
    files.create_exclusively: lambda host, path, data: host.do(_CREATE, path, data=data).strip() == "yes",
    files.rename_durably: lambda host, source, target: host.do(_RENAME, source, target),
    files.replace_durably: lambda host, source, target: host.do(
        '[ "$1" -ef "$2" ] && exit 0; mv -fT -- "$1" "$2" && sync "${2%/*}" "${1%/*}"', source, target
    ),
    files.link_durably: lambda host, source, target: host.do('ln -P -- "$1" "$2" && sync "${2%/*}"', source, target),
    files.keep_aside: lambda host, path, run: host.do(
        'k="$1.requorum-$2"; [ -e "$1" ] && [ ! -e "$k" ] || exit 0; ln -P -- "$1" "$k" && sync "${1%/*}"',
        path,
        run,
    ),
    files.put_back: lambda host, path, run: host.do(
        'k="$1.requorum-$2"; [ -e "$k" ] || exit 0; mv -fT -- "$k" "$1" && sync "${1%/*}"', path, run
    ),
    files.remove_made: lambda host, path: host.do(
        'rm -rf --one-file-system -- "$1" || exit 1; [ -d "${1%/*}" ] && sync "${1%/*}"; exit 0', path, seconds=600
    ),
    files.remove_if_empty: lambda host, folder: host.do('rmdir -- "$1" 2>/dev/null; exit 0', folder),
    setaside.remove_run: lambda host, folder, data_dir, wal_dir: tuple(
        sorted(host.do(setaside.SCRIPT, folder, data_dir, wal_dir, seconds=600).splitlines())
    ),
    trees.move_children: _move,
    trees.copy_children: _copy,
    trees.own_tree_like: lambda host, path, like: host.do(
        'chown -R --reference="$2" -- "$1" || exit 1; chcon -R --reference="$2" -- "$1" 2>/dev/null; exit 0', path, like
    ),
    trees.sync_tree: lambda host, path: host.do('exec sync -f -- "$1"', path, seconds=600),
    files.sha256_of: lambda host, path: host.do('sha256sum -- "$1" | cut -d" " -f1', path, seconds=1800).strip(),
    files.size_of: lambda host, path: int(host.do(f'[ -e "$1" ] || exit {MISSING}; stat -c %s -- "$1"', path)),
    files.size_if_there: _size_if_there,
    files.finish_part: lambda host, part, target, sha256, found="": (
        host.do(_FINISH, part, target, sha256, seconds=1800).strip() == "yes"
    ),
    files.free_bytes: lambda host, path: int(host.do(_FREE, path)),
    trees.fault_of_move: lambda host, folder, work: host.do(_FAULT, folder, work).strip(),
    files.may_write: lambda host, folder, user: host.do(_MAY, folder, user).strip() == "yes",
    files.append_durably: _append,
    files.append_if_there: _append,
    files.make_executable: lambda host, path: host.do('exec chmod 700 -- "$1"', path),
    processes.holders_of: _holders,
    processes.commands: _commands,
    processes.serving: lambda host, port: (),
    containers.refuses: lambda host, socket: host.do('[ -S "$1" ] || echo no', socket) != "",
    processes.signal_to: lambda host, pid, number: host.do('kill -"$2" "$1" 2>/dev/null; exit 0', pid, int(number)),
}
"""What a function of ours is on such a host."""


def _answers(host: Shell, url: str, seconds: float) -> bool:
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    script = 'exec timeout "$3" bash -c \'exec 3<>"/dev/tcp/$0/$1"\' "$1" "$2" 2>/dev/null'
    status, _, _ = host.sh(script, parts.hostname or "localhost", parts.port or 2379, seconds)
    return status == 0
