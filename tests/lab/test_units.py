"""etcd units that are configured in other ways than Kubespray's: flags, a config file, drop-ins; and systemd as the judge."""

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.host import Host
from lab.lab import Lab
from requorum.deployments import envfile

from .world import UNITS, World, fails_to_start

pytestmark = [pytest.mark.etcd, pytest.mark.timeout(1200), pytest.mark.rotates(of=2, together=True)]
UNIT = f"{UNITS}/etcd.service"
BARE = ("ETCD_CLIENT_CERT_AUTH", "ETCD_PEER_CLIENT_CERT_AUTH", "ETCD_EXPERIMENTAL_INITIAL_CORRUPT_CHECK")
LEFT_OUT = ("ETCD_PROXY", "ETCD_EXPERIMENTAL_WATCH_PROGRESS_NOTIFY_INTERVAL")


def variables(host: Host) -> dict[str, str]:
    """The etcd variables of a host's env file."""
    found = envfile.parse((host.root / "etc/etcd.env").read_text())
    return {name: value for name, value in found.items() if name.startswith("ETCD_") and name not in LEFT_OUT}


def rewrite_unit(host: Host, exec_start: str, more: str = "") -> None:
    """Give the unit another command, and no env file."""
    path = host.root / UNIT
    lines = [line for line in path.read_text().splitlines() if not line.startswith("EnvironmentFile=")]
    made = [f"ExecStart={exec_start}\n{more}".rstrip() if line.startswith("ExecStart=") else line for line in lines]
    path.write_text("\n".join(made) + "\n")


def by_flags(host: Host) -> None:
    """All in ExecStart, in both forms of flags."""
    words = []
    for number, (name, value) in enumerate(variables(host).items()):
        flag = "--" + name.removeprefix("ETCD_").lower().replace("_", "-")
        words.append(flag if name in BARE else f"{flag}={value}" if number % 2 else f"{flag} {value}")
    rewrite_unit(host, "/usr/local/bin/etcd " + " ".join(words))


def by_config_file(host: Host) -> None:
    """All in a config file, with a comment that must stay."""
    given = variables(host)
    named = {name.removeprefix("ETCD_").lower().replace("_", "-"): value for name, value in given.items()}
    lines = ["# kept by the operators of this cluster"]
    for section, prefix in (("client-transport-security", ""), ("peer-transport-security", "peer-")):
        tls = {key: named.pop(f"{prefix}{key}") for key in ("trusted-ca-file", "cert-file", "key-file")}
        named.pop(f"{prefix}client-cert-auth")
        lines.append(f"{section}: {json.dumps({**tls, 'client-cert-auth': True})}")
    text = ("name", "data-dir", "auto-compaction-retention", "metrics")
    for key, value in named.items():
        plain = value.isdigit() or value == "true"
        lines.append(f"{key}: {value if plain and key not in text else json.dumps(value)}")
    (host.root / "etc/etcd.yaml").write_text("\n".join(lines) + "\n")
    rewrite_unit(host, "/usr/local/bin/etcd --config-file /etc/etcd.yaml")


def by_environment(host: Host) -> None:
    """All in Environment= lines, some of them in a drop-in."""
    given = [f'Environment="{name}={value}"' for name, value in variables(host).items()]
    rewrite_unit(host, "/usr/local/bin/etcd", "\n".join(given[::2]))
    folder = host.root / f"{UNITS}/etcd.service.d"
    folder.mkdir()
    (folder / "10-site.conf").write_text("[Service]\n" + "\n".join(given[1::2]) + "\n")


def effective(lab: Lab, name: str) -> str:
    """The command line and the environment that etcd runs with."""
    script = "tr '\\0' '\\n' < /proc/$(systemctl show -p MainPID --value etcd)/{}"
    return lab.ssh(
        name, f"{script.format('cmdline')}; {script.format('environ')}; cat /etc/etcd.yaml 2>/dev/null; true"
    )


@pytest.mark.parametrize("configure", [by_flags, by_config_file, by_environment], ids=lambda one: one.__name__)
def test_recovered_and_taken_back(up: Callable[..., World], configure: Callable[[Host], None]) -> None:
    """State and token are changed where they are said, before the first start; a rollback brings every file back."""
    world = up()
    world.lab.cut()
    for host in world.hosts:
        configure(host)
    world.lab.boot()
    world.lab.wait_healthy()
    fails_to_start(world, autostart=False)
    before = world.picture()
    yaml = {one.name: _text(one.root / "etc/etcd.yaml") for one in world.hosts}
    yes = world.yes
    report = world.requorum("recover", *yes, "-o", "json").answer
    world.wait(lambda: all(world.lab.healthy().values()), "every member is healthy")
    token = f"requorum-{report['run']}"
    for host in world.hosts:
        assert token in effective(world.lab, host.name)
        assert "existing" in effective(world.lab, host.name)
    world.audited()
    world.requorum("rollback", report["run"], *yes)
    assert world.picture() == before
    assert {one.name: _text(one.root / "etc/etcd.yaml") for one in world.hosts} == yaml


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


ODD = """# it's a comment with a ' quote and an A=1
; B=2
A=plain
B = spaced value
C="quoted # value"
D='single "inside"'
E="escaped \\" quote"
F=continued \\
line
G=twice
G=again
H=
I=a=b=c
not an assignment
J="two
lines"
K=$HOME and `cmd`
"""


def test_env_files_as_systemd_reads_them(up: Callable[..., World]) -> None:
    """Our reading of an odd env file is systemd's own; what we write of any value, systemd reads back."""
    world = up(hosts=1)
    (host,) = world.hosts
    written = {"L": "a 'b' \"c\" $d `e` \\f", "A": "x y", "G": "once"}
    for text in (ODD, envfile.edited(ODD, written)):
        (host.root / "etc/odd.env").write_text(text)
        said = world.lab.ssh(
            host.name,
            "systemd-run --quiet --wait --pipe --property=EnvironmentFile=/etc/odd.env /usr/bin/env -0 | base64 -w0",
        )

        raw = base64.b64decode(said).decode()
        theirs = dict(one.split("=", 1) for one in raw.split("\0") if "=" in one)
        ours = envfile.parse(text)
        assert {name: theirs.get(name) for name in ours} == ours
        assert {name for name in theirs if len(name) == 1} == set(ours)
    assert {name: ours[name] for name in written} == written
