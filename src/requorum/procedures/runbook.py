"""The exact commands of each step, as a person would type them: the plan as a runbook."""

import shlex
from collections.abc import Callable

from requorum.procedures import configuration
from requorum.procedures.values import Plan, PlanHost, PlanMember, Step, StepKind, wal_work_of, work_of

q = shlex.quote
_BENCH = "requorum-workbench"


def commands(plan: Plan, kind: StepKind, target: PlanMember | PlanHost | None) -> tuple[str, ...]:
    """What stands for a step in a runbook; comments where a step only looks."""
    if target is None:
        return OF_ALL[kind](plan)
    return OF_A_HOST[kind](plan, target) if isinstance(target, PlanHost) else OF_A_MEMBER[kind](plan, target)


def _lock(plan: Plan, member: PlanMember) -> tuple[str, ...]:
    work, held = work_of(member, plan.run), f"{member.place.work}/lock.json"
    return (f"mkdir -p -m 0700 {q(work)}", f"test ! -e {q(held)}  # else another run is on")


def _unlock(_: Plan, member: PlanMember) -> tuple[str, ...]:
    return (f"rm -f {q(member.place.work + '/lock.json')}",)


def _bring_tools(plan: Plan, member: PlanMember) -> tuple[str, ...]:
    work = work_of(member, plan.run)
    if member.deployment.kind == "static-pod":
        tools, image = q(f"{work}/tools"), q(f"{work}/tools/image")
        return (
            f"mkdir -p {image}; ctr -n k8s.io images mount {q(member.deployment.image)} {image}",
            f"cp {image}/usr/local/bin/etcd* {tools}/; ctr -n k8s.io images unmount {image}",
        )
    return (
        f"mkdir {q(work + '/tools')}",
        f"cp etcd etcdctl etcdutl {q(work + '/tools/')}  # version {plan.etcd_version}",
    )


def _copy_aside(plan: Plan, member: PlanMember) -> tuple[str, ...]:
    place, work, wal_work = member.place, work_of(member, plan.run), wal_work_of(member, plan.run)
    lines = [f"cp -a --reflink=auto {q(place.data_dir + '/member')} {q(work + '/copy')}"]
    if place.wal_apart:
        lines.append(f"cp -a --reflink=auto {q(place.wal_dir)} {q(wal_work + '/copy-wal')}")
    return tuple(lines)


def _preflight(_: Plan, member: PlanMember) -> tuple[str, ...]:
    return (f"df {q(member.place.data_dir)}", "# owner, mode, free space, and that nothing runs on the files")


def _set_aside(plan: Plan, member: PlanMember) -> tuple[str, ...]:
    place, work, wal_work = member.place, work_of(member, plan.run), wal_work_of(member, plan.run)
    lines = [f"mkdir {q(work + '/old')}", f"mv {q(place.data_dir)}/* {q(work + '/old/')}"]
    if place.wal_apart:
        lines[:0] = [f"mkdir {q(wal_work + '/old-wal')}", f"mv {q(place.wal_dir)}/* {q(wal_work + '/old-wal/')}"]
    return tuple(lines)


def _move_in(plan: Plan, member: PlanMember) -> tuple[str, ...]:
    place, work, wal_work = member.place, work_of(member, plan.run), wal_work_of(member, plan.run)
    owner = f"chown -R --reference={q(place.data_dir)}"
    lines = [f"{owner} {q(work + '/new/member')}", f"mv {q(work + '/new/member')} {q(place.data_dir + '/')}"]
    if place.wal_apart:
        lines += [
            f"{owner} {q(wal_work + '/new-wal')}",
            f"mv {q(wal_work + '/new-wal')}/* {q(place.wal_dir + '/')}",
        ]
    return tuple(lines)


def _fence(plan: Plan, member: PlanMember) -> tuple[str, ...]:
    deployment = member.deployment
    if deployment.kind == "process":
        config = deployment.config
        return (
            f"mv -n {q(config)} {q(_aside(plan, config))}",
            f"echo fenced-by-requorum > {q(config)}",
            f"pkill -TERM -f -- {q(f'--config-file {config}')}",
            f"etcd --config-file {q(config)}  # must fail",
        )
    if deployment.kind == "static-pod":
        parked = _parked(deployment.manifest)
        return (
            f"mkdir -p -m 0700 {q(parked)}",
            *(f"mv -n {q(one)} {q(f'{parked}/{_name(one)}.fenced-{plan.run}')}" for one in deployment.manifests),
            f"pkill -TERM -x etcd; ctr -n k8s.io tasks list  # until no etcd is left ({deployment.pod})",
        )
    return (
        f"mkdir -p {q(member.fence.rsplit('/', 1)[0])}",
        f"printf '[Unit]\\nConditionPathExists=!%s\\n' {q(member.fence)} > {q(member.fence)}",
        f"systemctl daemon-reload; systemctl stop {q(deployment.unit)}",
        f"systemctl start {q(deployment.unit)}; systemctl is-active {q(deployment.unit)}  # must say inactive",
    )


