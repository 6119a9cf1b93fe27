"""The application: options that all commands share, how errors leave, and the list of commands."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from pipeline import __version__
from pipeline.cli import (
    ablate,
    compare,
    configs,
    demo,
    grade,
    launch,
    outputs,
    plan,
    preview,
    query,
    regrade,
    reports,
    run,
    show,
    status,
    store,
    ui,
)
from pipeline.cli.context import Options
from pipeline.cli.signals import Terminated
from pipeline.cli.terminal import examples, say_error
from pipeline.errors import StarError, StoreError

EXIT_CODES = (
    "Exit codes: 0 done; 1 an error of another kind; 2 a wrong option; 64 bad config; 65 bad data; "
    "66 something earlier is missing; 69 a model cannot be loaded; 70 an invariant is broken; "
    "74 the store or a file cannot be used; 75 someone else is running the experiment; "
    "76 a quality gate stopped it; 77 a training diverged; 130 and 143 interrupted."
)


_ELSEWHERE = "name another folder (for the home: --home or STAR_HOME)"
_FILE_REMEDIES = {
    errno.ENOSPC: f"free some space there, or {_ELSEWHERE}, then give the same command again",
    errno.EDQUOT: f"free some of your quota, or {_ELSEWHERE}, then give the same command again",
    errno.EROFS: f"it must be writable; {_ELSEWHERE}",
    errno.EACCES: f"you need the right to write there; get it, or {_ELSEWHERE}",
    errno.EPERM: f"you need the right to write there; get it, or {_ELSEWHERE}",
    errno.ENOENT: f"it can be neither found nor made there; {_ELSEWHERE}",
    errno.ENOTDIR: f"a file is where a folder is needed; move it, or {_ELSEWHERE}",
    errno.EEXIST: f"a file is where a folder is needed; move it, or {_ELSEWHERE}",
    errno.EISDIR: f"a folder is where a file is needed; move it, or {_ELSEWHERE}",
}
"""What to do about a path that the system refuses. Other errors of the system are unexpected."""


class StarGroup(TyperGroup):
    """Shows errors as one message with an exit code of their own, never as a traceback unless asked for."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort):
            raise
        except KeyboardInterrupt as interrupt:
            say_error(
                f"interrupted; what is finished is kept. Go on with the same command: {_command_line()}"
            )
            code = interrupt.exit_code if isinstance(interrupt, Terminated) else 130
            raise typer.Exit(code) from None
        except Exception as error:
            usage = hasattr(error, "format_message")  # a wrong option: typer shows it with the usage line
            closed = isinstance(error, OSError) and error.errno == errno.EPIPE
            if usage or closed or ctx.params.get("debug"):
                raise
            raise typer.Exit(_say(error)) from None


def _say(error: Exception) -> int:
    """Show the error; its exit code."""
    if isinstance(error, StarError):
        say_error(str(error))
        return error.exit_code
    if isinstance(error, OSError) and error.errno in _FILE_REMEDIES:
        what = f"{error.filename} cannot be used" if error.filename else "a file cannot be written"
        say_error(f"{what}: {error.strerror}; {_FILE_REMEDIES[error.errno]}")
        return StoreError.exit_code
    say_error(
        f"{type(error).__name__}: {error}\nThis is not an error that star expects. "
        f"Get the traceback with: {_command_line(debug=True)}"
    )
    return 1


def _command_line(debug: bool = False) -> str:
    import shlex

    return shlex.join(["star", *(["--debug"] if debug else []), *sys.argv[1:]])


app = typer.Typer(
    cls=StarGroup,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples("star demo", "star run configs/gsm8k.yaml --rounds 3", "star status")
    + "\n\n"
    + EXIT_CODES,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"star {__version__}")
        raise typer.Exit()


@app.callback()
def options(
    ctx: typer.Context,
    home: Path | None = typer.Option(
        None,
        "--home",
        envvar="STAR_HOME",
        metavar="DIR",
        help="Folder that holds the store, checkpoints and reports. Default: runs/ where you are.",
    ),
    debug: bool = typer.Option(False, "--debug", help="Show tracebacks of errors."),
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Show the version and leave."
    ),
) -> None:
    """A language model teaches itself to reason: it writes rationales, keeps those whose answer is verified,
    is shown the answers of the problems it failed, and is fine-tuned on what was kept, round after round."""
    ctx.obj = Options(home=home, debug=debug)


for module in (
    *(demo, configs, plan, run, launch, ablate, status, preview, show, query, reports, compare, ui),
    *(grade, regrade, outputs, store),
):
    module.register(app)
