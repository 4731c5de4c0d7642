"""Settings that would do harm at the next start are found wherever they stand, named with file and line, and gate a recovery."""

import dataclasses
import json
from pathlib import Path

import pytest

from requorum.deployments import hazards, settings
from requorum.deployments.config import Hazard, MemberConfig, Setting
from requorum.deployments.process import acts as process
from requorum.deployments.staticpod import acts as staticpod
from requorum.deployments.staticpod import manifest
from requorum.errors import Refused
from requorum.hosts.connection import Here
from requorum.inventory.values import ProcessDeployment, StaticPodDeployment, SystemdDeployment
from requorum.procedures.make import make_plan
from requorum.survey.evidence import Binaries, MemberEvidence, Place, Survey
from requorum.verdict import values
from requorum.verdict.decide import decide

from .evidence import TOOLS, alive, db, log, lost, member, sound, survey
from .test_units import Made, config, unit

__all__ = ["unit"]


def kinds(found: MemberConfig) -> list[str]:
    """What kinds of hazards a configuration holds."""
    return [one.kind for one in found.hazards]


class TestForceNewCluster:
    """A leftover --force-new-cluster, in whatever form."""

    @pytest.mark.parametrize("value", ["true", "1", "T", "TRUE"])
    def test_in_an_env_file(self, unit: Made, value: str) -> None:
        """By its line; the last of two counts."""
        env = unit.folder / "etcd.env"
        env.write_text(
            f"ETCD_NAME=m1\nETCD_FORCE_NEW_CLUSTER=false\n\nETCD_DATA_DIR=/d\nETCD_FORCE_NEW_CLUSTER={value}\n"
        )
        got = config(unit.show("/usr/bin/etcd", more=f"EnvironmentFiles={env} (ignore_errors=no)\n"))
        (found,) = got.hazards
        assert (found.kind, found.where, found.refuses) == ("force-new-cluster", f"{env}:5", True)
        assert found.setting == f"ETCD_FORCE_NEW_CLUSTER={value}"

    def test_in_a_drop_in(self, unit: Made) -> None:
        """As a variable, by the drop-in's line."""
        path = unit.drop_in("[Service]\n# rescue, remove afterwards\nEnvironment=A=b 'ETCD_FORCE_NEW_CLUSTER=1'\n")
        more = "Environment=A=b ETCD_FORCE_NEW_CLUSTER=1 ETCD_DATA_DIR=/d\n"
        (found,) = config(unit.show("/usr/bin/etcd", more=more)).hazards
        assert found.where == f"{path}:3"

    def test_as_a_flag(self, unit: Made) -> None:
        """In ExecStart of a drop-in, and in a variable that is split into flags."""
        path = unit.drop_in("[Service]\nExecStart=\nExecStart=/usr/bin/etcd --data-dir=/d -force-new-cluster\n")
        (found,) = config(unit.show("/usr/bin/etcd --data-dir=/d -force-new-cluster")).hazards
        assert found.where == f"{path}:3"
        env = unit.folder / "default"
        env.write_text('X=1\nOPTS="--data-dir /d --force-new-cluster=true"\n')
        other = Made(unit.folder)
        (found,) = config(other.show("etcd $OPTS", more=f"EnvironmentFiles={env} (ignore_errors=no)\n")).hazards
        assert found.where == f"{env}:2 (OPTS)"

    @pytest.mark.parametrize("text", ["force-new-cluster: true", '"force-new-cluster" : yes'])
    def test_in_a_config_file(self, tmp_path: Path, text: str) -> None:
        """Of a process, by its line; ``yes`` is no boolean of YAML 1.2, so of nothing that etcd takes for one."""
        path = tmp_path / "etcd.yaml"
        path.write_text(f"name: m1\ndata-dir: /d\n# left over\n{text}\n")
        got = process.read_config(Here(), ProcessDeployment(config=str(path), log="/l"))
        assert [one.where for one in got.hazards] == ([f"{path}:4"] if "true" in text else [])

    def test_in_a_manifest(self, tmp_path: Path) -> None:
        """Of a static pod, by its line."""
        path = tmp_path / "etcd.yaml"
        path.write_text(POD)
        got = staticpod.read_config(Here(), StaticPodDeployment(manifests=(str(path),), pod="etcd-n1"))
        assert [(one.kind, one.where) for one in got.hazards] == [("force-new-cluster", f"{path}:10")]

    @pytest.mark.parametrize("line", ["--force-new-cluster=false", "--force-new-cluster=0"])
    def test_switched_off(self, unit: Made, line: str) -> None:
        """It does no harm then."""
        assert config(unit.show(f"etcd --data-dir=/d {line}")).hazards == ()


