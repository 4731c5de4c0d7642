"""etcd's unit, out of what ``systemctl show`` prints and what lies on the host: its settings, or a refusal by name."""

from pathlib import Path

import pytest

from requorum.deployments import settings
from requorum.deployments.config import MemberConfig
from requorum.deployments.systemd import acts as systemd
from requorum.deployments.systemd import unitsettings, unitwords
from requorum.errors import RequorumError
from requorum.hosts import units
from requorum.hosts.connection import Here
from requorum.inventory.values import SystemdDeployment

FLAGS = "--name m1 --data-dir /d --listen-client-urls http://127.0.0.1:2379"


class Made:
    """A unit in files of a folder, and what systemd would print of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lines: list[str] = []
        self.drop_ins: list[Path] = []

    def show(self, argv: str, *, path: str = "/usr/bin/etcd", more: str = "") -> SystemdDeployment:
        """The member of it."""
        fragment = self.folder / "etcd.service"
        fragment.write_text("\n".join(["[Service]", *self.lines]) + "\n")
        block = (
            f"LoadState=loaded\nActiveState=failed\nSubState=failed\nUnitFileState=enabled\nFragmentPath={fragment}\n"
            f"DropInPaths={' '.join(map(str, self.drop_ins))}\nMainPID=0\n"
            f"ExecStart={{ path={path} ; argv[]={argv} ; ignore_errors=no ; start_time=[n/a] }}\n{more}"
        )
        return unitsettings.as_found(Here(), SystemdDeployment(), units._unit("etcd.service", block))

    def drop_in(self, text: str) -> Path:
        """One more of them."""
        path = self.folder / f"{len(self.drop_ins)}.conf"
        path.write_text(text)
        self.drop_ins.append(path)
        return path


@pytest.fixture
def unit(tmp_path: Path) -> Made:
    """A unit to be described."""
    return Made(tmp_path)


def config(found: SystemdDeployment) -> MemberConfig:
    """What it says."""
    return systemd.read_config(Here(), found)


def refused(found: SystemdDeployment) -> str:
    """Why it is not understood."""
    with pytest.raises(RequorumError) as err:
        config(found)
    return f"{err.value.message} ({err.value.hint})"


class TestVariables:
    """Where settings come from, and which counts."""

    def test_all_in_one_variable_of_a_file(self, unit: Made) -> None:
        """Debian's way; the file counts more than Environment=."""
        env = unit.folder / "default"
        env.write_text(f'# options\nOPTS="{FLAGS}"\n')
        more = f"Environment=OPTS=--name=x\nEnvironmentFiles={env} (ignore_errors=yes)\n"
        got = config(unit.show("/usr/bin/etcd $OPTS", more=more))
        assert (got.name, got.data_dir, got.endpoint) == ("m1", "/d", "http://127.0.0.1:2379")

    def test_before_other_flags(self, unit: Made) -> None:
        """CoreOS' way: what stands behind the variable stays a flag of its own."""
        more = 'Environment="OPTS=--name m1 --initial-advertise-peer-urls http://10.0.0.1:2380"\n'
        got = config(unit.show("/usr/bin/etcd $OPTS --data-dir /d --wal-dir=/fast/wal", more=more))
        assert (got.peer_urls, got.wal_dir) == (("http://10.0.0.1:2380",), "/fast/wal")

    def test_in_braces_it_is_one_word(self, unit: Made) -> None:
        """What systemd hands to etcd as one word is one word here."""
        more = 'Environment="OPTS=--name m1" DIR=/d\n'
        got = config(unit.show("/usr/bin/etcd --name=${OPTS} --data-dir=${DIR}", more=more))
        assert (got.name, got.data_dir) == ("--name m1", "/d")

    def test_the_last_file_counts(self, unit: Made) -> None:
        """And UnsetEnvironment= more than all; what may be missing is missing."""
        one, two = unit.folder / "1", unit.folder / "2"
        one.write_text("ETCD_NAME=a\nETCD_DATA_DIR=/a\nETCD_WAL_DIR=/w\n")
        two.write_text("ETCD_DATA_DIR='/b'\n")
        more = "".join(f"EnvironmentFiles={path} (ignore_errors=yes)\n" for path in (one, unit.folder / "none", two))
        got = config(unit.show("/usr/bin/etcd", more=f"{more}UnsetEnvironment=ETCD_WAL_DIR\n"))
        assert (got.name, got.data_dir, got.wal_dir) == ("a", "/b", "/b/member/wal")

    def test_a_relative_dir_lies_where_etcd_is_started(self, unit: Made) -> None:
        """etcd's default too; at / where nothing is said; a home is not guessed."""
        assert config(unit.show("/usr/bin/etcd --name m1", more="WorkingDirectory=!/srv\n")).data_dir == "/srv/m1.etcd"
        assert config(unit.show("/usr/bin/etcd --data-dir x/../y")).data_dir == "/y"
        assert "where etcd is started is not known" in refused(unit.show("/usr/bin/etcd", more="WorkingDirectory=~\n"))

    def test_a_config_file_alone_counts(self, unit: Made) -> None:
        """Flags and variables beside it are passed over, as etcd does; a relative one lies in the working directory."""
        (unit.folder / "etcd.yaml").write_text("name: m2\ndata-dir: /d2\n")
        more = f"WorkingDirectory={unit.folder}\nEnvironment=ETCD_FORCE_NEW_CLUSTER=true ETCD_NAME=x\n"
        found = unit.show("/usr/bin/etcd --config-file=etcd.yaml --name=y --unsafe-no-fsync", more=more)
        got = config(found)
        assert (got.name, got.data_dir, got.hazards, got.unsafe_no_fsync) == ("m2", "/d2", (), False)
        assert found.config == str(unit.folder / "etcd.yaml")


