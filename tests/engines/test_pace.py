"""How many requests are on their way: grown while a token takes no longer, halved when the server refuses."""

from pipeline.engines.pace import Pace


def turn(pace: Pace, seconds_per_token: float) -> int:
    """One turn of answers that all took as long; the limit after it."""
    for _ in range(pace.limit):
        pace.answered(pace.turn, seconds_per_token)
    return pace.limit


def test_pace_doubles_while_a_token_takes_no_longer_and_ends_at_most() -> None:
    pace = Pace(100)
    assert [pace.limit, *(turn(pace, 0.01) for _ in range(5))] == [8, 16, 32, 64, 100, 100]
    assert Pace(3).limit == 3


def test_pace_stays_where_a_token_takes_twice_its_best_time() -> None:
    pace = Pace(1000)
    assert [turn(pace, seconds) for seconds in (0.01, 0.019, 0.021, 0.05)] == [16, 32, 32, 32]
    assert turn(pace, 0.012) == 64


def test_pace_one_slow_answer_is_not_a_slow_server() -> None:
    pace = Pace(1000)
    turn(pace, 0.01)
    for seconds in (5.0, *[0.01] * 15):
        pace.answered(pace.turn, seconds)
    assert pace.limit == 32


def test_pace_refusals_of_one_turn_halve_it_once_and_it_then_grows_by_an_eighth() -> None:
    pace = Pace(1000)
    for _ in range(3):
        turn(pace, 0.01)
    sent = pace.turn
    for _ in range(64):
        pace.refused(sent)
    assert pace.limit == 32
    assert [turn(pace, 0.01) for _ in range(3)] == [36, 40, 45]
    for _ in range(10):
        pace.refused(pace.turn)
    assert pace.limit == 1
    assert turn(pace, 0.01) == 2


def test_pace_answers_of_earlier_turns_say_nothing_of_the_present_limit() -> None:
    pace = Pace(1000)
    turn(pace, 0.01)
    for _ in range(100):
        pace.answered(0, 9.0)
    assert (pace.limit, pace.turn) == (16, 1)
