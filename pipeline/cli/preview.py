"""`star preview`: every kind of prompt of a real problem, as text and tokens, before any generation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from pipeline.cli.commands import add
from pipeline.cli.context import home_of, is_experiment, load_named, looks_like_file, recorded_config
from pipeline.cli.run import SET_HELP
from pipeline.cli.terminal import clean, console, print_json, say

if TYPE_CHECKING:
    from pipeline.cli.previews import Preview, Previews

PANEL = "Start"


def register(app: typer.Typer) -> None:
    add(
        app,
        preview,
        PANEL,
        "star preview configs/gsm8k.yaml",
        "star preview addition --problems 2 --tokens",
        "star preview gsm8k --set generate.few_shot=never --json",
    )


def preview(
    ctx: typer.Context,
    target: str = typer.Argument(
        metavar="CONFIG|EXPERIMENT",
        help="A YAML file, the name of a shipped config, or an experiment that exists.",
    ),
    set_: list[str] = typer.Option([], "--set", metavar="KEY=VALUE", help=SET_HELP),
    problems: int = typer.Option(1, min=1, max=100, help="How many problems to show."),
    tokens: bool = typer.Option(
        False, "--tokens", help="Show every token of prompts, not only their number."
    ),
    json: bool = typer.Option(False, "--json", help="One JSON document per prompt on stdout, with all ids."),
) -> None:
    """Show what a model will be asked and trained on: generation, hinted, evaluation and training prompts.

    Real problems are loaded, no model is: it needs the tokenizer only, and no GPU. The training row shows
    which tokens carry loss, its end token included.
    """
    from pipeline.cli.previews import previews_of

    home = home_of(ctx)
    if not looks_like_file(target) and is_experiment(home, target):
        loaded = recorded_config(home, target, set_)
    else:
        loaded = load_named(target, set_)
    made = previews_of(loaded.config, home, problems)
    if json:
        for item in made.items:
            print_json({"experiment": loaded.experiment, **item.as_dict(), "sampling": made.sampling})
        return
    _print_head(made)
    for item in made.items:
        _print(item, tokens)


def _print_head(made: Previews) -> None:
    for note in made.notes:
        say(note)
    out = console()
    for name, value in made.sampling.items():
        out.print(f"{name}: {clean(str(value))}", soft_wrap=True)


def _print(item: Preview, tokens: bool) -> None:
    from rich.text import Text

    out = console()
    count = "" if item.ids is None else f", {len(item.ids):,} tokens"
    title = f"{item.kind}  problem {clean(item.problem_id)} ({item.split}), {item.style}{count}"
    out.print()
    out.print(Text(title, style="bold"), soft_wrap=True)
    body = Text("  ")
    prompt, completion = clean(item.prompt), clean(item.completion)
    body.append(_indented(prompt), "dim")
    if item.hint:
        hint = clean(item.hint)
        start = body.plain.rfind(_indented(hint))
        if start >= 0:
            body.stylize("not dim bold yellow", start, start + len(_indented(hint)))
    body.append(_indented(completion), "green")
    out.print(body, soft_wrap=True)
    if item.hint:
        out.print(Text(f"  hint: {clean(item.hint)!r}", style="yellow"), soft_wrap=True)
    if item.ids is None:
        return
    if item.labels is not None:
        cut = next(index for index, label in enumerate(item.labels) if label >= 0)
        out.print(_tokens("  no loss", item.tokens[:cut], item.ids[:cut], "dim"), soft_wrap=True)
        out.print(_tokens("  loss   ", item.tokens[cut:], item.ids[cut:], "green"), soft_wrap=True)
    elif tokens:
        out.print(_tokens("  tokens ", item.tokens, item.ids, "dim"), soft_wrap=True)


def _indented(text: str) -> str:
    return text.replace("\n", "\n  ")


def _tokens(head: str, names: Sequence[str], ids: Sequence[int], style: str) -> Any:
    """`head: name·id name·id`: every token with its id."""
    from rich.text import Text

    line = Text(f"{head}: ")
    line.append(" ".join(f"{clean(name)}·{index}" for name, index in zip(names, ids, strict=True)), style)
    return line
