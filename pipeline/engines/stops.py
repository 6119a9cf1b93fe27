"""Where a text ends: stop strings noticed while it is written, and cut from what engines of others wrote."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.engines.tokenizer import Tokenizer
from pipeline.records import FinishReason

if TYPE_CHECKING:
    import torch

_REPLACEMENT = "�"  # what an incomplete UTF-8 sequence decodes to


class StopScan:
    """Says which rows have just completed a stop string.

    A stop string is completed by a token that holds its last character. Those tokens are looked up in a
    table made once; only for rows that drew one of them is the tail of the text decoded.
    """

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str]) -> None:
        import torch

        self._tokenizer = tokenizer
        self._stop = tuple(stop)
        # Between words a tokenizer may write spaces that no token holds: then any token may end a stop.
        last = {text[-1] for text in stop}
        pieces = tokenizer.pieces()
        may_end = [
            " " in last or _REPLACEMENT in piece or any(letter in piece for letter in last)
            for piece in pieces
        ]
        self._may_end = torch.tensor(may_end, dtype=torch.bool)
        # A token is at least a quarter of a character (a byte), but for skipped special ones.
        self._tail = 4 * max((len(text) for text in stop), default=0) + 8

    def hits(self, tokens: torch.Tensor, running: torch.Tensor, written: torch.Tensor) -> torch.Tensor:
        """Mask (n,) of running rows that now contain a stop; `written` is (n, step + 1) ids, on the CPU."""
        import torch

        known = tokens.clamp(max=len(self._may_end) - 1)
        found = torch.zeros_like(running)
        for row in (self._may_end[known] & running).nonzero()[:, 0].tolist():
            tail = self._tokenizer.decode(written[row, -self._tail :].tolist())
            found[row] = any(text in tail for text in self._stop)
        return found


def cut_at_stop(text: str, stop: Sequence[str]) -> str | None:
    """`text` up to the first stop string in it, None where it has none."""
    starts = [start for start in (text.find(part) for part in stop) if start >= 0]
    return text[: min(starts)] if starts else None


def drawn_text(
    tokenizer: Tokenizer, ids: Sequence[int], *, stopped: bool, stop: Sequence[str]
) -> tuple[str, FinishReason]:
    """The text of ids that an engine of others drew, and why it ended; `stopped`: before its limit."""
    reason = FinishReason.LENGTH
    if stopped:
        ended = bool(ids) and ids[-1] in tokenizer.stop_ids_with(stop)
        reason = FinishReason.EOS if ended else FinishReason.STOP
    text = tokenizer.decode(ids[:-1] if reason is FinishReason.EOS else ids)
    if (cut := cut_at_stop(text, stop)) is not None:
        return cut, FinishReason.STOP
    return text, reason