class TestWords:
    """Which words systemd makes of a line that is printed without its quotes."""

    def test_quotes_are_read_from_the_file(self, unit: Made) -> None:
        """A data dir with a space is one word, and a drop-in's line is the one that counts."""
        unit.lines = ["ExecStart=/usr/bin/etcd --name old"]
        path = unit.drop_in("[Service]\nExecStart=\nExecStart=-/usr/bin/etcd --name m1 '--data-dir=/my data'\n")
        found = unit.show("/usr/bin/etcd --name m1 --data-dir=/my data")
        assert (found.exec_at, found.prefix) == (f"{path}:3", "-")
        assert config(found).data_dir == "/my data"

    def test_specifiers(self, unit: Made) -> None:
        """Those that systemd has filled in are seen in what it prints; within quotes only the ones that are certain."""
        unit.lines = ["ExecStart=/usr/bin/etcd '--name=%p 1' --data-dir=/d/%H"]
        assert "certain" in refused(unit.show("/usr/bin/etcd --name=etcd 1 --data-dir=/d/host"))
        unit.lines = ["ExecStart=/usr/bin/etcd '--name=%p 1' --data-dir=/d/%%"]
        assert config(unit.show("/usr/bin/etcd --name=etcd 1 --data-dir=/d/%")).name == "etcd 1"
        unit.lines = ["ExecStart=/usr/bin/etcd --name=%H --data-dir=/d/%i"]
        assert config(unit.show("/usr/bin/etcd --name=host --data-dir=/d/a")).name == "host"

    def test_where_nothing_is_filled_in(self, unit: Made) -> None:
        """A colon before the program: dollars stand for themselves."""
        unit.lines = ["ExecStart=:/usr/bin/etcd --name ${N} --data-dir /d"]
        assert config(unit.show("/usr/bin/etcd --name ${N} --data-dir /d", more="Environment=N=x\n")).name == "${N}"

    @pytest.mark.parametrize(
        "line",
        [
            "/bin/sh -c 'exec etcd --name m1 --data-dir \"/d\"'",
            '/bin/bash -ec "exec /usr/local/bin/etcd --name=m1 --data-dir=${D}"',
            "/usr/bin/env ETCD_NAME=m1 /usr/bin/etcd --data-dir=/d",
            "/bin/sh -c 'ETCD_NAME=m1 etcd --data-dir /d'",
        ],
    )
    def test_a_plain_wrapper(self, unit: Made, line: str) -> None:
        """A shell or ``env`` that does nothing but start etcd."""
        unit.lines = [f"ExecStart={line}"]
        shown = " ".join(unitwords.split(line, escapes=True))
        got = config(unit.show(shown, path=line.split()[0], more="Environment=D=/d\n"))
        assert (got.name, got.data_dir) == ("m1", "/d")

    def test_a_file_that_cannot_be_read(self, unit: Made) -> None:
        """What is printed behind a shell's -c is its script."""
        found = unit.show("/bin/sh -c exec etcd --name m1 --data-dir /d", path="/bin/sh")
        assert config(found).data_dir == "/d"
        assert "more than a plain command" in refused(unit.show("/bin/sh -ec sleep 1; exec etcd", path="/bin/sh"))

    @pytest.mark.parametrize(
        ("shown", "pairs"),
        [
            ("A=b C=", (("A", "b"), ("C", ""))),
            ('"A=b c" D=e', (("A", "b c"), ("D", "e"))),
            (r'"A=\"b\" \$C \\d"', (("A", r'"b" $C \d'),)),
            ("A='x y'", (("A", "x y"),)),
            ('"A=open', (("A", "open"),)),
        ],
    )
    def test_variables_as_they_are_printed(self, unit: Made, shown: str, pairs: tuple[tuple[str, str], ...]) -> None:
        """In double quotes where they need it, with backslashes."""
        assert unit.show("etcd", more=f"Environment={shown}\n").environment == pairs


