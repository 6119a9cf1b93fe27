"""`star`: the command line. What a command needs is imported when it runs, so that `star --help` is quick."""

from __future__ import annotations


def main() -> None:
    """Run the command that `sys.argv` names and leave with its exit code (see `star --help`)."""
    from pipeline.cli.app import app
    from pipeline.cli.signals import interruptible

    with interruptible():
        app(prog_name="star")
