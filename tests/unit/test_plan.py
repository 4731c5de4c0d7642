"""The plan: what is done in which order, on whom, by which commands, and when there is none."""

import dataclasses
import itertools
from collections.abc import Sequence

import pytest

from requorum.deployments.config import MemberConfig
from requorum.errors import NoSource, Refused, UsageError
from requorum.etcd.binaries import Binaries
from requorum.inventory.values import SystemdDeployment
from requorum.procedures import configuration
from requorum.procedures.make import make_plan
from requorum.procedures.values import Plan, PlanMember
from requorum.run import runbook
from requorum.survey.evidence import DbEvidence, HostEvidence, MemberEvidence, Survey, Unknown
from requorum.verdict.decide import decide

from .evidence import alive, db, log, lost, member, peers, snapshot, sound, survey, voters

KNOWN_FIRST = (
    "lock",
    "fence",
    "look again",
    "build source",
    "restore beside",
    "ship",
    "preflight",
    "the operator's word",
)
DESTRUCTIVE = ("set aside", "move in", "configure", "start")


def holed(number: int, *, hole: int = 50, wal_apart: bool = False) -> MemberEvidence:
    """A member whose log is damaged in one entry."""
    return member(number, db(90), log(number, 100, hole=hole), wal_apart=wal_apart)


def plan_of(those: Survey, *, run: str = "r1", powered_off: Sequence[str] = (), source_id: str = "") -> Plan:
    """The plan for a survey."""
    made = make_plan(those, decide(those), run=run, tools="/opt/etcd", powered_off=powered_off, source_id=source_id)
    return runbook.written_out(made)


def rebuild(*, hole: int = 50, wal_apart: bool = False) -> Plan:
    """A plan that rebuilds three members."""
    return plan_of(survey(*(holed(n, hole=hole, wal_apart=wal_apart) for n in (1, 2, 3))))


def start_as_is() -> Plan:
    """A plan that starts two members and leaves the third fenced."""
    return plan_of(survey(sound(1), sound(2), holed(3)))


def kinds(plan: Plan) -> list[str]:
    """The kind of each phase."""
    found = [{step.kind for step in phase.steps} for phase in plan.phases]
    assert all(len(one) == 1 for one in found), "a phase has one kind of step"
    return [next(iter(one)) for one in found]


def on(plan: Plan, kind: str) -> list[str]:
    """Whom a kind of step is about."""
    return [step.member for phase in plan.phases for step in phase.steps if step.kind == kind]


def commands(plan: Plan, kind: str, name: str) -> str:
    """The commands of one step."""
    (step,) = (one for phase in plan.phases for one in phase.steps if one.kind == kind and one.member == name)
    return "\n".join(step.commands)


class TestOrder:
    """Nothing destructive happens before everything is known."""

    def test_rebuild(self) -> None:
        """All that makes sure comes before the operator's word, all that changes data after it, the proof last."""
        found = kinds(rebuild())
        assert found == [*KNOWN_FIRST, *DESTRUCTIVE, "prove", "save snapshot", "finish snapshot", "unlock"]
        for known, destructive in itertools.product(KNOWN_FIRST, DESTRUCTIVE):
            assert found.index(known) < found.index(destructive)

    def test_start_as_is(self) -> None:
        """Fenced, read again in full and copied aside before the first start."""
        found = kinds(start_as_is())
        assert found == [
            *("lock", "fence", "look again", "copy aside", "preflight", "the operator's word"),
            *("configure", "start", "wait for a leader", "prove", "save snapshot", "finish snapshot", "unlock"),
        ]

    def test_one_member_is_not_shipped_to(self) -> None:
        """With one member the source lies where it is wanted: no phase without a step."""
        those = member(1, db(90, of=peers(1)), log(1, 100, hole=50, sets=voters((0, (1,)))), of=(1,))
        plan = plan_of(survey(those))
        assert "ship" not in kinds(plan)
        assert all(phase.steps for phase in plan.phases)