class TestRefusals:
    """What is not understood is named, and never guessed."""

    @pytest.mark.parametrize(
        ("line", "named"),
        [
            ("/usr/bin/docker run -v /a:/data etcd:3.5 etcd --data-dir /data", "docker"),
            ("/usr/bin/podman start -a etcd", "podman"),
            ("/usr/local/bin/nerdctl run quay.io/coreos/etcd etcd", "nerdctl"),
            ("/usr/bin/systemd-nspawn -D /srv/etcd etcd --data-dir /d", "systemd-nspawn"),
            ("/usr/bin/env docker run etcd", "docker"),
            ("/bin/sh -c 'docker run --rm etcd etcd --data-dir /d'", "docker"),
            ("/bin/sh -c 'sleep 1; exec etcd --data-dir /d'", "more than a plain command"),
            ("/bin/sh -c 'exec etcd --name $$(hostname) --data-dir /d'", "more than a plain command"),
            ("/bin/sh -c 'exec etcd --data-dir /d >>/var/log/etcd 2>&1'", "more than a plain command"),
            ("/bin/sh /opt/start-etcd.sh", "/bin/sh /opt/start-etcd.sh"),
            ("/usr/bin/env -i etcd --data-dir /d", "-i"),
            ("/usr/bin/nice -n 5 /usr/bin/etcd --data-dir /d", "/usr/bin/nice"),
            ("/usr/local/bin/k3s server", "/usr/local/bin/k3s"),
            ("/usr/bin/etcd grpc-proxy start", "grpc-proxy"),
            ("/usr/bin/etcd --force-new-cluster true --data-dir /d", "'true'"),
        ],
    )
    def test_not_etcd_itself(self, unit: Made, line: str, named: str) -> None:
        """A container engine, a script, another program, a word that etcd does not take."""
        unit.lines = [f"ExecStart={line}"]
        found = unit.show(" ".join(unitwords.split(line, escapes=True)), path=line.split()[0])
        said = refused(found)
        assert named in said
        assert "etcd.service" in said

    def test_a_script_by_the_name_of_etcd(self, unit: Made) -> None:
        """Kubespray's docker deployment put one at /usr/local/bin/etcd."""
        path = unit.folder / "etcd"
        path.write_text("#!/bin/bash\n/usr/bin/docker run --name=etcd etcd:3.5 etcd\n")
        said = refused(unit.show(f"{path} --data-dir /d", path=str(path)))
        assert "is a script" in said
        assert "docker" in said

    @pytest.mark.parametrize("more", ["RootDirectory=/srv/root\n", "PassEnvironment=ETCD_NAME\n"])
    def test_what_cannot_be_seen_from_outside(self, unit: Made, more: str) -> None:
        """Another root, variables of systemd's own."""
        assert "etcd.service takes" in refused(unit.show("/usr/bin/etcd --data-dir /d", more=more))

    def test_a_comment_that_may_go_on(self, unit: Made) -> None:
        """What the next line is depends on systemd's version."""
        env = unit.folder / "env"
        env.write_text("# a comment \\\nETCD_NAME=m1\n")
        more = f"EnvironmentFiles={env} (ignore_errors=no)\n"
        assert f"{env}:1" in refused(unit.show("/usr/bin/etcd --data-dir /d", more=more))


