"""The exact commands of each step, as a person would type them: the plan as a runbook."""

import shlex

from requorum.plan.values import Plan, PlanMember, Step, StepKind, wal_work_of, work_of


def commands(plan: Plan, kind: StepKind, member: PlanMember | None) -> tuple[str, ...]:
    """What stands for a step in a runbook; comments where a step only looks."""
    q = shlex.quote
    if member is None:
        return _for_all(plan, kind)
    place, run = member.place, plan.run
    work, wal_work = work_of(member, run), wal_work_of(member, run)
    config = member.deployment.config
    aside = f"{config}.requorum-{run}"
    if kind == "lock":
        return (f"mkdir -p -m 0700 {q(work)}", f"echo {run} > {q(place.work + '/lock.json')}  # fails when it exists")
    if kind == "fence":
        return (
            f"mv -n {q(config)} {q(aside)}",
            f"echo fenced-by-requorum > {q(config)}",
            f"pkill -TERM -f -- {q(f'--config-file {config}')}",
            f"etcd --config-file {q(config)}  # must fail",
        )
    if kind == "copy aside":
        lines = [f"cp -a --reflink=auto {q(place.data_dir + '/member')} {q(work + '/copy')}"]
        if place.wal_apart:
            lines.append(f"cp -a --reflink=auto {q(place.wal_dir)} {q(wal_work + '/copy-wal')}")
        return tuple(lines)
    if kind == "build source":
        return _build(plan, member)
    if kind == "ship":
        return (
            f"cp source.db {q(work + '/source.db')}",
            f"sha256sum {q(work + '/source.db')}  # the same on all hosts",
        )
    if kind == "restore beside":
        return (shlex.join(restore_command("etcdutl", plan, member)),)
    if kind == "preflight":
        return (f"df {q(place.data_dir)}", "# owner, mode, free space, and that nothing runs on the files")
    if kind == "set aside":
        lines = [f"mkdir {q(work + '/old')}", f"mv {q(place.data_dir)}/* {q(work + '/old/')}"]
        if place.wal_apart:
            lines[:0] = [f"mkdir {q(wal_work + '/old-wal')}", f"mv {q(place.wal_dir)}/* {q(wal_work + '/old-wal/')}"]
        return tuple(lines)
    if kind == "move in":
        lines = [f"mv {q(work + '/new/member')} {q(place.data_dir + '/')}"]
        if place.wal_apart:
            lines.append(f"mv {q(wal_work + '/new-wal')}/* {q(place.wal_dir + '/')}")
        return tuple(lines)
    if kind == "configure":
        return (
            f"cp {q(aside)} {q(config)}",
            *(f"# in {config}: {key}: {value}" for key, value in settings(plan, member).items()),
        )
    if kind == "start":
        return (f"etcd --config-file {q(config)} >> {q(member.deployment.log)} 2>&1 &",)
    return (f"rm {q(place.work + '/lock.json')}",)


def _for_all(plan: Plan, kind: StepKind) -> tuple[str, ...]:
    if kind == "look again":
        return ("# every disk is read again, in full; the verdict must be the same", "requorum survey --verify")
    if kind == "the operator's word":
        return (f"# type {plan.cluster}",)
    if kind == "wait for a leader":
        first = ",".join(one.config.endpoint for one in plan.members if one.name in plan.first)
        return (f"etcdctl --endpoints={first} endpoint health  # until every one is healthy",)
    endpoints = ",".join(one.config.endpoint for one in plan.started)
    flags = " ".join(tls_flags(plan.started[0])) if plan.started else ""
    ctl = f"etcdctl --endpoints={endpoints}" + (f" {flags}" if flags else "")
    return (
        f"{ctl} endpoint health",
        f"{ctl} endpoint status -w table",
        f"{ctl} endpoint hashkv  # equal on all, at revision {plan.least_revision} or later",
        f"{ctl} alarm list",
    )


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
    lines = [
        shlex.join(["etcdutl", "snapshot", "restore", source.db, "--data-dir", f"{work}/bench/data", "--name", "bench"])
        + f" --initial-cluster bench={peer} --initial-advertise-peer-urls {peer}{raw}",
    ]
    if source.to_index > source.from_index:
        lines.append(
            f"# entries {source.from_index + 1} to {source.to_index} of {source.wal_dir} are appended to the bench's log "
            f"(requorum rebuild does the same by hand)"
        )
    lines += [
        f"etcd --data-dir {shlex.quote(work + '/bench/data')} …  # revision must be {source.revision}",
        f"etcdctl snapshot save {shlex.quote(work + '/source.db')}",
    ]
    return tuple(lines)


def restore_command(etcdutl: str, plan: Plan, member: PlanMember) -> list[str]:
    """``etcdutl snapshot restore`` for one member, beside its old data."""
    work = work_of(member, plan.run)
    argv = [
        etcdutl,
        "snapshot",
        "restore",
        f"{work}/source.db",
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
    if plan.bump:
        argv += ["--bump-revision", str(plan.bump), "--mark-compacted"]
    return argv


def settings(plan: Plan, member: PlanMember) -> dict[str, str]:
    """What a member's configuration must say before its first start, so that a dir wiped later refuses to start instead
    of forming a new cluster."""
    if plan.kind == "rebuild":
        return {
            "initial-cluster": plan.initial_cluster,
            "initial-cluster-token": plan.token,
            "initial-cluster-state": "existing",
        }
    return {"initial-cluster-state": "existing"} if member.role == "start" else {}


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
            lines += _step_lines(step)
    return lines


def _step_lines(step: Step) -> list[str]:
    where = f"[{step.member}] " if step.member else ""
    return [f"    {where}{command}" for command in step.commands]
