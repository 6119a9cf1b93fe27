"""Errors a user can act on: each names the thing, the value, what was expected and the remedy."""

from __future__ import annotations


class StarError(Exception):
    """Something the user can put right. `exit_code` is what the command line leaves with.

    The message is shown as it is, without a traceback, so it must be complete: the thing, its value,
    what was expected, and the command or the edit that remedies it.
    """

    exit_code = 1


class ConfigError(StarError):
    """The config is wrong; running again will not help (exit code 64, EX_USAGE of sysexits.h)."""

    exit_code = 64


class DataError(StarError):
    """An input file or row is wrong (exit code 65, EX_DATAERR)."""

    exit_code = 65


class NotReadyError(StarError):
    """A stage was asked for before what it stands on exists (exit code 66, EX_NOINPUT)."""

    exit_code = 66


class StoreError(StarError):
    """The store cannot be used as it is: newer than the code, not ours, damaged (exit code 74, EX_IOERR)."""

    exit_code = 74


class LeaseHeldError(StarError):
    """Someone else is running this experiment (exit code 75, EX_TEMPFAIL: try again later)."""

    exit_code = 75


class ModelLoadError(StarError):
    """A model or tokenizer cannot be loaded (exit code 69, EX_UNAVAILABLE)."""

    exit_code = 69


class ServerError(StarError):
    """A server that writes does not answer, or not as it should (exit code 69, EX_UNAVAILABLE)."""

    exit_code = 69


class InvariantError(StarError):
    """A check of `sql/checks/` found offending rows, or counts that do not add up (exit code 70)."""

    exit_code = 70


class DivergedError(StarError):
    """A training was stopped because it diverged (exit code 77); again as it is, it would do so again."""

    exit_code = 77


class StoppedByGateError(StarError):
    """A quality gate of the config stopped the run (exit code 76)."""

    exit_code = 76