class TestChanges:
    """What must change before the first start is changed where etcd gets it from."""

    def test_in_a_variable_that_stands_for_several_words(self, unit: Made) -> None:
        """The words of it that are changed, and nothing else."""
        env = unit.folder / "default"
        env.write_text(f'OPTS="{FLAGS} --initial-cluster-state new"\n')
        found = unit.show("/usr/bin/etcd $OPTS", more=f"EnvironmentFiles={env} (ignore_errors=no)\n")
        started = unitsettings.understood(Here(), found)
        variables, left = systemd._by_words(found, started, {"initial-cluster-state": "existing"})
        assert left == {}
        words = unitwords.expanded(["$OPTS"], variables)
        assert settings.from_flags(["etcd", *words])["initial-cluster-state"] == "existing"
        assert words[:4] == FLAGS.split()[:4]

    def test_the_file_is_written_once(self, unit: Made) -> None:
        """What stands in the words of a variable there, what stands nowhere as a variable of etcd's own; the rest stays."""
        env = unit.folder / "default"
        env.write_text(f'# options\nOPTS="{FLAGS} --initial-cluster-state=new"\nX=1\n')
        show = f"EnvironmentFiles={env} (ignore_errors=no)\nEnvironment=OPTS=--name=other\n"
        found = unit.show("/usr/bin/etcd $OPTS", more=show)
        systemd._change(Here(), found, "r1", {"initial-cluster-state": "existing", "initial-cluster-token": "t"})
        got = config(unit.show("/usr/bin/etcd $OPTS", more=show))
        assert (got.name, got.state, got.token, got.hazards) == ("m1", "existing", "t", ())
        assert env.read_text().startswith("# options\nOPTS=")
        assert "X=1\n" in env.read_text()
        assert "state=new" in (unit.folder / "default.requorum-r1").read_text()

    @pytest.mark.parametrize(
        "line",
        ["/bin/sh -c 'exec etcd --name m1 --data-dir \"/my d\"'", "/usr/bin/env ETCD_NAME=m1 etcd --data-dir=/d"],
    )
    def test_behind_a_wrapper(self, unit: Made, line: str) -> None:
        """The line that is written is understood as the one before, but for what was changed."""
        unit.lines = [f"ExecStart={line}"]
        found = unit.show(" ".join(unitwords.split(line, escapes=True)), path=line.split()[0])
        before = unitsettings.understood(Here(), found).command
        changed = settings.with_flags(before.argv, {"data-dir": "/it's new $x"})
        written = unitwords.joined(before.with_argv(changed, {"ETCD_NAME": "m2"}))
        unit.lines = [f"ExecStart={written}"]
        again = unit.show(" ".join(unitwords.split(written, escapes=True)), path=line.split()[0])
        got = config(again)
        assert got.data_dir == "/it's new $x"
        assert got.name == ("m2" if "env" in line else "m1")
