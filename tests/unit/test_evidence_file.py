"""What goes into the file for a post-mortem names no key of the cluster."""

import json

from requorum.operations.evidence import without_keys

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


TRACED = (
    '{"level":"info","caller":"traceutil/trace.go:171","msg":"trace[975348890] put","detail":"{key:/secrets/a; '
    'req_size:317; }","duration":"140.396534ms","steps":["trace[975348890] \'process raft request\'  (duration: 1ms)",'
    '"trace[975348890] \'marshal mvccpb.KeyValue\' {req_type:put; key:/secrets/a; } (duration: 2ms)"],"step_count":2}\n'
)
IN_WORDS = (
    '2026-11-24 02:00:00.1 W | etcdserver: read-only range request "key:\\"/secrets/a\\" " with result '
    '"range_response_count:1 size:9" took too long (1.2s) to execute\n'
    "trace[11] range {range_begin:/secrets/a; range_end:; } (duration: 1s, start: x, )\n"
)


def test_traced_requests() -> None:
    """So does it trace every request that takes a tenth of a second, with the keys again among its steps."""
    made = without_keys(TRACED + SLOW)
    assert "secrets" not in made
    assert '"duration":"140.396534ms"' in made
    assert json.loads(made.splitlines()[0])["step_count"] == 2


def test_plain_text() -> None:
    """etcd 3.4 says the same in plain text; and whatever is below Kubernetes' prefix is left out anywhere."""
    made = without_keys(IN_WORDS + "lost /registry/secrets/a; gone\n")
    assert "secrets" not in made
    assert "took too long (1.2s) to execute" in made
    assert "lost /registry/(left out); gone" in made


def test_a_log_that_ends_in_the_middle_of_a_line() -> None:
    """What etcd is writing just now has no closing quote yet."""
    for line in (SLOW, TRACED):
        for length in range(len(line)):
            assert "secrets" not in without_keys(line[:length]), line[:length]
