"""Logs of etcd 2: the files are named and framed as those of etcd 3, but what they hold are requests of the v2 API."""

from typing import Iterable

from requorum.etcdfiles import messages, protowire
from requorum.etcdfiles.messages import Entry
from requorum.etcdfiles.protowire import WireError

METHODS = (b"POST", b"PUT", b"DELETE", b"GET", b"QGET", b"SYNC")
OWN = b"/0/"
"""etcd 3.4 and 3.5 keep what they know of members and of the cluster's version below this path of the v2 store."""
WHAT = "a log of etcd 2: it holds nothing but requests of the v2 API, and there is no db. This tool recovers v3 data"


def is_all_there_is(entries: Iterable[Entry]) -> bool:
    """Whether the normal entries are requests of the v2 API (etcdserverpb.Request), some of a client's or of etcd 2's own."""
    clients = False
    for entry in entries:
        if entry.type != messages.ENTRY_NORMAL or not entry.data:
            continue
        method = path = b""
        try:
            for number, _, value in protowire.fields(entry.data):
                if number == 2 and not isinstance(value, int):
                    method = bytes(value[:8])
                elif number == 3 and not isinstance(value, int):
                    path = bytes(value[:8])
        except WireError:
            return False
        if method not in METHODS:
            return False
        clients = clients or not path.startswith(OWN)
    return clients
