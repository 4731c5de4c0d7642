"""The entry point: the group of commands, and the one place where errors become exit codes."""

import datetime
import importlib
import os
import platform
import sys
import tempfile
import traceback
from pathlib import Path

import click
from rich.console import Console

from requorum import __version__, errors
from requorum.errors import RequorumError

COMMANDS = {
    "survey": ("requorum.cli.survey_cmd", "survey"),
    "plan": ("requorum.cli.plan_cmd", "plan"),
    "recover": ("requorum.cli.recover_cmd", "recover"),
    "resume": ("requorum.cli.recover_cmd", "resume"),
    "rollback": ("requorum.cli.rollback_cmd", "rollback"),
    "runs": ("requorum.cli.runs_cmd", "runs"),
    "cleanup": ("requorum.cli.runs_cmd", "cleanup"),
    "check": ("requorum.cli.check_cmd", "check"),
    "init": ("requorum.cli.init_cmd", "init"),
    "evidence": ("requorum.cli.evidence_cmd", "evidence"),
    "fence": ("requorum.cli.fence_cmd", "fence"),
    "member": ("requorum.cli.member_cmd", "member"),
    "rebuild": ("requorum.cli.rebuild_cmd", "rebuild"),
    "inspect": ("requorum.cli.inspect_cmd", "inspect"),
    "rehearse": ("requorum.cli.rehearse_cmd", "rehearse"),
}


class _Commands(click.Group):
    """Commands are imported when they are called: a first answer should not wait for what it does not need."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command


def _exit_codes() -> str:
    lines = [f"{code:>4}  {text}" for code, text in errors.exit_codes().items()]
    return "\b\nExit codes:\n" + "\n".join(lines)


@click.group(
    cls=_Commands,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "auto_envvar_prefix": "REQUORUM",
        "max_content_width": 100,
    },
    epilog=_exit_codes(),
)
@click.version_option(__version__, prog_name="requorum")
def cli() -> None:
    """Bring a dead etcd cluster back, with nothing lost that its disks still hold.

    \b
    Look first (changes nothing):  requorum survey [DIR...]
    See what would be done:        requorum plan -i inventory.yaml
    Do it:                         requorum recover -i inventory.yaml
    Try it all on this machine:    requorum rehearse
    """


def main() -> None:
    """Run, and exit with the code that the outcome stands for."""
    try:
        code = cli.main(standalone_mode=False)
    except click.ClickException as err:
        err.show()
        sys.exit(errors.UsageError.exit_code if isinstance(err, click.UsageError) else err.exit_code)
    except click.Abort:
        _say("interrupted", "", "")
        sys.exit(errors.INTERRUPTED)
    except RequorumError as err:
        _say(err.message, err.changed, err.hint)
        sys.exit(err.exit_code)
    except KeyboardInterrupt:
        _say("interrupted", "", "if a run had begun: requorum runs shows it")
        sys.exit(errors.INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as err:
        inner = err
        while isinstance(inner, ExceptionGroup) and len(inner.exceptions) == 1:
            inner = inner.exceptions[0]
        if not isinstance(inner, RequorumError):
            sys.exit(_bug())
        _say(inner.message, inner.changed, inner.hint)
        sys.exit(inner.exit_code)
    sys.exit(code if isinstance(code, int) else 0)


def _say(message: str, changed: str, hint: str) -> None:
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"[bold red]error:[/] {_escape(message)}")
    if changed:
        console.print(f"[bold]changed:[/] {_escape(changed)}")
    if hint:
        console.print(f"[bold cyan]hint:[/] {_escape(hint)}")


def _escape(text: str) -> str:
    return text.replace("[", r"\[")


def _bug() -> int:
    """Write the traceback to a file: an operator at 3 a.m. needs one line, whoever mends it needs all."""
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S")
    fd, name = tempfile.mkstemp(prefix=f"requorum-bug-{stamp}-", suffix=".txt")
    with os.fdopen(fd, "w") as file:
        file.write(
            f"requorum {__version__}, Python {platform.python_version()}\n{sys.argv}\n\n{traceback.format_exc()}"
        )
    last = traceback.format_exc().strip().splitlines()[-1]
    _say(
        f"this is a bug in requorum: {last}",
        "if a run had begun, it stopped where it was: requorum runs shows it",
        f"the report is in {Path(name)}",
    )
    return errors.BUG


if __name__ == "__main__":
    main()
