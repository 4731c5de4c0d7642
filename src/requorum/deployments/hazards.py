"""Settings with the place where each stands, and those of them that do harm whatever the disks hold.

What does harm only on certain disks, or with certain programs, is the verdict's (:mod:`requorum.verdict.hazards`).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from requorum.deployments import flagnames, settings
from requorum.deployments.config import Hazard, MemberConfig, Setting

FORCE_NEW_CLUSTER = "force-new-cluster"
_TRUE = ("1", "t", "true")


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A setting with its value. ``counts``: etcd goes by it (a variable behind a config file, say, does not)."""

    setting: Setting
    value: str
    counts: bool = True


def by_flag(flag: settings.Flag, where: str) -> Made:
    """A flag of etcd's command line."""
    spelled = f"--{flag.name}" + (f"={flag.value}" if flag.name in (FORCE_NEW_CLUSTER, "unsafe-no-fsync") else "")
    known = flagnames.known_in(flag.name)
    return Made(
        setting=Setting(name=flag.name, spelled=spelled, where=where, by="flag", known_in=known), value=flag.value
    )


def by_variable(variable: str, value: str, where: str) -> Made:
    """A variable of etcd's environment."""
    name = variable.removeprefix("ETCD_").lower().replace("_", "-")
    known = flagnames.known_in(name)
    spelled = variable + (f"={value}" if name in (FORCE_NEW_CLUSTER, "unsafe-no-fsync") else "")
    return Made(setting=Setting(name=name, spelled=spelled, where=where, by="variable", known_in=known), value=value)


def of_config_file(text: str, path: str) -> list[Made]:
    """The settings of a config file, by the lines on which their keys stand."""
    found = []
    data = settings.from_yaml(text.encode(), path)
    lines = text.splitlines()
    for key, value in data.items():
        begin = re.compile(rf"""\s*["']?{re.escape(str(key))}["']?\s*:""")
        at = next((number for number, line in enumerate(lines, 1) if begin.match(line)), 0)
        where = f"{path}:{at}" if at else path
        shown = f"{key}: {str(value).lower()}" if key in (FORCE_NEW_CLUSTER, "unsafe-no-fsync") else f"{key}:"
        known = flagnames.known_in(str(key))
        made = Setting(name=str(key), spelled=shown, where=where, by="key", known_in=known)
        found.append(Made(setting=made, value=str(value)))
    return found


def _gates(made: Sequence[Made]) -> list[Setting]:
    """The feature gates that settings name, each as a setting of its own."""
    return [
        Setting(
            name=gate,
            spelled=f"{one.setting.spelled.rstrip(':')} ({gate})",
            where=one.setting.where,
            by="gate",
            known_in=flagnames.gate_known_in(gate),
        )
        for one in made
        if one.setting.name == "feature-gates" and one.counts
        for gate in (word.partition("=")[0].strip() for word in one.value.split(","))
        if gate
    ]


def inspected(config: MemberConfig, made: Sequence[Made]) -> MemberConfig:
    """A member's configuration with where its settings stand, and which of them do harm.

    ``made`` in the order in which they count: of two with one name the later one holds. A variable that a flag repeats is
    fatal to every etcd from 3.4 on, whatever its value ("is shadowed by corresponding command-line flag", pkg/flags).
    """
    last = {one.setting.name: one for one in made if one.counts}
    by_flags = {one.setting.name: one.setting for one in made if one.setting.by == "flag"}
    reads_file = any(one.setting.by == "key" for one in made) or not all(one.counts for one in made)
    found: list[Hazard] = []
    for name, one in last.items():
        bare = name.removeprefix("experimental-")
        if one.value.strip().lower() not in _TRUE:
            continue
        if bare == FORCE_NEW_CLUSTER:
            found.append(_forced(one.setting))
        elif bare == "unsafe-no-fsync":
            found.append(_unsynced(one.setting))
        elif bare == "enable-v2":
            found.append(_v2(one.setting))
    if not reads_file:
        seen: set[str] = set()
        for one in made:
            flag = by_flags.get(one.setting.name)
            known = one.setting.name in flagnames.KNOWN
            if one.setting.by == "variable" and flag is not None and known and one.setting.name not in seen:
                seen.add(one.setting.name)
                found.append(_shadowed(one.setting, flag))
    return replace(
        config,
        settings=tuple(one.setting for one in made if one.counts or one.setting.by == "flag") + tuple(_gates(made)),
        hazards=tuple(found),
        unsafe_no_fsync=any(one.kind == "unsafe-no-fsync" for one in found),
    )


def _forced(setting: Setting) -> Hazard:
    return Hazard(
        kind="force-new-cluster",
        setting=setting.spelled,
        where=setting.where,
        effect="etcd would throw all other members out of its membership at its start and serve as a cluster of one: its "
        "history would part from theirs, and what they alone hold would be lost",
        remedy="take it out there",
        level="danger",
        refuses=True,
    )


def _unsynced(setting: Setting) -> Hazard:
    return Hazard(
        kind="unsafe-no-fsync",
        setting=setting.spelled,
        where=setting.where,
        effect="etcd acknowledges writes that are not on its disk: after a power cut its log may lack some of them, and "
        "nothing on the disk shows that",
        remedy="take it out there before this cluster is trusted with data again",
        level="danger",
    )


def _v2(setting: Setting) -> Hazard:
    return Hazard(
        kind="enable-v2",
        setting=setting.spelled,
        where=setting.where,
        effect="clients could write to etcd's old v2 store, which lies in the .snap files and the log, not in the db: a "
        "rebuild brings back v3 data only",
        remedy="look for v2 data first: ETCDCTL_API=2 etcdctl ls -r on a copy, or etcdutl check v2store (3.5)",
        level="warning",
    )


def _shadowed(variable: Setting, flag: Setting) -> Hazard:
    name = variable.spelled.partition("=")[0]
    return Hazard(
        kind="shadowed",
        setting=name,
        where=variable.where,
        effect=f"etcd 3.4 and later refuse to start with it beside the flag --{flag.name} ({flag.where}), even where both say "
        f"the same, or the variable is empty",
        remedy="keep one of the two",
        level="danger",
        refuses=True,
    )


def of_environment(environment: Mapping[str, str], places: Mapping[str, str], usual: str) -> list[Made]:
    """The ETCD_* variables, with the place of each as far as it is known."""
    return [
        by_variable(name, value, places.get(name) or usual)
        for name, value in environment.items()
        if name.startswith("ETCD_") and len(name) > len("ETCD_")
    ]