POD = """apiVersion: v1
kind: Pod
metadata: {name: etcd}
spec:
  containers:
  - name: etcd
    command:
    - etcd
    - --data-dir=/var/lib/etcd
    - --force-new-cluster
    volumeMounts: [{mountPath: /var/lib/etcd, name: d}]
  volumes: [{name: d, hostPath: {path: /var/lib/etcd}}]
"""


class TestOthers:
    """What else does harm whatever the disks hold."""

    def test_no_fsync(self, unit: Made) -> None:
        """A fact of the configuration, told as a danger; nothing is refused for it."""
        got = config(unit.show("etcd --data-dir=/d --unsafe-no-fsync"))
        assert got.unsafe_no_fsync
        assert [(one.kind, one.level, one.refuses) for one in got.hazards] == [("unsafe-no-fsync", "danger", False)]
        assert not config(
            unit.show("etcd --data-dir=/d", more="Environment=ETCD_UNSAFE_NO_FSYNC=false\n")
        ).unsafe_no_fsync
        assert config(unit.show("etcd --data-dir=/d", more="Environment=ETCD_UNSAFE_NO_FSYNC=true\n")).unsafe_no_fsync

    def test_a_variable_beside_its_flag(self, unit: Made) -> None:
        """etcd does not start, even where both say the same; a variable that is no flag's hinders nothing."""
        more = "Environment=ETCD_NAME=m1 ETCD_UNSUPPORTED_ARCH=arm64\n"
        (found,) = config(unit.show("etcd --name=m1 --data-dir=/d", more=more)).hazards
        assert (found.kind, found.setting, found.refuses) == ("shadowed", "ETCD_NAME", True)

    def test_v2(self, unit: Made) -> None:
        """The old store may hold data that no db has."""
        assert kinds(config(unit.show("etcd --data-dir=/d --enable-v2"))) == ["enable-v2"]

    @pytest.mark.parametrize("value", ["-1", "--quota-backend-bytes=-1"])
    def test_a_value_that_begins_with_a_dash(self, value: str) -> None:
        """A flag that takes a value takes the next word, whatever it is; a boolean one never does."""
        words = ["etcd", "--pre-vote", "--quota-backend-bytes", value, "--name", "x"]
        found = settings.from_flags(words)
        assert found == {"pre-vote": "true", "quota-backend-bytes": value, "name": "x"}
        assert settings.stray_word([*words, "--pre-vote", "false"]) == "false"

    def test_all_survive_being_saved(self, unit: Made) -> None:
        """As JSON, with the survey."""
        got = config(
            unit.show("etcd --data-dir=/d --force-new-cluster --feature-gates=InitialCorruptCheck=true,X=true")
        )
        assert [(one.by, one.known_in) for one in got.settings if one.by == "gate"] == [
            ("gate", ("3.6", "3.7")),
            ("gate", ()),
        ]
        assert json.dumps(dataclasses.asdict(got))


def having(one: MemberEvidence, *, flags: str = "", variables: str = "", **more: object) -> MemberEvidence:
    """A member with these flags and variables besides what it has."""
    assert isinstance(one.config, MemberConfig)
    made = [
        *(
            hazards.by_variable(name, value, "/env:1")
            for name, _, value in (v.partition("=") for v in variables.split())
        ),
        *(hazards.by_flag(flag, "/unit:7") for flag in settings.flags_of(["etcd", *flags.split()])),
    ]
    return dataclasses.replace(one, config=dataclasses.replace(hazards.inspected(one.config, made), **more))  # type: ignore[arg-type]


def running(one: MemberEvidence, version: str) -> MemberEvidence:
    """A member whose host has this etcd."""
    return dataclasses.replace(one, tools=dataclasses.replace(TOOLS, version=version))


def said(those: Survey, name: str) -> str:
    """All findings on a member."""
    return "\n".join(f"{one.level}: {one.text}" for one in decide(those).findings if one.subject == name)


