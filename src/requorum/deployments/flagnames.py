"""The names of etcd's flags, and which minor versions know them.

Asked of the programs themselves (3.4.23, 3.5.1, 3.5.16, 3.5.30, 3.6.16, 3.7.3): ``etcd --NAME=x --version`` tells a flag
that is not defined from one that is, and a boolean one from the others. A flag that any release of a minor version knows
counts as known to it.
"""

MINORS = ("3.4", "3.5", "3.6", "3.7")
"""The minor versions of which every flag is known."""

_KNOWN_IN: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        MINORS,
        (
            "advertise-client-urls auth-token auth-token-ttl auto-compaction-mode auto-compaction-retention "
            "auto-tls backend-batch-interval backend-batch-limit bcrypt-cost cert-file cipher-suites "
            "client-cert-allowed-hostname client-cert-auth client-crl-file config-file cors data-dir "
            "discovery-fallback discovery-srv discovery-srv-name election-timeout enable-grpc-gateway "
            "enable-pprof force-new-cluster grpc-keepalive-interval grpc-keepalive-min-time "
            "grpc-keepalive-timeout heartbeat-interval help host-whitelist initial-advertise-peer-urls "
            "initial-cluster initial-cluster-state initial-cluster-token initial-election-tick-advance key-file "
            "listen-client-urls listen-metrics-urls listen-peer-urls log-level log-outputs logger "
            "max-concurrent-streams max-request-bytes max-snapshots max-txn-ops max-wals metrics name "
            "peer-auto-tls peer-cert-allowed-cn peer-cert-allowed-hostname peer-cert-file peer-client-cert-auth "
            "peer-crl-file peer-key-file peer-trusted-ca-file pre-vote quota-backend-bytes snapshot "
            "snapshot-count strict-reconfig-check trusted-ca-file unsafe-no-fsync version wal-dir"
        ),
    ),
    (
        ("3.5", "3.6", "3.7"),
        (
            "backend-bbolt-freelist-type client-cert-file client-key-file enable-log-rotation "
            "listen-client-http-urls log-rotation-config-json peer-client-cert-file peer-client-key-file "
            "raft-read-timeout raft-write-timeout self-signed-cert-validity socket-reuse-address "
            "socket-reuse-port tls-max-version tls-min-version v2-deprecation"
        ),
    ),
    (
        ("3.6", "3.7"),
        (
            "bootstrap-defrag-threshold-megabytes compact-hash-check-time compaction-batch-limit "
            "compaction-sleep-interval corrupt-check-time discovery-cacert discovery-cert discovery-dial-timeout "
            "discovery-endpoints discovery-insecure-skip-tls-verify discovery-insecure-transport "
            "discovery-keepalive-time discovery-keepalive-timeout discovery-key discovery-password "
            "discovery-request-timeout discovery-token discovery-user distributed-tracing-address "
            "distributed-tracing-instance-id distributed-tracing-sampling-rate distributed-tracing-service-name "
            "downgrade-check-time enable-distributed-tracing feature-gates log-format max-learners memory-mlock "
            "peer-skip-client-san-verification snapshot-catchup-entries warning-apply-duration "
            "warning-unary-request-duration watch-progress-notify-interval"
        ),
    ),
    (
        ("3.4",),
        ("debug experimental-backend-bbolt-freelist-type log-output log-package-levels"),
    ),
    (
        ("3.4", "3.5", "3.6"),
        (
            "discovery discovery-proxy experimental-compaction-batch-limit experimental-corrupt-check-time "
            "experimental-enable-lease-checkpoint experimental-enable-lease-checkpoint-persist "
            "experimental-initial-corrupt-check experimental-peer-skip-client-san-verification "
            "experimental-warning-apply-duration experimental-watch-progress-notify-interval"
        ),
    ),
    (
        ("3.4", "3.5"),
        (
            "enable-v2 experimental-enable-v2v3 proxy proxy-dial-timeout proxy-failure-wait proxy-read-timeout "
            "proxy-refresh-interval proxy-write-timeout"
        ),
    ),
    (
        ("3.5", "3.6"),
        (
            "experimental-bootstrap-defrag-threshold-megabytes experimental-compact-hash-check-enabled "
            "experimental-compact-hash-check-time experimental-compaction-sleep-interval "
            "experimental-distributed-tracing-address experimental-distributed-tracing-instance-id "
            "experimental-distributed-tracing-sampling-rate experimental-distributed-tracing-service-name "
            "experimental-downgrade-check-time experimental-enable-distributed-tracing experimental-memory-mlock "
            "experimental-snapshot-catchup-entries experimental-stop-grpc-service-on-defrag "
            "experimental-txn-mode-write-with-shared-buffer"
        ),
    ),
    (
        ("3.6",),
        ("experimental-warning-unary-request-duration"),
    ),
)

_GATES_IN: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("3.6", "3.7"),
        (
            "AllAlpha AllBeta CompactHashCheck InitialCorruptCheck LeaseCheckpoint LeaseCheckpointPersist "
            "SetMemberLocalAddr StopGRPCServiceOnDefrag TxnModeWriteWithSharedBuffer"
        ),
    ),
    (("3.7",), "FastLeaseKeepAlive PriorityRequest"),
)

BOOLEANS = frozenset(
    word
    for words in (
        "auto-tls client-cert-auth debug discovery-insecure-skip-tls-verify discovery-insecure-transport",
        "enable-distributed-tracing enable-grpc-gateway enable-log-rotation enable-pprof enable-v2",
        "experimental-compact-hash-check-enabled experimental-enable-distributed-tracing",
        "experimental-enable-lease-checkpoint experimental-enable-lease-checkpoint-persist",
        "experimental-initial-corrupt-check experimental-memory-mlock experimental-peer-skip-client-san-verification",
        "experimental-stop-grpc-service-on-defrag experimental-txn-mode-write-with-shared-buffer force-new-cluster",
        "initial-election-tick-advance memory-mlock peer-auto-tls peer-client-cert-auth",
        "peer-skip-client-san-verification pre-vote socket-reuse-address socket-reuse-port strict-reconfig-check",
        "unsafe-no-fsync version",
    )
    for word in words.split()
)
"""Those that stand alone."""

_VERSIONS = {name: minors for minors, names in _KNOWN_IN for name in names.split()}
_GATES = {name: minors for minors, names in _GATES_IN for name in names.split()}
KNOWN = frozenset(_VERSIONS)
"""Every flag that some version knows."""


def known_in(flag: str) -> tuple[str, ...]:
    """The minor versions that know a flag; none where no version that we know does."""
    return _VERSIONS.get(flag, ())


def gate_known_in(gate: str) -> tuple[str, ...]:
    """The minor versions that know a feature gate."""
    return _GATES.get(gate, ())
