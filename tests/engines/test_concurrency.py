"""How many requests are on their way: grown while a token takes no longer, halved when the server refuses."""

from pipeline.engines.concurrency import Concurrency


def turn(concurrency: Concurrency, seconds_per_token: float) -> int:
    """One turn of answers that all took as long; the limit after it."""
    for _ in range(concurrency.limit):
        concurrency.answered(concurrency.turn, seconds_per_token)
    return concurrency.limit


def test_concurrency_doubles_while_a_token_takes_no_longer_and_ends_at_most() -> None:
    concurrency = Concurrency(100)
    assert [concurrency.limit, *(turn(concurrency, 0.01) for _ in range(5))] == [8, 16, 32, 64, 100, 100]
    assert Concurrency(3).limit == 3


def test_concurrency_stays_where_a_token_takes_twice_its_best_time() -> None:
    concurrency = Concurrency(1000)
    assert [turn(concurrency, seconds) for seconds in (0.01, 0.019, 0.021, 0.05)] == [16, 32, 32, 32]
    assert turn(concurrency, 0.012) == 64


def test_concurrency_one_slow_answer_is_not_a_slow_server() -> None:
    concurrency = Concurrency(1000)
    turn(concurrency, 0.01)
    for seconds in (5.0, *[0.01] * 15):
        concurrency.answered(concurrency.turn, seconds)
    assert concurrency.limit == 32


def test_concurrency_refusals_of_one_turn_halve_it_once_and_it_then_grows_by_an_eighth() -> None:
    concurrency = Concurrency(1000)
    for _ in range(3):
        turn(concurrency, 0.01)
    sent = concurrency.turn
    for _ in range(64):
        concurrency.refused(sent)
    assert concurrency.limit == 32
    assert [turn(concurrency, 0.01) for _ in range(3)] == [36, 40, 45]
    for _ in range(10):
        concurrency.refused(concurrency.turn)
    assert concurrency.limit == 1
    assert turn(concurrency, 0.01) == 2


def test_concurrency_answers_of_earlier_turns_say_nothing_of_the_present_limit() -> None:
    concurrency = Concurrency(1000)
    turn(concurrency, 0.01)
    for _ in range(100):
        concurrency.answered(0, 9.0)
    assert (concurrency.limit, concurrency.turn) == (16, 1)