class TestVerdict:
    """What the verdict says of them, and what may not begin."""

    def test_force_new_cluster_stops_a_recovery(self) -> None:
        """Before anything is planned, with the place and what to change; a survey goes on, a cluster that lives too."""
        those = survey(sound(1), having(sound(2), flags="--force-new-cluster"), sound(3))
        verdict = decide(those)
        assert verdict.kind == values.START_AS_IS
        assert "danger: /unit:7: --force-new-cluster=true" in said(those, "m2")
        with pytest.raises(Refused) as err:
            make_plan(those, verdict, run="r1", tools="/opt/etcd")
        assert "m2: /unit:7 has --force-new-cluster=true" in err.value.message
        assert "take it out there (/unit:7), on host2" in err.value.hint
        living = [dataclasses.replace(one, live=alive(int(one.name[1]))) for one in those.members]
        assert decide(survey(*living)).refusal == ""

    @pytest.mark.parametrize(
        ("version", "flags", "stops"),
        [
            ("3.5.30", "--enable-v2 --experimental-initial-corrupt-check", False),
            ("3.6.16", "--experimental-initial-corrupt-check", False),
            ("3.6.16", "--enable-v2=false", True),
            ("3.7.3", "--experimental-initial-corrupt-check", True),
            ("3.4.23", "--feature-gates=InitialCorruptCheck=true", True),
            ("3.6.16", "--feature-gates=PriorityRequest=true", True),
            ("3.7.3", "--feature-gates=PriorityRequest=true", False),
            ("3.9.0", "--enable-v2", False),
        ],
    )
    def test_flags_that_the_program_does_not_know(self, version: str, flags: str, stops: bool) -> None:
        """It would not start; of a version that we do not know ourselves nothing is claimed."""
        of = [member(n, db(90, version=f"{version[:3]}.0"), log(n, 100)) for n in (1, 2, 3)]
        those = survey(*(running(having(one, flags=flags), version) for one in of))
        assert bool(decide(those).refusal) is stops
        assert ("does not know" in said(those, "m1")) is stops

    def test_variables_that_the_program_does_not_know(self) -> None:
        """etcd passes over them: said, and no more."""
        one = having(sound(1), variables="ETCD_EXPERIMENTAL_INITIAL_CORRUPT_CHECK=true ETCD_UNSUPPORTED_ARCH=arm64")
        of = [dataclasses.replace(m, db=db(90, version="3.7.0")) for m in (one, sound(2), sound(3))]
        those = survey(*(running(m, "3.7.3") for m in of))
        assert decide(those).refusal == ""
        assert "info: etcd 3.7.3 passes over settings that it does not know: ETCD_EXPERIMENTAL_INITIAL" in said(
            those, "m1"
        )
        assert "UNSUPPORTED_ARCH" not in said(those, "m1")

    @pytest.mark.parametrize(("quota", "level"), [(1 << 20, "danger"), (4 << 30, "")])
    def test_a_quota_below_the_db(self, quota: int, level: str) -> None:
        """etcd would take no write; its default is a quota, too."""
        big = dataclasses.replace(db(90), total_size=(2 << 30) + 4096)
        one = having(member(1, big, log(1, 100)), quota=quota)
        told = said(survey(one, sound(2), sound(3)), "m1")
        assert ("danger" in told) is bool(level)
        assert ("NOSPACE" in told) is bool(level)
        default = having(member(1, big, log(1, 100)), quota=settings.DEFAULT_QUOTA)
        assert "no quota-backend-bytes is set" in said(survey(default, sound(2), sound(3)), "m1")

    @pytest.mark.parametrize(
        ("state", "others", "told"),
        [
            ("new", "m1=http://a:1", "danger: "),
            ("new", "m1=http://a:1,m2=http://b:1", "warning: "),
            ("existing", "", ""),
        ],
    )
    def test_an_empty_dir_that_would_found_an_impostor(self, state: str, others: str, told: str) -> None:
        """Only where others hold data."""
        one = lost(1)
        assert isinstance(one.place, Place)
        empty = having(
            dataclasses.replace(one, place=dataclasses.replace(one.place, used=0)), state=state, initial_cluster=others
        )
        text = said(survey(empty, sound(2), sound(3)), "m1")
        assert ("founds a new cluster" in text) is bool(told)
        assert told in text
        assert "founds" not in said(survey(empty, lost(2), lost(3)), "m1")

    def test_names_that_do_not_resolve(self) -> None:
        """Refused where a member is reached by one; said where it is nobody's any more."""
        one = having(sound(1), peer_urls=("http://etcd-a.internal:2380",))
        blind = dataclasses.replace(one, unresolved=("etcd-a.internal",))
        those = survey(blind, sound(2), sound(3))
        with pytest.raises(Refused) as err:
            make_plan(those, decide(those), run="r1", tools="/opt/etcd")
        assert "etcd-a.internal does not resolve" in err.value.message
        gone = dataclasses.replace(sound(1), unresolved=("gone.internal",))
        those = survey(gone, sound(2), sound(3))
        assert make_plan(those, decide(those), run="r1", tools="/opt/etcd").kind == "start as is"
        assert "gone.internal" in said(those, "m1")


