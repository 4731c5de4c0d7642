"""What one case works on: copies of a killed cluster's disks, what was done to them, and what clients were told since."""

import base64
import os
import subprocess
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from subprocess import Popen

from requorum.rehearsal import cluster
from requorum.rehearsal.cluster import Member
from requorum.rehearsal.damage import Missed
from requorum.rehearsal.gateway import Gateway, NoAnswer
from requorum.rehearsal.load import PUT, Operation
from tests.damage.cases import Killed
from tests.damage.judge import FORK_KEYS


@dataclass
class Stage:
    """The copies of one case, and the plain truth about them.

    ``touched``: members whose disk or configuration is not as the power cut left it. ``log_touched``: their log is not.
    ``db_touched``: their db is not (``flipped``: by some bits only). ``forgetful``: the log lost its end in a way that
    need not show. ``hurt``: the log may have held what cannot be read now. ``foreign``: its indexes are of another history.
    ``forced``: the log itself shows that its member threw away what it did not know to be committed. ``cut``: damage took the
    log's end without a trace.
    ``renamed``: the ``member`` folder lies whole under another name. ``forked``: what clients of a fork were told.
    """

    killed: Killed
    root: Path
    members: list[Member]
    rng: Random
    forked: list[Operation] = field(default_factory=list)
    snapshots: list[Path] = field(default_factory=list)
    touched: set[str] = field(default_factory=set)
    log_touched: set[str] = field(default_factory=set)
    db_touched: set[str] = field(default_factory=set)
    flipped: set[str] = field(default_factory=set)
    forgetful: set[str] = field(default_factory=set)
    hurt: set[str] = field(default_factory=set)
    foreign: set[str] = field(default_factory=set)
    forced: set[str] = field(default_factory=set)
    cut: set[str] = field(default_factory=set)
    renamed: set[str] = field(default_factory=set)
    running: list["Popen[bytes]"] = field(default_factory=list)
    lives_on: bool = False
    notes: list[str] = field(default_factory=list)
    to_take_out: dict[Path, str] = field(default_factory=dict)
    """Configurations with a dangerous setting in them, and what they are without it: to be refused by name first."""
    operators_call: str = ""
    """Why a careful expert, too, would ask before anything is done; empty when not."""

    def member(self, name: str) -> Member:
        """A member by name."""
        return next(one for one in self.members if one.name == name)

    @property
    def with_disk(self) -> list[Member]:
        """The members that have a data dir."""
        return [one for one in self.members if one.data_dir.exists()]

    @property
    def voters(self) -> list[Member]:
        """The voters that have a data dir."""
        return [one for one in self.with_disk if one.name in self.killed.voters]

    def a_voter(self) -> Member:
        """A voter with a disk that nothing was done to yet, drawn."""
        found = [one for one in self.voters if one.name not in self.touched and (one.data_dir / "member").is_dir()]
        if not found:
            raise Missed("every disk was touched already")
        return self.rng.choice(found)

    def touch(self, member: Member, *, log: bool = False, db: bool = False) -> None:
        """Note that a member's disk is not what the power cut left."""
        self.touched.add(member.name)
        if log:
            self.log_touched.add(member.name)
            self.renamed.discard(member.name)
        if db:
            self.db_touched.add(member.name)

    def named(self, why: str) -> bool:
        """Whether a refusal names the setting that has to be taken out first."""
        return any(config.name in why and "force-new-cluster" in why for config in self.to_take_out)

    @property
    def majority(self) -> int:
        """How many voters are a majority."""
        return len(self.killed.voters) // 2 + 1

    @property
    def majority_untouched(self) -> bool:
        """Whether a majority of the voters' disks is as the power cut left it."""
        return self._has_majority(self.killed.voters, self.touched)

    @property
    def majority_of_logs(self) -> bool:
        """The same for the logs alone."""
        return self._has_majority(self.killed.voters, self.log_touched)

    @property
    def majority_of_folders(self) -> bool:
        """The same for the logs, whatever the folders are called that they lie in."""
        return self._has_majority(self.killed.voters, self.log_touched - self.renamed)

    def _has_majority(self, voters: Sequence[str], touched: Collection[str]) -> bool:
        return sum(one not in touched for one in voters) >= self.majority

    # -- what runs for a while --------------------------------------------------------------------------------------

    def spawn(self, members: Sequence[Member], *flags: str, cwd: Path | None = None) -> list["Popen[bytes]"]:
        """Start etcd on members with their own configuration (with flags alone where any are given)."""
        out = []
        for one in members:
            argv = [str(self.killed.etcd_dir / "etcd"), *(flags or ("--config-file", str(one.config)))]
            with (one.folder / "etcd.log").open("ab") as log:
                out.append(
                    Popen(
                        argv,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        env={"PATH": os.defpath},
                        cwd=cwd or one.folder,
                        start_new_session=True,
                    )
                )
        return out

    def boot(self, members: Sequence[Member], seconds: float) -> list["Popen[bytes]"]:
        """Start members as a supervisor does, and wait until each serves or has ended, or the time is up."""
        running = self.spawn(members)
        end = time.monotonic() + seconds
        waiting = dict(zip((one.name for one in members), running, strict=True))
        while waiting and time.monotonic() < end:
            for one in members:
                if one.name in waiting and (waiting[one.name].poll() is not None or serves(one)):
                    del waiting[one.name]
            time.sleep(0.05)
        return running

    def end(self, running: Sequence["Popen[bytes]"]) -> None:
        """SIGKILL and reap."""
        cluster.kill_at_once(running)

    def settle(self, running: Sequence["Popen[bytes]"]) -> None:
        """Kill what runs, or let it run on, as the case wants it."""
        if self.lives_on:
            self.running += running
        else:
            self.end(running)

    def write(self, member: Member, count: int) -> int:
        """Write to a fork as its clients do; returns how many writes were acknowledged."""
        gateway, acked = Gateway(member.client_url, timeout=3), 0
        try:
            for _ in range(count):
                n = len(self.forked)
                value = f'{{"writer":9000,"n":{n},"data":"{self.rng.getrandbits(200):x}"}}'
                operation = Operation(
                    writer=9000, kind=PUT, key=f"{FORK_KEYS}{n}", value=value, lease=0, revision=put(gateway, n, value)
                )
                self.forked.append(operation)
                acked += operation.acknowledged
        finally:
            gateway.close()
        return acked


def put(gateway: Gateway, number: int, value: str) -> int:
    """The revision that a put is answered with; 0 for no answer."""
    key = base64.b64encode(f"{FORK_KEYS}{number}".encode()).decode()
    try:
        answer = gateway.call("/v3/kv/put", {"key": key, "value": base64.b64encode(value.encode()).decode()})
    except NoAnswer:
        return 0
    return int(answer["header"]["revision"])


def serves(member: Member) -> bool:
    """Whether a member answers a linearizable read, or says that it is a learner."""
    gateway = Gateway(member.client_url, timeout=0.5)
    try:
        gateway.call("/v3/kv/range", {"key": "Lw=="})
    except NoAnswer as err:
        return "not supported for learner" in str(err)
    finally:
        gateway.close()
    return True


def leads(member: Member) -> bool:
    """Whether a member answers, and knows a leader."""
    gateway = Gateway(member.client_url, timeout=1)
    try:
        return bool(int(gateway.call("/v3/maintenance/status", {}).get("leader", 0)))
    except NoAnswer:
        return False
    finally:
        gateway.close()
