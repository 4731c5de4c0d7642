"""requorum as a library: whole courses are called from Python, and no terminal is imported for it."""

import json
import re
import subprocess
import sys
from pathlib import Path

from .clusters import Cluster
from .process import Requorum

REFERENCE = Path(__file__).parents[2] / "docs/reference.md"


def _run(requorum: Requorum, folder: Path, text: str) -> str:
    """A Python program's output, run as one whose author has never heard of click."""
    told = "\nimport sys\nassert not {'click', 'rich', 'requorum.cli'} & set(sys.modules), 'a terminal was imported'\n"
    done = subprocess.run(
        [sys.executable, "-c", text + told],
        cwd=folder,
        env=requorum.env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_example_of_the_reference(requorum: Requorum, three: Cluster) -> None:
    """It surveys, and plans; nothing is changed."""
    (example,) = re.findall(r"```python\n(.*?)```", REFERENCE.read_text(), re.DOTALL)
    configs = three.configs()
    out = _run(requorum, three.inventory.parent, example.replace("inventory.yaml", three.inventory.name))
    assert out.splitlines()[0].startswith("start as is: no restore is needed")
    assert " 1. " in out
    assert three.configs() == configs


def test_a_whole_recovery_and_back(requorum: Requorum, one: Cluster) -> None:
    """Agreed to beforehand, by the cluster's name; another name is refused before anything is done."""
    program = f"""
import json
from pathlib import Path
from requorum import errors, operations
from requorum.operations.hosts import Where
from requorum.operations.operator import Operator

where = Where(inventory_path=Path({str(one.inventory)!r}))
with operations.hosts.opened(where) as world:
    for wrong in (Operator(yes=True, confirm="another"), Operator()):
        try:
            operations.recover.recover(world, wrong)
        except errors.Refused as err:
            print(err.message)
    done = operations.recover.recover(world, Operator(yes=True, confirm={one.yes[-1]!r}))
back = operations.rollback.roll_back(done.run, where, Operator(yes=True, confirm={one.yes[-1]!r}))
known = operations.runs.known(where)
print(json.dumps([done.verdict, done.proof.revision, back.undone > 0, [row.state for row in known.runs]]))
"""
    refused, unasked, answer = _run(requorum, one.root, program).splitlines()
    assert "'another' is not its name" in refused
    assert "nobody can be asked" in unasked
    verdict, revision, undone, states = json.loads(answer)
    assert (verdict, undone) == ("start as is", True)
    assert revision > 300
    assert states == ["rolled back"]