class TestWho:
    """Every member is in every phase that it must be in."""

    def test_rebuild(self) -> None:
        """All are locked, fenced, restored and started; the source is built on one, restored there, and shipped from it."""
        plan, everyone = rebuild(), ["m1", "m2", "m3"]
        for kind in ("lock", "fence", "restore beside", "preflight", *DESTRUCTIVE, "unlock"):
            assert on(plan, kind) == everyone, kind
        assert plan.source is not None
        assert on(plan, "build source") == [plan.source.member] == [plan.source_on]
        assert on(plan, "ship") == [""], "one step ships to all of them at once"
        for name in everyone:
            assert name == plan.source_on or f"host{name[1:]}:" in commands(plan, "ship", "")
        assert kinds(plan).index("restore beside") < kinds(plan).index("ship") < kinds(plan).index("preflight")
        assert {one.role for one in plan.members} == {"restore"}

    def test_start_as_is(self) -> None:
        """All are locked and fenced; who is left behind is never configured nor started, and it is said why."""
        plan = start_as_is()
        assert on(plan, "lock") == on(plan, "fence") == on(plan, "unlock") == ["m1", "m2", "m3"]
        for kind in ("copy aside", "preflight", "configure", "start"):
            assert on(plan, kind) == ["m1", "m2"], kind
        assert plan.member("m3").role == "leave fenced"
        assert "entry 50" in plan.member("m3").why
        assert any("m3 stays fenced" in one for one in plan.warnings)

    @pytest.mark.parametrize("plan", [rebuild(), start_as_is()], ids=["rebuild", "start as is"])
    def test_ids(self, plan: Plan) -> None:
        """Each step has an id of its own, in the order of the phases."""
        ids = [step.id for phase in plan.phases for step in phase.steps]
        assert len(set(ids)) == len(ids)
        assert [one.split("-")[0] for one in ids] == sorted(one.split("-")[0] for one in ids)


class TestRunbook:
    """The plan can be carried out by hand."""

    @pytest.mark.parametrize("plan", [rebuild(), start_as_is()], ids=["rebuild", "start as is"])
    def test_every_command(self, plan: Plan) -> None:
        """Each step has a command, and each command stands in the text, behind its host's name."""
        text = runbook.as_text(plan)
        for phase in plan.phases:
            assert phase.title in text
            for step in phase.steps:
                assert step.commands, step.id
                for command in step.commands:
                    assert (f"[{plan.member(step.member).host}] {command}" if step.member else command) in text

    def test_the_rest(self) -> None:
        """What is done already is left out; nothing is left when all is done."""
        plan = rebuild()
        ids = tuple(step.id for phase in plan.phases for step in phase.steps)
        rest = "\n".join(runbook.rest_as_text(plan, ids[:10]))
        assert "set the old data aside" in rest
        assert "lock every member" not in rest
        assert runbook.rest_as_text(plan, ids) == []

    def test_restore(self) -> None:
        """Each member is restored beside its data under its own name, all with one token and one member list; the data
        itself once, where it was built."""
        plan = rebuild(hole=95)
        for number in (1, 2, 3):
            text = commands(plan, "restore beside", f"m{number}")
            assert f"--name m{number} " in text
            assert f"--data-dir /var/lib/m{number}.requorum/r1/new" in text
            assert f"--initial-advertise-peer-urls http://10.0.0.{number}:2380" in text
            assert "--initial-cluster-token requorum-r1" in text
            assert "m1=http://10.0.0.1:2380,m2=http://10.0.0.2:2380,m3=http://10.0.0.3:2380" in text
            here = f"m{number}" == plan.source_on
            assert ("/source.db --data-dir" in text, "/empty.db --data-dir" in text) == (here, not here)
            assert ("--bump-revision 1000000 --mark-compacted" in text) is here
            assert "--skip-hash-check=true" in text, "the result is compared with the snapshot"

    def test_no_bump_for_a_proven_zero_loss(self) -> None:
        """The revision is not touched where nothing is lost."""
        assert "bump" not in commands(rebuild(), "restore beside", "m1")
        assert rebuild().least_revision == 100

    def test_wal_apart(self) -> None:
        """A WAL dir of its own is moved on its own file system."""
        plan = rebuild(wal_apart=True)
        assert "--wal-dir /wal/m1.requorum/r1/new-wal" in commands(plan, "restore beside", "m1")
        assert "mv /wal/m1/* /wal/m1.requorum/r1/old-wal/" in commands(plan, "set aside", "m1")
        assert "mv /wal/m1.requorum/r1/new-wal/* /wal/m1/" in commands(plan, "move in", "m1")

    def test_log_before_data(self) -> None:
        """Old WAL out, old data out; new data in, new WAL in."""
        plan = rebuild(wal_apart=True)
        out, back = commands(plan, "set aside", "m1"), commands(plan, "move in", "m1")
        assert out.index("mv /wal/m1/*") < out.index("mv /var/lib/m1/*")
        assert back.index(" /var/lib/m1/") < back.index(" /wal/m1/")

    def test_odd_paths_are_quoted(self) -> None:
        """A folder with a space or a quote in its name stays one word."""
        one = holed(1)
        assert not isinstance(one.place, Unknown)
        odd = dataclasses.replace(
            one, place=dataclasses.replace(one.place, data_dir="/var/my data", work="/var/o'work")
        )
        plan = plan_of(survey(odd, holed(2), holed(3)))
        assert "'/var/my data'" in commands(plan, "set aside", "m1")
        assert "mv /var/my data" not in commands(plan, "set aside", "m1")

    @pytest.mark.parametrize("plan", [rebuild(), start_as_is()], ids=["rebuild", "start as is"])
    def test_settings(self, plan: Plan) -> None:
        """Before the first start each configuration says that the cluster exists; after a rebuild its token is new."""
        for one in plan.started:
            said = configuration.settings(plan, one)
            assert said["initial-cluster-state"] == "existing"
            assert said.get("initial-cluster-token", "") == plan.token
            text = commands(plan, "configure", one.name)
            assert all(f"{key}: {value}" in text for key, value in said.items())

    def test_who_is_left_behind_has_no_settings(self) -> None:
        """A member that stays fenced is not configured."""
        plan = start_as_is()
        assert configuration.settings(plan, plan.member("m3")) == {}


