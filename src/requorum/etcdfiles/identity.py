"""The ids that etcd derives from peer URLs and a token (server/etcdserver/api/membership: member.go, cluster.go)."""

import hashlib
from typing import Iterable, Sequence


def _first8(data: bytes) -> int:
    return int.from_bytes(hashlib.sha1(data).digest()[:8], "big")  # noqa: S324 - etcd's choice, not a secret


def member_id(peer_urls: Sequence[str], token: str) -> int:
    """A member's id at bootstrap: the same URLs and the same token give the same id again."""
    return _first8(("".join(sorted(peer_urls)) + token).encode())


def cluster_id(member_ids: Iterable[int]) -> int:
    """A cluster's id at bootstrap."""
    return _first8(b"".join(one.to_bytes(8, "big") for one in sorted(member_ids)))
