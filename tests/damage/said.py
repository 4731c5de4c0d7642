"""requorum as an operator types it, and what it claims: read from its JSON, its exit code and its messages alone."""

import contextlib
import importlib
import json
import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

COMMAND_SECONDS = 240.0
HANGS = -1
"""What stands for the exit code of a command that did not end in time."""
_MODULES = (
    *("survey_cmd", "plan_cmd", "recover_cmd", "rebuild_cmd", "check_cmd"),
    *("rollback_cmd", "member_cmd", "render", "progress"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended. ``json`` is empty when it printed none."""

    words: tuple[str, ...]
    code: int
    out: str
    err: str
    seconds: float
    json: Mapping[str, Any] = field(default_factory=dict)

    @property
    def message(self) -> str:
        """Its error in one line."""
        words = " ".join(self.err.split())
        at = words.find("error:")
        return words[at : at + 600] if at >= 0 else words[-600:]


def load_modules() -> None:
    """Import every command once: each is then run in a fork, without a second of imports."""
    for one in _MODULES:
        importlib.import_module(f"requorum.cli.{one}")
    importlib.import_module("requorum.cli.main")


def run(words: Sequence[str | Path], state: Path, log: Path, killed_at: str = "") -> Ended:
    """Run ``requorum WORDS`` in a child process; its output is kept in ``log``, too. ``killed_at``: SIGKILL it once its
    journal says that a step of this kind has begun."""
    state.mkdir(parents=True, exist_ok=True)
    argv = [str(one) for one in words]
    out, err = state / "stdout", state / "stderr"
    began = time.monotonic()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        _be_requorum(argv, state, out, err)
    code = _wait(child, state, killed_at)
    if code == HANGS:
        with err.open("a") as file:
            file.write(f"error: did not end within {COMMAND_SECONDS:.0f} s")
    said, told = out.read_text(errors="replace"), err.read_text(errors="replace")
    with log.open("a") as file:
        file.write(f"$ requorum {' '.join(argv)}\n{told}{said}\nexit {code}\n")
    answer: Any = {}
    with contextlib.suppress(ValueError):
        answer = json.loads(said)
    return Ended(
        words=tuple(argv),
        code=code,
        out=said,
        err=told,
        seconds=time.monotonic() - began,
        json=answer if isinstance(answer, dict) else {},
    )


def _be_requorum(argv: Sequence[str], state: Path, out: Path, err: Path) -> None:
    code = 70
    try:
        os.setsid()
        for number, path, how in ((0, os.devnull, os.O_RDONLY), (1, out, os.O_WRONLY), (2, err, os.O_WRONLY)):
            fd = os.open(path, how | os.O_CREAT | os.O_TRUNC if how else how, 0o600)
            os.dup2(fd, number)
        os.environ.update(REQUORUM_STATE_DIR=str(state), NO_COLOR="1", COLUMNS="400")
        sys.argv = ["requorum", *argv]
        from requorum.cli import main

        try:
            main.main()
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 0
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _wait(child: int, state: Path, killed_at: str) -> int:
    end = time.monotonic() + COMMAND_SECONDS
    mark = f"-{killed_at}/".encode()
    while time.monotonic() < end:
        if killed_at and any(mark in one.read_bytes() for one in state.glob("runs/*/journal.jsonl")):
            os.kill(child, 9)
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return HANGS


Kind = Literal["loss", "healthy", "least revision", "exact revision", "nothing", "start", "replace", "no quorum"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One thing that was said. ``at_most``: so many writes are lost at most (-1: no bound); ``proven``: no others can be.
    ``number`` is a revision. ``about``: the source, or the members, that it is about."""

    by: str
    kind: Kind
    text: str
    at_most: int = -1
    proven: bool = False
    number: int = 0
    about: tuple[str, ...] = ()


_LOST = re.compile(r"(no write|(?:at most )?\d+ writes?) lost( that the disks still show)?( \(unproven\))?")
_REPLACE = re.compile(r"replace ([\w, .-]+?) \(never restore")


def loss_in_words(text: str) -> tuple[int, bool] | None:
    """(at most, proven) of a loss in words; None where nothing is said."""
    found = _LOST.search(text)
    if found is None:
        return None
    digits = re.search(r"\d+", found.group(1))
    rest = text[found.end() : found.end() + 20].lower()
    sure = not (found.group(2) or found.group(3)) and "unproven" not in rest
    return (int(digits.group()) if digits else 0), sure


def of_loss(by: str, loss: Mapping[str, Any], text: str, about: str) -> Claim:
    """The claim that a Loss of the verdict makes."""
    return Claim(
        by=by,
        kind="loss",
        text=text,
        at_most=int(loss.get("at_most", -1)),
        proven=not loss.get("unproven") and int(loss.get("at_most", -1)) >= 0,
        about=(about,),
    )


def of_verdict(by: str, verdict: Mapping[str, Any]) -> list[Claim]:
    """What a verdict claims: of its best choice only."""
    kind, summary = str(verdict.get("kind", "")), str(verdict.get("summary", ""))
    basis = verdict.get("basis") or {}
    out: list[Claim] = []
    if kind == "healthy":
        out.append(Claim(by=by, kind="healthy", text=summary))
    elif kind == "replace members":
        out.append(Claim(by=by, kind="replace", text=summary, about=replaced_in(summary)))
    elif kind == "start as is":
        start = verdict.get("start") or {}
        said = loss_in_words(summary)
        loss = start.get("loss")
        out.append(Claim(by=by, kind="start", text=summary, about=tuple(start.get("members", ()))))
        if isinstance(loss, dict):
            out.append(of_loss(by, loss, summary, "start"))
        elif said is not None:
            proven = said[1] and not basis.get("unproven") and not verdict.get("unproven")
            out.append(Claim(by=by, kind="loss", text=summary, at_most=said[0], proven=proven, about=("start",)))
        out.append(Claim(by=by, kind="least revision", text=summary, number=int(start.get("revision", 0))))
    elif kind == "rebuild" and verdict.get("sources"):
        best = verdict["sources"][0]
        out.append(of_loss(by, best.get("loss", {}), summary, str(best.get("id", ""))))
    elif kind == "nothing to rebuild from":
        out.append(Claim(by=by, kind="nothing", text=summary))
    return out


def replaced_in(text: str) -> tuple[str, ...]:
    """The members that somebody is told to replace."""
    found = _REPLACE.search(text)
    return tuple(one.strip() for one in found.group(1).split(",")) if found else ()


def of_rebuild(ended: Ended) -> list[Claim]:
    """What a rebuild claims. Exit 0: whatever is lost is counted, and that is proven."""
    source = ended.json.get("source")
    if not isinstance(source, dict):
        return []
    about = str(source.get("id", ""))
    warned = " ".join(str(one) for one in ended.json.get("warnings", ()))
    claim = of_loss("rebuild", source.get("loss", {}), f"exit {ended.code}, from {about}; warnings: {warned}", about)
    if ended.code == 0:
        claim = replace(claim, at_most=max(claim.at_most, 0), proven=True)
    built = ended.json.get("snapshot", {})
    return [
        claim,
        Claim(by="rebuild", kind="exact revision", text=about, number=int(built.get("revision", 0)), about=(about,)),
    ]


def of_recovery(ended: Ended, verdict: Mapping[str, Any]) -> list[Claim]:
    """What a recovery claims that ended with 0 or 3. Exit 0: nothing is lost, and that is proven."""
    predicted = ended.json.get("predicted_lost_max")
    about = str(ended.json.get("source") or "start")
    warned = " ".join(str(one) for one in ended.json.get("warnings", ()))
    at_most = -1 if predicted is None else int(predicted)
    doubted = ended.json.get("unproven") or re.search(r"not proven|unproven|cannot be known|cannot be proven", warned)
    proven = ended.code == 0 or not doubted
    if ended.code == 0:
        at_most = max(at_most, 0)
    text = f"exit {ended.code}, {ended.json.get('verdict')} from {about}, at most {predicted} lost; warnings: {warned}"
    return [
        Claim(by="recover", kind="loss", text=text, at_most=at_most, proven=proven and at_most >= 0, about=(about,)),
        Claim(by="recover", kind="start", text=text, about=tuple(r["member"] for r in _rows(ended))),
    ]


def _rows(ended: Ended) -> list[Mapping[str, Any]]:
    return [one for one in (ended.json.get("proof") or {}).get("rows", ()) if isinstance(one, dict)]


def of_check(ended: Ended) -> list[Claim]:
    """What a check claims: ``ok`` says that the cluster is well; it may also give advice, or miss a quorum."""
    summary = str(ended.json.get("summary", ""))
    texts = [summary, *(str(one.get("text", "")) for one in ended.json.get("findings", ()))]
    out: list[Claim] = []
    if ended.code == 0 or ended.json.get("state") == "ok":
        out.append(Claim(by="check", kind="healthy", text=f"exit {ended.code}: {summary}"))
    for text in dict.fromkeys(texts):
        if replaced_in(text):
            out.append(Claim(by="check", kind="replace", text=text, about=replaced_in(text)))
        if "quorum is lost" in text:
            out.append(Claim(by="check", kind="no quorum", text=text))
    return out


def of_plan(ended: Ended) -> list[Claim]:
    """What a plan says where none is needed."""
    words = ended.message
    if ended.code and replaced_in(words):
        return [Claim(by="plan", kind="replace", text=words, about=replaced_in(words))]
    if ended.code and re.search(r"nothing to recover|all \d+ members serve", words):
        return [Claim(by="plan", kind="healthy", text=words)]
    return []