class TestToken:
    """A rebuilt cluster never has the identity of an old one."""

    def test_fresh_for_each_plan(self) -> None:
        """Two runs have two tokens, and neither is the old one."""
        those = survey(*(holed(n) for n in (1, 2, 3)))
        tokens = {plan_of(those, run=run).token for run in ("r1", "r2")}
        assert len(tokens) == 2
        assert not tokens & {"", "old"}

    def test_a_start_as_is_keeps_its_own(self) -> None:
        """Members that start on their own disks keep their cluster."""
        assert start_as_is().token == ""


class TestRefusals:
    """When there is no plan, and which error says so."""

    def test_alive(self) -> None:
        """A live quorum is never restored over."""
        those = [dataclasses.replace(sound(n), live=alive(n)) for n in (1, 2, 3)]
        with pytest.raises(Refused, match="nothing to recover"):
            plan_of(survey(*those))

    def test_undecided(self) -> None:
        """Disks of different clusters: the operator must say which."""
        foreign = member(2, db(90), log(2, 100, cluster=0xBAD))
        with pytest.raises(Refused, match="different clusters"):
            plan_of(survey(sound(1), foreign))

    def test_users(self) -> None:
        """A refusal of the verdict is one of the plan."""
        with pytest.raises(Refused, match="users and roles"):
            plan_of(survey(*(member(n, db(90, auth=True), log(n, 100)) for n in (1, 2, 3))))

    @pytest.mark.parametrize(
        "those", [survey(sound(1), sound(2)), survey(holed(1), holed(2))], ids=["start", "rebuild"]
    )
    def test_unsurveyed(self, those: Survey) -> None:
        """A voter that was not surveyed must be named as powered off, by its own name."""
        for named in ((), ("m4",)):
            with pytest.raises(Refused, match="m3 voted in this cluster and was not surveyed") as caught:
                plan_of(those, powered_off=named)
            assert "--powered-off" in caught.value.hint
        plan = plan_of(those, powered_off=("m3",))
        assert plan.powered_off == ("m3",)
        assert [one.name for one in plan.members] == ["m1", "m2"]

    def test_no_source(self) -> None:
        """Nothing left: another error than a refusal."""
        with pytest.raises(NoSource):
            plan_of(survey(lost(1), lost(2), lost(3)))

    def test_snapshot_of_others(self) -> None:
        """A snapshot of other members is refused, not called missing."""
        with pytest.raises(Refused, match="taken from other members"):
            plan_of(survey(lost(1), lost(2), lost(3), snapshots=[snapshot(60, of=peers(7, 8))]))

    def test_unknown_source(self) -> None:
        """A source that is not there: the known ones are named."""
        with pytest.raises(UsageError) as caught:
            plan_of(survey(*(holed(n) for n in (1, 2, 3))), source_id="nonsense")
        assert "m1: bare db" in caught.value.hint

    def test_plain_dirs_cannot_be_recovered_in_place(self) -> None:
        """Without a configuration nobody knows how a member is to run."""
        without = dataclasses.replace(holed(2), config=Unknown(unknown="plain data dirs come without one"))
        with pytest.raises(Refused, match="plain data dirs"):
            plan_of(survey(holed(1), without, holed(3)))

    def test_a_snapshot_without_a_host(self) -> None:
        """With a snapshot but no member to restore it to there is no plan, and that is said."""
        with pytest.raises((Refused, NoSource, UsageError)):
            plan_of(survey(snapshots=[snapshot(60)]))


