"""`star`: the command line. What a command needs is imported when it runs, so that `star --help` is quick."""

from __future__ import annotations


def main() -> None:
    """Run the command that `sys.argv` names and leave with its exit code (see `star --help`)."""
    from pipeline.process import spare_imports

    spare_imports()
    from pipeline.cli.app import app
    from pipeline.cli.signals import terminate_as_interrupt

    with terminate_as_interrupt():
        app(prog_name="star")
