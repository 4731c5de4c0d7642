"""What goes into the file for a post-mortem names no key of the cluster."""

from requorum.cli.evidence_cmd import without_keys

SLOW = (
    '{"level":"warn","msg":"apply request took too long","took":"1.2s","prefix":"read-only range ",'
    '"request":"key:\\"/registry/secrets/default/db-password\\" ","response":"range_response_count:1 size:99","x":"stays"}\n'
)


def test_slow_requests() -> None:
    """etcd logs the request that was slow, with its key: that part is left out, the line stays."""
    made = without_keys(SLOW + "plain text\n" + SLOW)
    assert "secrets" not in made
    assert made.count('"request":"(left out)"') == 2
    assert made.count('"x":"stays"') == 2
    assert "plain text" in made