class TestUpgrade:
    """Programs of another minor version than the one that wrote the data."""

    def of(self, *versions: str, data: str = "3.5.0", hole: bool = False) -> Survey:
        """Three members under systemd with these programs."""
        found = []
        for number, version in enumerate(versions, 1):
            its_log = log(number, 100, hole=50) if hole else log(number, 100)
            one = member(number, db(90, version=data), its_log)
            tools = Binaries(etcd="/b/etcd", etcdctl="/b/etcdctl", etcdutl="/b/etcdutl", version=version)
            unit = SystemdDeployment(argv=("/opt/bin/etcd",), wanted=True)
            found.append(dataclasses.replace(one, tools=tools, deployment=unit))
        return survey(*found)

    @pytest.mark.parametrize("versions", [("3.6.16", "3.6.16", "3.6.16"), ("3.5.30", "3.6.16", "3.5.30")])
    def test_a_start_as_is_is_etcds_own_upgrade(self, versions: tuple[str, ...]) -> None:
        """On all hosts or on one: allowed, with a warning for each."""
        those = self.of(*versions)
        plan = make_plan(those, decide(those), run="r1", tools="/opt/etcd")
        assert plan.kind == "start as is"
        warned = [one for one in plan.warnings if "own upgrade" in one]
        assert len(warned) == sum(version.startswith("3.6") for version in versions)

    def test_a_rebuild_is_none(self) -> None:
        """Refused, with what to bring where; also where a start as is would do and a source is named."""
        those = self.of("3.6.16", "3.5.30", "3.6.16", hole=True)
        verdict = decide(those)
        assert verdict.kind == values.REBUILD
        with pytest.raises(Refused) as err:
            make_plan(those, verdict, run="r1", tools="/opt/etcd")
        assert "m1 3.6.16, m2 3.5.30, m3 3.6.16" in err.value.message
        assert "put etcd, etcdctl and etcdutl of 3.5 into /opt/bin on host1" in err.value.hint
        assert "host2" not in err.value.hint
        sound_ones = self.of("3.6.16", "3.6.16", "3.6.16")
        verdict = decide(sound_ones)
        with pytest.raises(Refused, match="another minor version"):
            make_plan(sound_ones, verdict, run="r1", tools="/opt/etcd", source_id=verdict.sources[0].id)

    @pytest.mark.parametrize(("data", "version"), [("3.6.0", "3.5.30"), ("3.4.0", "3.6.16"), ("3.5.0", "4.6.0")])
    def test_nothing_else_may_start(self, data: str, version: str) -> None:
        """Not back, not over two versions at once."""
        verdict = decide(self.of(version, version, version, data=data))
        assert verdict.kind == values.START_AS_IS
        assert f"etcd {data[:3]}" in verdict.refusal
        assert f"of {data[:3]} into /opt/bin" in verdict.refusal_hint


def test_values_that_travel() -> None:
    """A hazard and a setting are values of plain text: they are sent to hosts, and saved."""
    one = Hazard(kind="k", setting="s", where="w", effect="e", remedy="r", level="danger")
    assert not one.refuses
    assert Setting(name="n", spelled="s", where="w", by="key").known_in == ()
    assert manifest.sight(POD.encode(), "etcd.yaml") == manifest.Sight(name="etcd", folders=("/var/lib/etcd",))
