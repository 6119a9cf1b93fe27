"""How many requests a server is sent at once: as many as it takes without each token taking much longer."""

from __future__ import annotations

from statistics import median

FIRST = 8
"""Requests on their way at the start, before anything is known of the server."""
SLOWER = 2.0
"""A token may take this many times its best time before more at once is no gain."""


class Concurrency:
    """`limit` requests may be on their way, between 1 and `most`.

    It is looked at once in a turn, of `limit` answers: doubled as long as the server has never refused, then
    raised by an eighth. A refusal for load halves it, once for all requests that were sent in the same turn.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.limit = min(FIRST, most)
        self.turn = 0
        self._careful = False
        self._best = float("inf")
        self._seconds: list[float] = []

    def answered(self, turn: int, seconds_per_token: float) -> None:
        """An answer to a request that was sent in `turn`; earlier turns say nothing of the present limit."""
        if turn != self.turn:
            return
        self._seconds.append(seconds_per_token)
        if len(self._seconds) < self.limit:
            return
        usual = median(self._seconds)
        self._best = min(self._best, usual)
        more = self.limit + max(1, self.limit // 8) if self._careful else 2 * self.limit
        self._next_turn(min(self.most, more) if usual <= SLOWER * self._best else self.limit)

    def refused(self, turn: int) -> None:
        """The server refused a request that was sent in `turn`, for load, or let it time out."""
        if turn == self.turn:
            self._careful = True
            self._next_turn(max(1, self.limit // 2))

    def _next_turn(self, limit: int) -> None:
        self.limit = limit
        self.turn += 1
        self._seconds = []
