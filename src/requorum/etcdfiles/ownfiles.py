"""Which names in a data dir are etcd's own, as paths relative to it. All else was put there by somebody.

Written as POSIX extended regular expressions: ``find -regex`` on a host without Python reads the same ones. Sources: etcd's
server/storage/wal (wal.go, repair.go, file_pipeline.go), server/etcdserver/api/snap (snapshotter.go, db.go),
server/storage/backend (defrag), server/embed (fixtures of ``--auto-tls``), client/pkg/fileutil (``.touch``).
"""

import re

_INDEX = "[0-9a-f]{16}"
WAL = rf"({_INDEX}-{_INDEX}\.wal(\.broken)?|[0-9]+\.tmp|\.touch)"
SNAP = (
    rf"(db|db\.tmp\.?[0-9]*|tmp[0-9]*|{_INDEX}-{_INDEX}\.snap(\.broken|\.tmp)?|{_INDEX}\.snap\.db(\.broken)?|\.touch)"
)
FILES = (
    rf"(member/wal(\.tmp|\.broken\.[0-9.]*)?/{WAL}|member/snap/{SNAP}|fixtures/(client|peer)/(cert|key)\.pem"
    rf"|(member/)?\.touch)"
)
FOLDERS = r"(member(/snap|/wal(\.tmp|\.broken\.[0-9.]*)?)?|fixtures(/client|/peer)?)"
"""A link of such a name is part of the layout, too: it goes without what it leads to."""

_WAL, _FILES, _FOLDERS = (re.compile(one) for one in (WAL, FILES, FOLDERS))


def is_own(path: str, *, in_wal_dir: bool = False) -> bool:
    """Whether etcd makes a file of this name, relative to the data dir (or to a WAL dir that lies apart)."""
    return bool((_WAL if in_wal_dir else _FILES).fullmatch(path))


def is_own_folder(path: str) -> bool:
    """Whether etcd makes a folder of this name, relative to the data dir."""
    return bool(_FOLDERS.fullmatch(path))