def _name(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _parked(manifest: str) -> str:
    return f"{manifest.rsplit('/', 1)[0]}.requorum"


def _aside(plan: Plan, path: str) -> str:
    return f"{path}.requorum-{plan.run}"


def _configure(plan: Plan, member: PlanMember) -> tuple[str, ...]:
    deployment, wanted = member.deployment, configuration.settings(plan, member)
    if deployment.kind == "static-pod":
        parked, name = _parked(deployment.manifest), _name(deployment.manifest)
        kept = f"{parked}/{name}.requorum-{plan.run}"
        return (
            f"mv {q(f'{parked}/{name}.fenced-{plan.run}')} {q(kept)}",
            f"cp -a {q(kept)} {q(f'{parked}/{name}')}",
            *(f"# in {parked}/{name}, under command: --{key}={value}" for key, value in wanted.items()),
            f"mv {q(f'{parked}/{name}')} {q(deployment.manifest)}  # not before the data is in place",
        )
    if deployment.kind == "process" or deployment.config:
        config = deployment.config
        lines = [] if deployment.kind == "process" else [f"ln {q(config)} {q(_aside(plan, config))}"]
        lines += [f"cp {q(_aside(plan, config))} {q(config)}"] if deployment.kind == "process" else []
        lines += [f"# in {config}: {key}: {value}" for key, value in wanted.items()]
    else:
        where = deployment.env_files[-1] if deployment.env_files else f"a drop-in of {deployment.unit}"
        flags = {one.name: one.where for one in member.config.settings if one.by == "flag"}
        by_variable = {key: value for key, value in wanted.items() if key not in flags}
        lines = [f"cp -a {q(where)} {q(_aside(plan, where))}"] if by_variable and deployment.env_files else []
        lines += [f"# in {where}: {_variable(key)}={value}" for key, value in by_variable.items()]
        lines += [f"# in {flags[key]}: --{key}={value}" for key, value in wanted.items() if key in flags]
    lines += [
        f"# for the first start only: ETCD_{key.upper().replace('-', '_')}={value}"
        for key, value in configuration.for_now(plan, member).items()
    ]
    if deployment.kind == "systemd":
        lines.append(f"rm {q(member.fence)}; systemctl daemon-reload")
    return tuple(lines)


def _variable(flag: str) -> str:
    return "ETCD_" + flag.upper().replace("-", "_")


def _start(_: Plan, member: PlanMember) -> tuple[str, ...]:
    deployment = member.deployment
    if deployment.kind == "process":
        return (f"etcd --config-file {q(deployment.config)} >> {q(deployment.log)} 2>&1 &",)
    if deployment.kind == "static-pod":
        return (
            "rm -f /etc/systemd/system/kubelet.service.d/90-requorum-fence.conf; systemctl daemon-reload",
            "systemctl start --no-block containerd kubelet  # kubelet starts etcd's pod",
        )
    return (f"systemctl reset-failed {q(deployment.unit)}; systemctl start --no-block {q(deployment.unit)}",)


def _stop_services(plan: Plan, host: PlanHost) -> tuple[str, ...]:
    """Pods and units are stopped in their order."""
    units = " ".join(q(one.unit) for one in host.services)
    lines = [_park_pod(plan, one.manifest) for one in host.pods]
    lines += [f"systemctl stop {units}  # and a fence for each, as for etcd"] if units else []
    lines += [f"pkill -TERM -x {one.program}  # until it is gone: ctr -n k8s.io tasks list" for one in host.pods]
    return tuple(lines)


def _start_services(plan: Plan, host: PlanHost) -> tuple[str, ...]:
    """Units come back in reverse, only those that ran or were enabled; then the pods."""
    fences = " ".join(q(f"/etc/systemd/system/{one.unit}.d/90-requorum-fence.conf") for one in host.services)
    wanted = [q(one.unit) for one in reversed(host.services) if one.wanted]
    begin = f"systemctl start {' '.join(wanted)}" if wanted else "# nothing ran here before"
    back = [
        f"mv -n {q(f'{_parked(one.manifest)}/{_name(one.manifest)}.fenced-{plan.run}')} {q(one.manifest)}"
        + ("  # then wait for /readyz" if one.program == "kube-apiserver" else "")
        for one in host.pods
    ]
    lines = [f"rm -f {fences}; systemctl daemon-reload"] if fences else []
    return (*lines, *([begin] if fences else []), *back)


def _park_pod(plan: Plan, manifest: str) -> str:
    parked = _parked(manifest)
    return f"mkdir -p -m 0700 {q(parked)}; mv -n {q(manifest)} {q(f'{parked}/{_name(manifest)}.fenced-{plan.run}')}"


def _look_again(_: Plan) -> tuple[str, ...]:
    return ("# every disk is read again, in full; the verdict must be the same", "requorum survey --verify")


def _word(plan: Plan) -> tuple[str, ...]:
    return (f"# type {plan.cluster}",)


def _ship(plan: Plan) -> tuple[str, ...]:
    source = plan.member(plan.source_on)
    others = [one for one in plan.started if one.name != source.name]
    db = "new/member/snap/db"
    path = f"{work_of(source, plan.run)}/{db}"
    return (
        *(f"scp -3 {q(f'{source.host}:{path}')} {q(f'{one.host}:{work_of(one, plan.run)}/{db}')}" for one in others),
        "# sha256sum must be the same everywhere",
    )


def _wait_for_a_leader(plan: Plan) -> tuple[str, ...]:
    first = ",".join(one.config.endpoint for one in plan.members if one.name in plan.first)
    return (f"etcdctl --endpoints={first} endpoint health  # until every one is healthy",)


def _ctl(endpoints: str, of: PlanMember | None) -> str:
    """etcdctl with a member's certificates."""
    return " ".join([f"etcdctl --endpoints={endpoints}", *(tls_flags(of) if of is not None else [])])


def _prove(plan: Plan) -> tuple[str, ...]:
    ctl = _ctl(",".join(one.config.endpoint for one in plan.started), next(iter(plan.started), None))
    return (
        f"{ctl} endpoint health",
        f"{ctl} endpoint status -w table",
        f"{ctl} endpoint hashkv  # equal on all, at revision {plan.least_revision} or later",
        f"{ctl} alarm list",
        *(
            f"{ctl} member update ID --peer-urls={','.join(one.config.peer_urls)}  # {one.name}'s id, if it does not join without"
            for one in plan.started
            if one.moved
        ),
    )


def _save_snapshot(plan: Plan) -> tuple[str, ...]:
    ctl = _ctl(plan.speaker.config.endpoint, plan.started[0])
    return (f"{ctl} snapshot save {q(f'{work_of(plan.speaker, plan.run)}/{snapshot_name(plan)}')} &",)


def _finish_snapshot(_: Plan) -> tuple[str, ...]:
    return ("# the snapshot command has ended with status 0",)


def snapshot_name(plan: Plan) -> str:
    """The file of the snapshot that a run takes: of what it proved, or before it changed anything."""
    return "before.db" if plan.kind == "replace member" else "proven.db"


def _remove_member(plan: Plan) -> tuple[str, ...]:
    return (f"{_ctl(plan.speaker.config.endpoint, plan.speaker)} member remove {plan.replaces:x}",)


def _add_learner(plan: Plan) -> tuple[str, ...]:
    new, ctl = plan.replaced, _ctl(plan.speaker.config.endpoint, plan.speaker)
    return (f"{ctl} member add {q(new.name)} --learner --peer-urls={','.join(new.config.peer_urls)}",)


def _promote(plan: Plan) -> tuple[str, ...]:
    ctl = _ctl(plan.speaker.config.endpoint, plan.speaker)
    return (f"{ctl} member promote ID  # the id of the new member; again until it has caught up",)


def tls_flags(member: PlanMember) -> list[str]:
    """etcdctl's certificate flags for a member."""
    pairs = (("cacert", member.config.ca), ("cert", member.config.cert), ("key", member.config.key))
    return [f"--{name}={value}" for name, value in pairs if value]


def _build(plan: Plan, member: PlanMember) -> tuple[str, ...]:
    source = plan.source
    assert source is not None
    work = work_of(member, plan.run)
    raw = "" if source.saved_snapshot else " --skip-hash-check"
    peer = "http://127.0.0.1:PORT"
    db = source.db or "empty.db"
    lines = [
        shlex.join(["etcdutl", "snapshot", "restore", db, "--data-dir", f"{work}/bench/data", "--name", _BENCH])
        + f" --initial-cluster {_BENCH}={peer} --initial-advertise-peer-urls {peer}{raw}",
    ]
    for piece in source.pieces:
        lines.append(f"# entries {piece.first} to {piece.last} of {piece.member}'s log are appended to the bench's log")
    if source.to_index > source.from_index and not source.pieces:
        lines.append(
            f"# entries {source.from_index + 1} to {source.to_index} of {source.wal_dir} are appended to the bench's log "
            f"(requorum rebuild does the same by hand)"
        )
    lines += [
        f"etcd --data-dir {q(work + '/bench/data')} …  # revision must be {source.revision}",
        f"etcdctl snapshot save {q(work + '/source.db')}",
    ]
    return tuple(lines)


def _restore(plan: Plan, member: PlanMember) -> tuple[str, ...]:
    line = shlex.join(restore_command(member.tools.etcdutl, plan, member))
    if member.name == plan.source_on:
        return (line, "# the result is compared with source.db, page by page")
    source = plan.member(plan.source_on)
    snapshot = f"{source.host}:{work_of(source, plan.run)}/source.db"
    return (f"# empty.db: any etcd's db, such as {q(snapshot)}; the next phase puts the restored db in its place", line)


def restore_command(etcdutl: str, plan: Plan, member: PlanMember) -> list[str]:
    """``etcdutl snapshot restore`` for one member, beside its old data.

    The hash check would tell that the snapshot's sha256 is the one that was just written behind it. What came out is
    compared with the snapshot instead.

    Where the source was built it restores the source. Elsewhere it makes the member's own log, from a db without data:
    the restored db is brought there afterwards.
    """
    work, here = work_of(member, plan.run), member.name == plan.source_on
    argv = [
        etcdutl,
        "snapshot",
        "restore",
        f"{work}/source.db" if here else f"{work}/empty.db",
        "--data-dir",
        f"{work}/new",
        "--name",
        member.config.name,
        "--initial-cluster",
        plan.initial_cluster,
        "--initial-cluster-token",
        plan.token,
        "--initial-advertise-peer-urls",
        ",".join(member.config.peer_urls),
    ]
    if member.place.wal_apart:
        argv += ["--wal-dir", f"{wal_work_of(member, plan.run)}/new-wal"]
    argv.append("--skip-hash-check=true")
    if here and plan.bump:
        argv += ["--bump-revision", str(plan.bump), "--mark-compacted"]
    return argv


OF_A_MEMBER: dict[StepKind, Callable[[Plan, PlanMember], tuple[str, ...]]] = {
    "lock": _lock,
    "bring tools": _bring_tools,
    "fence": _fence,
    "copy aside": _copy_aside,
    "build source": _build,
    "restore beside": _restore,
    "preflight": _preflight,
    "set aside": _set_aside,
    "move in": _move_in,
    "configure": _configure,
    "start": _start,
    "unlock": _unlock,
}
OF_A_HOST: dict[StepKind, Callable[[Plan, PlanHost], tuple[str, ...]]] = {
    "stop services": _stop_services,
    "start services": _start_services,
}
OF_ALL: dict[StepKind, Callable[[Plan], tuple[str, ...]]] = {
    "look again": _look_again,
    "the operator's word": _word,
    "ship": _ship,
    "wait for a leader": _wait_for_a_leader,
    "prove": _prove,
    "save snapshot": _save_snapshot,
    "finish snapshot": _finish_snapshot,
    "remove member": _remove_member,
    "add learner": _add_learner,
    "promote": _promote,
}
"""By hand: of each kind of step either a member's, a host's, or all members' at once. None is answered for by another."""


def as_text(plan: Plan) -> str:
    """The whole plan as a runbook."""
    return "\n".join(rest_as_text(plan, ()))


def rest_as_text(plan: Plan, done: tuple[str, ...]) -> list[str]:
    """The steps that are not done yet, phase by phase."""
    lines: list[str] = []
    for number, phase in enumerate(plan.phases, 1):
        steps = [step for step in phase.steps if step.id not in done]
        if not steps:
            continue
        lines.append(f"{number:2}. {phase.title}")
        for step in steps:
            lines += _step_lines(plan, step)
    return lines


def _step_lines(plan: Plan, step: Step) -> list[str]:
    host = plan.member(step.member).host if step.member else step.host
    where = f"[{host}] " if host else ""
    return [f"    {where}{command}" for command in step.commands]
