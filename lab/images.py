"""Container images made on the spot: one layer of programs and the libraries that they are linked with."""

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.programs import run

_LIBRARY = re.compile(r"(?:=> )?(/\S+) \(0x")


def write(path: Path, name: str, programs: Mapping[str, Path], command: Sequence[str]) -> None:
    """Write an image as an archive that ``ctr images import`` takes; ``programs`` maps places in the image to files here."""
    wanted = dict(programs)
    for program in programs.values():
        wanted.update({str(one): one for one in _libraries(program)})
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for place, file in sorted(wanted.items()):
            info = tarfile.TarInfo(place.lstrip("/"))
            info.size, info.mode = file.stat().st_size, 0o755
            with file.open("rb") as content:
                tar.addfile(info, content)
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": ["PATH=/usr/local/bin:/usr/bin:/bin"], "Entrypoint": list(command)},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        }
    ).encode()
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = json.dumps([{"Config": config_name, "RepoTags": [name], "Layers": ["layer.tar"]}]).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for member, data in ((config_name, config), ("layer.tar", layer.getvalue()), ("manifest.json", manifest)):
            info = tarfile.TarInfo(member)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def _libraries(program: Path) -> list[Path]:
    """The shared libraries of a program, its loader among them; none for a static one."""
    done = run(["ldd", program], check=False)
    return [Path(found) for found in _LIBRARY.findall(done.stdout)] if done.returncode == 0 else []
