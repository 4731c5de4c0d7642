"""The db of an etcd that nobody has written to, as bytes: ``etcdutl snapshot restore`` makes a member's log from it.

What a restore writes into the log and the ``.snap`` file depends on the members that it is told, not on the data (a
contract test compares them), so the data need not go through every host's restore.
"""

import struct

from requorum.etcdfiles import bbolt, checksum

PAGE_SIZE = 4096
BUCKETS = (b"cluster", b"key", b"members", b"members_removed", b"meta")
"""What a restore of 3.5 and 3.6 expects to be there, or writes to."""

_HEADER = struct.Struct("<QHHI")
_META = struct.Struct("<IIIIQQQQQ")
_ELEMENT = struct.Struct("<IIII")
_BUCKET_FLAG = 1
_FREELIST_AT, _ROOT_AT, _PAGES = 2, 3, 4


def content() -> bytes:
    """Two meta pages, an empty free list, and a root with empty buckets (bbolt's db.go, init)."""
    freelist = _HEADER.pack(_FREELIST_AT, bbolt.FREELIST, 0, 0)
    return b"".join(page.ljust(PAGE_SIZE, b"\0") for page in (_meta(0), _meta(1), freelist, _root()))


def _meta(slot: int) -> bytes:
    body = _META.pack(bbolt.MAGIC, bbolt.VERSION, PAGE_SIZE, 0, _ROOT_AT, 0, _FREELIST_AT, _PAGES, slot)
    return _HEADER.pack(slot, bbolt.META, 0, 0) + body + struct.pack("<Q", checksum.fnv1a64(body))


def _root() -> bytes:
    """A leaf of inline buckets: a header without a root page, and behind it the page that is the bucket."""
    inline = struct.pack("<QQ", 0, 0) + _HEADER.pack(0, bbolt.LEAF, 0, 0)
    elements, items = b"", b""
    for at, name in enumerate(BUCKETS):
        position = (len(BUCKETS) - at) * _ELEMENT.size + len(items)
        elements += _ELEMENT.pack(_BUCKET_FLAG, position, len(name), len(inline))
        items += name + inline
    return _HEADER.pack(_ROOT_AT, bbolt.LEAF, len(BUCKETS), 0) + elements + items
