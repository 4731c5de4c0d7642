"""What happens to a running cluster before it is killed: leaders change, one is cut off, a member is added."""

import signal
import time
from collections.abc import Sequence
from pathlib import Path
from subprocess import Popen

from requorum.rehearsal import cluster
from requorum.rehearsal.cluster import Member
from requorum.rehearsal.gateway import Gateway, NoAnswer

SECONDS = 30.0


def leader(members: Sequence[Member]) -> int:
    """Which of the members leads, by its number; raises TimeoutError when none does for long."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        for at, member in enumerate(members):
            gateway = Gateway(member.client_url, timeout=1)
            try:
                status = gateway.call("/v3/maintenance/status", {})
            except NoAnswer:
                continue
            finally:
                gateway.close()
            if status.get("leader") and status["leader"] == status["header"]["member_id"]:
                return at
        time.sleep(0.05)
    raise TimeoutError("no member leads")


def restart_leader(members: Sequence[Member], running: "list[Popen[bytes]]", etcd_dir: Path) -> None:
    """Kill the leader, wait for another, and start it again."""
    at = leader(members)
    cluster.kill_at_once([running[at]])
    leader([one for one in members if one is not members[at]])
    (running[at],) = cluster.start([members[at]], etcd_dir)


def cut_leader_off(members: Sequence[Member], running: "list[Popen[bytes]]", seconds: float = 0.4) -> int:
    """Stop all but the leader, let it append what it cannot commit, kill it, and let the others go on without it.

    Returns its number. Its log then ends in entries that the next leader has others for.
    """
    at = leader(members)
    others = [one for number, one in enumerate(running) if number != at]
    for one in others:
        one.send_signal(signal.SIGSTOP)
    time.sleep(seconds)
    cluster.kill_at_once([running[at]])
    for one in others:
        one.send_signal(signal.SIGCONT)
    leader([one for number, one in enumerate(members) if number != at])
    return at


def add_member(members: Sequence[Member], new: Member, *, learner: bool = False) -> None:
    """Add a member to the configuration; it is not started. etcd refuses until all have been connected for 5 seconds."""
    deadline = time.monotonic() + SECONDS
    while True:
        gateway = Gateway(members[0].client_url, timeout=SECONDS)
        try:
            gateway.call("/v3/cluster/member/add", {"peerURLs": [new.peer_url], "isLearner": learner})
        except NoAnswer as err:
            if "unhealthy cluster" not in str(err) or time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return
        finally:
            gateway.close()
