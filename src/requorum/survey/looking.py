"""What is to be looked for around each member, and which of the dbs found there are snapshots of this cluster."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from requorum.deployments.config import Deployment, MemberConfig
from requorum.errors import RequorumError
from requorum.etcdfiles.datadir import Layout
from requorum.hosts.connection import Connection
from requorum.survey import around, disks
from requorum.survey.around_values import DB, RECEIVED_DB, Around, FoundFile, FoundFolder
from requorum.survey.evidence import (
    DbEvidence,
    LogEvidence,
    MemberEvidence,
    ProcessEvidence,
    SnapshotEvidence,
    Unknown,
)

MOST = 8
"""So many of the dbs that were found are read as snapshots, the newest ones."""


def look(
    connection: Connection,
    layout: Layout,
    log: LogEvidence | Unknown,
    running: ProcessEvidence,
    deployment: Deployment | None,
    others: Sequence[str],
) -> Around | Unknown:
    """Look around one member on its host, in one call."""
    if connection.bare:
        return Unknown(unknown="there is no Python on its host to look around with")
    try:
        return connection.call(
            around.look,
            layout.data_dir,
            layout.wal_dir,
            layout.inner,
            configs=deployment.files if deployment else (),
            units=deployment is not None and deployment.supervised,
            others=tuple(others),
            pids=running.pids,
            member_id=log.member_id if isinstance(log, LogEvidence) else 0,
            log_of=deployment.written_to if deployment else (),
        )
    except (RequorumError, OSError) as err:
        return Unknown(unknown=err.message if isinstance(err, RequorumError) else str(err))


def without_each_other(members: Sequence[MemberEvidence]) -> list[MemberEvidence]:
    """The members, none of them shown as something that was found around another on its host."""
    own = {(one.host, folder) for one in members for folder in _dirs(one)}
    out = []
    for member in members:
        found = member.around
        if isinstance(found, Around):
            left = tuple(one for one in found.folders if (member.host, one.path) not in own)
            member = replace(member, around=replace(found, folders=left))
        out.append(member)
    return out


def _dirs(member: MemberEvidence) -> tuple[str, ...]:
    if isinstance(member.place, Unknown):
        return (member.data_dir, f"{member.data_dir}/member")
    return (member.place.data_dir, f"{member.place.data_dir}/member")


def snapshots(
    members: Sequence[MemberEvidence],
    given: Sequence[SnapshotEvidence],
    at: Callable[[MemberEvidence], Connection],
    host_of: Callable[[MemberEvidence], str],
    *,
    in_full: bool,
) -> "list[partial[SnapshotEvidence]]":
    """The reading of what was found around the members and is of their cluster, as snapshots: the newest first.

    A db names no cluster. It is of this one when it names a member by an id that the cluster's logs know (ids are made anew by
    every restore); where no log and no db tells any, by a peer URL of the configurations.
    """
    ids, urls = _known(members)
    known = {(host_of(one), one.db.path) for one in members if isinstance(one.db, DbEvidence)}
    known |= {(one.host, one.path) for one in given}
    found: list[tuple[str, MemberEvidence, str]] = []
    for member in members:
        for one in _dbs(member.around) if isinstance(member.around, Around) else ():
            path = one.path if isinstance(one, FoundFile) else one.db
            ours = ids & set(one.ids) if ids else urls & set(one.urls)
            if ours and not one.note and (host_of(member), path) not in known:
                known.add((host_of(member), path))
                found.append((one.modified, member, path))
    found.sort(key=lambda one: one[0], reverse=True)
    return [
        partial(_read, at(member), path, host_of(member), in_full=in_full and not _running(member, path))
        for _, member, path in found[:MOST]
    ]


def _running(member: MemberEvidence, path: str) -> bool:
    """Whether a process may be writing to a file now: it has the files of the folder that this one lies in."""
    if not isinstance(member.around, Around):
        return False
    return any(os.path.dirname(one.path) == os.path.dirname(path) for one in member.around.held)


def _read(connection: Connection, path: str, host: str, *, in_full: bool) -> SnapshotEvidence:
    try:
        read = connection.call(disks.read_snapshot, path, host, in_full=in_full)
    except (RequorumError, OSError) as err:
        why = err.message if isinstance(err, RequorumError) else str(err)
        return SnapshotEvidence(path=path, host=host, db=Unknown(unknown=why), found=True)
    return SnapshotEvidence(path=path, host=host, db=read.db, found=True)


def _dbs(found: Around) -> "list[FoundFile | FoundFolder]":
    return [
        *(one for one in found.files if one.kind in (DB, RECEIVED_DB)),
        *(one for one in found.folders if one.db),
    ]


def _known(members: Sequence[MemberEvidence]) -> tuple[set[int], set[str]]:
    """The members of this cluster: by id, as the logs of most members' cluster and the dbs beside them know them, and by peer
    URL, as the configurations do."""
    logs = [one.log for one in members if isinstance(one.log, LogEvidence) and one.log.cluster_id]
    clusters = Counter(one.cluster_id for one in logs).most_common(1)
    chosen = clusters[0][0] if clusters else 0
    ids: set[int] = set()
    for member in members:
        log, db = member.log, member.db
        if isinstance(log, LogEvidence) and log.cluster_id:
            if log.cluster_id != chosen:
                continue
            ids |= {log.member_id, *(one.id for one in log.peers)}
            ids |= {one for each in log.voter_sets for one in (*each.voters, *each.learners)}
        if isinstance(db, DbEvidence):
            ids |= {one.id for one in db.peers}
    urls = {url for one in members if isinstance(one.config, MemberConfig) for url in one.config.peer_urls}
    return ids - {0}, urls