def test_source_that_was_chosen() -> None:
    """Another source than the best may be chosen; its loss and its bump are the plan's."""
    plan = plan_of(survey(*(holed(n) for n in (1, 2, 3))), source_id="m2: bare db")
    assert plan.source_on == "m2"
    assert (plan.loss_at_most, plan.bump) == (10, 1_000_000)
    assert plan.least_revision == 1_000_090


def test_old_etcdutl_cannot_bump() -> None:
    """Without the flags the revision stays, and the plan warns of what that means."""
    plan = plan_of(survey(*(holed(n, hole=95) for n in (1, 2, 3)), bump=False))
    assert plan.bump == 0
    assert any("restart every Kubernetes component" in one for one in plan.warnings)


def test_who_ran_is_remembered() -> None:
    """A member that ran before is marked, so that a rollback starts it again."""
    one = holed(1)
    assert not isinstance(one.process, Unknown)
    running = dataclasses.replace(one, process=dataclasses.replace(one.process, pids=(17,)))
    members: tuple[PlanMember, ...] = plan_of(survey(running, holed(2), holed(3))).members
    assert [one.was_running for one in members] == [True, False, False]


def checked(number: int, version: str) -> MemberEvidence:
    """A damaged member under systemd that compares itself with the others before it serves, as Kubespray sets it up."""
    one = holed(number)
    assert isinstance(one.config, MemberConfig)
    assert isinstance(one.db, DbEvidence)
    return dataclasses.replace(
        one,
        db=dataclasses.replace(one.db, cluster_version=f"{version[:3]}.0"),
        config=dataclasses.replace(one.config, corrupt_check=True),
        deployment=SystemdDeployment(argv=("/usr/local/bin/etcd",), env_files=("/etc/etcd.env",)),
        tools=Binaries(etcd="/b/etcd", etcdctl="/b/etcdctl", etcdutl="/b/etcdutl", version=version),
    )


@pytest.mark.parametrize(("version", "spaced"), [("3.5.30", False), ("3.6.1", True)])
def test_the_initial_corruption_check(version: str, spaced: bool) -> None:
    """After a rebuild from one file it is left out of the first start; where that cannot be said, starts are spaced."""
    plan = plan_of(survey(*(checked(n, version) for n in (1, 2, 3))))
    wanted = {} if spaced else {"experimental-initial-corrupt-check": "false"}
    assert [configuration.for_now(plan, one) for one in plan.members] == [wanted] * 3
    assert configuration.apart(plan) is spaced
    shown = "for the first start only: ETCD_EXPERIMENTAL_INITIAL_CORRUPT_CHECK=false"
    assert (shown in commands(plan, "configure", "m1")) is not spaced


@pytest.mark.parametrize(("unreachable", "fault"), [("no route to host", ""), ("", "systemctl: timed out")])
def test_what_could_not_be_stopped_is_said(unreachable: str, fault: str) -> None:
    """A control-plane host that does not answer keeps API servers running: the plan warns, and names it."""
    those = survey(*(holed(n) for n in (1, 2, 3)))
    silent = HostEvidence(name="cp1", roles=("control-plane",), unreachable=unreachable, fault=fault)
    worker = dataclasses.replace(silent, name="w1", roles=())
    warnings = plan_of(dataclasses.replace(those, hosts=(silent, worker))).warnings
    assert [one for one in warnings if "is not stopped" in one] == [one for one in warnings if one.startswith("cp1: ")]
    assert any((unreachable or fault) in one for one in warnings)
