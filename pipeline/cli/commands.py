"""Adds a command to the application: its help from its docstring, its examples below."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import typer

from pipeline.cli.terminal import examples


def add(app: typer.Typer, function: Callable[..., Any], panel: str, *commands: str) -> None:
    """Register `function` under its own name in a panel of the help; `commands` are its examples."""
    paragraphs = inspect.cleandoc(function.__doc__ or "").split("\n\n")
    text = "\n\n".join(paragraph.replace("\n", " ") for paragraph in paragraphs)
    app.command(help=text, rich_help_panel=panel, epilog=examples(*commands))(function)
