"""Grading a stream: order, laziness, limits, crashes, and that no process is left."""

import os
from collections.abc import Iterator

import pytest

from pipeline.graders import Grading, item_key, open_grading, parse_config
from pipeline.records import GradeItem, Outcome

MATH = parse_config({"type": "math", "timeout_s": 2.0})
HANGS = ("(10^8)!", "\\boxed{((10^8)!)!}")


def items(*pairs: tuple[str, str]) -> Iterator[GradeItem]:
    for number, (gold, response) in enumerate(pairs):
        yield GradeItem(key=str(number), answer=gold, response=response)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_grading_plain_numbers_starts_no_process() -> None:
    with open_grading(MATH, 2) as grading:
        verdicts = list(grading.grade(items(("72", "#### 72"), ("72", "#### 73"), ("72", "I do not know"))))
        assert grading.processes == []
    assert [verdict.outcome for verdict in verdicts] == [Outcome.CORRECT, Outcome.WRONG, Outcome.WRONG]
    assert [verdict.reason for verdict in verdicts] == ["exact", "different", "no_answer"]


def test_grading_slow_and_quick_items_mixed_keeps_the_order() -> None:
    pairs = [
        ("72", "#### 72"),
        ("a^2-b^2", "\\boxed{(a-b)(a+b)}"),
        ("5", "#### 6"),
        ("\\int_0^1 2x dx", "\\boxed{1}"),
    ]
    with open_grading(MATH, 2) as grading:
        verdicts = list(grading.grade(items(*pairs * 20)))
    assert [verdict.key for verdict in verdicts] == [str(number) for number in range(80)]
    outcomes = [verdict.outcome for verdict in verdicts[:3]]
    assert outcomes == [Outcome.CORRECT, Outcome.CORRECT, Outcome.WRONG]
    assert {verdict.outcome for verdict in verdicts[1::4]} == {Outcome.CORRECT}


def test_grading_item_that_hangs_costs_only_itself() -> None:
    symbolic = ("\\int_0^1 x dx", "\\boxed{\\int_0^1 y dy}")
    with open_grading(MATH, 1) as grading:
        first = list(grading.grade(items(HANGS, symbolic, ("\\int_0^2 x dx", "\\boxed{2}"))))
        again = list(grading.grade(items(("7", "#### 7"))))
    assert first[0].outcome is Outcome.UNGRADED
    assert first[0].reason in {"timeout", "memory", "crashed"}
    assert first[0].answer == "((10^8)!)!"
    assert [verdict.reason in {"timeout", "crashed", "memory"} for verdict in first[1:]] == [False, False]
    assert again[0].outcome is Outcome.CORRECT


@pytest.mark.parametrize("leave", ["normally", "by an error", "by ctrl-c", "in the middle"])
def test_grading_left_leaves_no_process(leave: str) -> None:
    def use(grading: Grading) -> None:
        verdicts = grading.grade(items(("\\int_0^1 2x dx", "\\boxed{1}"), HANGS, HANGS))
        next(verdicts)
        pids.extend(grading.processes)
        if leave == "by an error":
            raise ValueError(leave)
        if leave == "by ctrl-c":
            raise KeyboardInterrupt
        if leave == "normally":
            list(verdicts)

    pids: list[int] = []
    try:
        with open_grading(MATH, 2) as grading:
            use(grading)
    except (ValueError, KeyboardInterrupt):
        pass
    assert pids
    assert not any(alive(pid) for pid in pids)


def test_grading_same_answers_are_worked_out_once() -> None:
    pair = ("\\int_0^1 2x dx", "\\boxed{1}")
    with open_grading(MATH, 1) as grading:
        verdicts = list(grading.grade(items(*[pair] * 50)))
        repeated = list(grading.grade(items(pair)))
    assert len({verdict.reason for verdict in verdicts}) == 1
    assert repeated[0].elapsed_ms < verdicts[0].elapsed_ms


def test_grading_beside_other_work_gives_the_verdicts_of_grading_in_order() -> None:
    offered = list(items(("72", "#### 72"), HANGS, ("\\int_0^1 2x dx", "\\boxed{1}"), ("5", "#### 6")))
    with open_grading(MATH, 2) as grading:
        for item in offered:
            grading.offer(item)
        at_once = grading.take()
        assert {verdict.key for verdict in at_once} == {"0", "3"}  # nobody waits for a worker
        taken = {verdict.key: verdict for verdict in at_once}
        while grading.pending:
            taken |= {verdict.key: verdict for verdict in grading.take(0.1)}
        assert grading.take(0.1) == []
        inside = {verdict.key: verdict for verdict in grading.grade(offered)}
    assert taken.keys() == inside.keys()
    assert all(
        (taken[key].outcome, taken[key].answer) == (inside[key].outcome, inside[key].answer) for key in taken
    )


def test_grading_takes_a_known_verdict_for_the_same_item_only() -> None:
    first, other = items(("\\int_0^1 2x dx", "\\boxed{1}"), ("72", "#### 72"))
    with open_grading(MATH, 1) as grading:
        (known,) = grading.grade([first])
    with open_grading(MATH, 1, {item_key(first): known}) as grading:
        verdicts = list(grading.grade([other, first]))
        assert grading.processes == []
    assert [verdict.key for verdict in verdicts] == ["1", "0"]
    assert (verdicts[1].reason, verdicts[1].elapsed_ms) == (known.reason, known.elapsed_ms)
