"""The API servers of a lab, asked as the operator does: over TLS that nobody checks, with the lab's token."""

import http.client
import json
import ssl
import time
from collections.abc import Iterator
from typing import Any

from lab.lab import Lab
from lab.programs import LabError
from lab.staticpods import API_PORT, TOKEN

SECONDS = 15.0
READY_SECONDS = 120.0
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


def ask(lab: Lab, host: str, method: str, path: str, body: Any = None) -> Iterator[dict[str, Any]]:
    """Send a request to the API server on a host; yields each JSON document of the answer, one unless it is a watch.

    Raises LabError where nothing answers.
    """
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connection = http.client.HTTPSConnection(lab.host(host).address, API_PORT, timeout=SECONDS, context=context)
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    try:
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        if "watch=true" in path:
            for line in answer:
                yield json.loads(line)
        else:
            raw = answer.read()
            yield json.loads(raw) if raw.startswith(b"{") else {"code": answer.status, "said": raw.decode()}
    except (OSError, ValueError, http.client.HTTPException) as err:
        raise LabError(f"the API server on {host} does not answer: {err}") from err
    finally:
        connection.close()


def wait_ready(lab: Lab, hosts: list[str]) -> None:
    """Wait until the API servers on these hosts are ready; raises LabError."""
    deadline = time.monotonic() + READY_SECONDS
    for host in hosts:
        while True:
            try:
                (said,) = ask(lab, host, "GET", "/readyz")
            except LabError as err:
                said = {"said": str(err)}
            if said.get("said") == "ok":
                break
            if time.monotonic() > deadline:
                raise LabError(f"the API server on {host} is not ready after {READY_SECONDS:.0f} s: {said}")
            time.sleep(0.5)
