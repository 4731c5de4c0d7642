"""The certificates that a member runs with: read on its host, understood here. Private keys are never read."""

import datetime
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509

from requorum.hosts import files
from requorum.hosts.connection import Connection
from requorum.survey.evidence import Certificate


def read(host: Connection, paths: Sequence[str]) -> tuple[Certificate, ...]:
    """Each file's first certificate; what cannot be read says why."""
    return tuple(_one(host, path) for path in dict.fromkeys(paths) if path)


def _one(host: Connection, path: str) -> Certificate:
    try:
        raw = host.call(files.read_file, Path(path))
        found = x509.load_pem_x509_certificate(raw)
    except OSError as err:
        return Certificate(path=path, fault=err.strerror or str(err))
    except ValueError as err:
        return Certificate(path=path, fault=f"no certificate: {err}")
    return Certificate(
        path=path,
        subject=found.subject.rfc4514_string(),
        not_before=_at(found.not_valid_before_utc),
        not_after=_at(found.not_valid_after_utc),
        names=_names(found),
    )


def _at(moment: datetime.datetime) -> float:
    return moment.timestamp()


def _names(found: x509.Certificate) -> tuple[str, ...]:
    try:
        sans = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    return tuple(str(one.value) for one in sans)
