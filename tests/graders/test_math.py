"""`math`: pairs that are equal and pairs that are not; the mistakes math-verify is known for among them."""

import pytest

from pipeline.config.graders import MathGrader
from pipeline.graders import Grading, build_grader, open_grading, parse_config
from pipeline.graders.protocol import Job
from pipeline.records import GradeItem, Outcome, Verdict

EQUAL = [
    ("1/2", "0.5"),
    (r"\frac{1}{2}", ".5"),
    ("918.5", r"918\frac{1}{2}"),
    ("x^2+2x+1", "x^2 + 2*x + 1"),
    (r"\sqrt{67},-\sqrt{85}", r"-\sqrt{85},\sqrt{67}"),
    (r"\left(\frac{2}{3},\frac{1}{3}\right)", "(2/3, 1/3)"),
    ("987{,}436", "987,436"),
    (r"\$5.23", "5.23"),
    (r"\$5.23", r"\$5.23"),
    (r"10\%", "10%"),
    (r"10\%", "10 percent"),
    (r"(-\infty,2)\cup(3,\infty)", r"(-\infty, 2) \cup (3, \infty)"),
    (r"(-\infty,2)\cup(3,\infty)", "x<2 or x>3"),
    (r"(5,\infty)", "x>5"),
    (r"[5,\infty)", r"5 \le x"),
    ("[-2,7]", r"-2\leq x\leq 7"),
    (r"2\sqrt{2}", r"\sqrt{8}"),
    (r"\frac{\sqrt{2}}{2}", r"\frac{1}{\sqrt{2}}"),
    (r"\frac{1}{3}", "0.3333333"),
    ("8/3", "2.6667"),
    (r"\pi", "3.14159265"),
    ("1,234,567", "1234567"),
    ("1234567", "1{,}234{,}567"),
    (r"12 \text{ cm}", "12"),
    ("12", "12 cm"),
    (r"12 \text{ cm}", r"12\,\mathrm{cm}"),
    ("12 cm", "12 centimeters"),
    (r"12\text{ cm}^2", r"12 \text{ square cm}"),
    ("12 cm^2", r"12 \text{ cm}^2"),
    ("5 km", "5000 m"),
    ("2 hours", "120 minutes"),
    (r"3 \times 10^5", "300000"),
    (r"3\times10^{-2}", "0.03"),
    ("5.1e-2", "0.051"),
    ("2^{10}", "1024"),
    (r"90^\circ", r"\frac{\pi}{2}"),
    (r"90^{\circ}", "90"),
    ("90", r"90^\circ"),
    (r"90^\circ", "90 degrees"),
    (r"\sin 30^\circ", "1/2"),
    (r"\cos(\pi/3)", "0.5"),
    (r"\text{Tuesday}", "Tuesday"),
    (r"\text{odd}", "odd"),
    (r"\text{(A)}", "A"),
    ("A", "(A)"),
    (r"\text{A}", "A"),
    (r"\text{no solution}", "No solution"),
    (r"\text{yes}", "Yes."),
    ("Evelyn", r"\text{Evelyn}"),
    ("101_2", "101_2"),
    ("101_2", "101_{2}"),
    ("40_9", "40_{9}"),
    (r"1 \pm \sqrt{19}", r"1+\sqrt{19}, 1-\sqrt{19}"),
    (r"\pm 5", "5, -5"),
    (r"\{1,2,3\}", r"\{3, 2, 1\}"),
    ("1,2,3", "3, 1 and 2"),
    ("1,2", r"\{1,2\}"),
    ("x=1,2", "1,2"),
    ("x=1, x=2", "1, 2"),
    (r"x = 1 \text{ or } x = 2", "1,2"),
    (r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", r"\begin{bmatrix}1&2\\3&4\end{bmatrix}"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
    ("y=2x+1", "y = 1 + 2x"),
    ("x-2y+z-1=0", "-x+2y-z+1=0"),
    ("x^2+y^2=4", "y^2+x^2-4=0"),
    ("2x+3", "3+2x"),
    ("6r^2-4r-24", "6r^2 - 4r - 24"),
    ("(x+1)(x-1)", "x^2-1"),
    ("(3x-1)(x+2)", "(x+2)(3x-1)"),
    (r"\frac{x+2}{7}", "(x+2)/7"),
    (r"\log_2 8", "3"),
    (r"\ln e^2", "2"),
    ("5!", "120"),
    (r"\binom{5}{2}", "10"),
    ("|{-5}|", "5"),
    (r"e^{i\pi}", "-1"),
    ("3+4i", "4i+3"),
    (r"\frac{3}{4}i", r"\frac34i"),
    ("2i", "2 i"),
    (r"\sqrt{-1}", "i"),
    ("f(x)=x^2", "x^2"),
    ("x^2", "f(x) = x^2"),
    (r"\frac{-1}{2}", r"-\frac{1}{2}"),
    (r"-\frac12", "-0.5"),
    (r"\frac{1}{-2}", "-1/2"),
    ("-1/2", r"\frac{-1}{2}"),
    ("0.5", ".50"),
    ("2,4", "2 and 4"),
    (r"2 \text{ and } 4", "2, 4"),
    (r"11,\! 111", "11111"),
    (r"10\,000", "10000"),
    ("1{,}000", "1000"),
    (r"\frac{\pi}{4}", r"\pi/4"),
    (r"4\pi", r"4 \cdot \pi"),
    (r"16\pi", "16π"),
    ("√2", r"\sqrt{2}"),
    ("2√3", r"2\sqrt{3}"),
    ("x≥5", r"x \geq 5"),
    (r"x \ge 5", r"[5,\infty)"),
    (r"\text{June 20}", "June 20"),
    ("2:3", "2:3"),
    ("3", "3.0"),
    ("3.", "3"),
    ("03", "3"),
    ("+3", "3"),
    ("3", r"\boxed{3}"),
    ("(3,4)", r"\left( 3, 4 \right)"),
    ("(x,y)=(3,4)", "(3,4)"),
    ("(3,4)", "(x,y) = (3,4)"),
    ("k=45, n=2", "n = 2, k = 45"),
    ("k=45, n=2", r"k=45 \text{ and } n=2"),
    ("5", "x=2+3=5"),
    (r"\frac{1}{2}", r"P = \frac{2}{4} = \frac{1}{2}"),
    ("72", "72 eggs"),
    ("72", r"\$72"),
    ("72", "72 dollars"),
    ("72", "€72"),
    (r"3 \frac{1}{2}", "3.5"),
    ("3 1/2", "7/2"),
    ("x_1=2", "2"),
    (r"\frac{2}{3}\pi r^3", r"\frac{2\pi r^3}{3}"),
    ("2^{2005}", r"2\cdot 2^{2004}"),
    (r"\sqrt[3]{2}", "2^{1/3}"),
    (r"\frac{1}{x}+\frac{1}{y}", r"\frac{x+y}{xy}"),
    (r"\cos^2 x", r"1-\sin^2 x"),
    (r"\lfloor 3.7 \rfloor", "3"),
    ("12 + 5", "17"),
    ("E=mc^2", "mc^2"),
    ("185\\", "185"),
    (r"\infty", "infinity"),
    ("-2,1", "(-2,1)"),
    (r"\frac{n(n+1)}{2}", "n(n+1)/2"),
    ("1,-2", "-2 and 1"),
    (r"27^{\circ}", r"27\degree"),
    (r"\text{8:30 a.m.}", "8:30 a.m."),
    ("x^3-1", "(x-1)(x^2+x+1)"),
    ("3,5,7", "3, 5, 7"),
    ("n=1, 2, 3", "n=1,2,3"),
    (r"\frac{9}{4} \pi", r"\frac94\pi"),
    ("(7,11) or (11,7)", "(7,11), (11,7)"),
    (r"0.06 \text{ yuan}", "0.06 yuan"),
    ("1.5 × 10^3", "1500"),
    (r"\dfrac{3}{4}", "3/4"),
    (r"\textbf{7}", "7"),
    (r"\mathbf{7}", "7"),
    ("7.", "7"),
    ("$7$", "7"),
    (r"\(7\)", "7"),
    ("**7**", "7"),
    ("sqrt(3)/2", r"\frac{\sqrt{3}}{2}"),
    ("x**2", "x^2"),
    ("exp(2)", "e^2"),
    ("ln(2)", r"\ln 2"),
    ("arctan(1)", r"\frac{\pi}{4}"),
    (r"\arcsin 1", r"\frac{\pi}{2}"),
    ("oo", r"\infty"),
]

DIFFERENT = [
    (r"\frac{1}{2^{99}}", r"\frac{1}{2^{98}}"),
    ("(1,2)", r"\{1,2\}"),
    ("10", r"1000\%"),
    ("5 km", "5 m"),
    (r"5\text{ km}", r"5\text{ m}"),
    ("5", "x=3=5"),
    ("101", "101_2"),
    ("72 or 73", "72"),
    ("72", "72 or 73"),
    ("x+1", "1"),
    (r"1\sqrt{19}", "1"),
    ("x+2n+1", "x+1"),
    (r"\text{oddd}", "odd"),
    ("E*2", "E"),
    (r"\sqrt{67},-\sqrt{85}", r"\sqrt{67}"),
    (r"\sqrt{67}", r"\sqrt{67},-\sqrt{85}"),
    ("34", "3 4"),
    ("1234", "1, 234"),
    ("21/2", "2 1/2"),
    ("(1,2)", "(2,1)"),
    ("[1,2]", "(1,2)"),
    ("[1,2)", "(1,2]"),
    ("x>5", "x<5"),
    (r"x \ge 5", "x>5"),
    ("x>5", "y>5"),
    ("f(2)", "f(3)"),
    ("3.14", r"\pi"),
    (r"\frac{1}{3}", "0.33"),
    ("0.33", "1/3"),
    ("1/3", "0.34"),
    ("100", "1000"),
    ("1,2,3", "1,2"),
    ("1,2", "1,2,2"),
    (r"\text{Tuesday}", "Thursday"),
    ("A", "B"),
    ("(A)", "(B)"),
    (r"\pi", "3"),
    ("x", "y"),
    ("2x", "x"),
    ("x^2", "2x"),
    ("1+i", "1-i"),
    (r"\sqrt{2}", r"-\sqrt{2}"),
    (r"\pm 5", "5"),
    ("5", r"\pm 5"),
    ("101_2", "101_3"),
    ("101_2", "5_10"),
    ("5", "-5"),
    ("0", "e^{-100}"),
    (r"e^{\pi\sqrt{163}}", "262537412640768744"),
    (r"\begin{pmatrix}1&2\end{pmatrix}", r"\begin{pmatrix}1\\2\end{pmatrix}"),
    (r"\infty", r"-\infty"),
    ("x=5", "y=5"),
    ("x=5", "x=6"),
    ("2:3", "3:2"),
    ("8:30 a.m.", "8:30 p.m."),
    ("3 hours", "3 minutes"),
    ("12 cm^2", "12 cm"),
    (r"5\%", "0.5"),
    ("10^{10}", "10^{11}"),
    ("72", "27"),
    ("72", "72.5"),
    ("72", "720"),
    ("72", "7.2"),
    ("72", r"\frac{72}{1000}"),
    ("ab", "ba+1"),
    (r"\sin x", r"\cos x"),
    (r"\log 2", r"\log 3"),
    ("1 and 2", "1 and 3"),
    ("12", "1,2"),
    ("1,2", "12"),
    ("1.2", "12"),
    ("x<2 or x>3", "2<x<3"),
    ("x^2+y^2=4", "x^2+y^2=5"),
    ("y=2x+1", "y=2x-1"),
    ("no", "yes"),
    ("5 apples", "6 apples"),
    ("5 apples", "5 oranges"),
    ("3!", "3"),
    ("1000", "1,00,0"),
    (r"\frac{12}{3}", r"\frac1{23}"),
    ("2^3", "23"),
    ("x_1", "x_2"),
    (r"30^\circ", "30'"),
]

ONLY_SYMBOLIC = [
    (r"\tan^{-1} 1", r"\frac{\pi}{4}"),
    (r"\sum_{k=1}^{3} k", "6"),
    (r"\int_0^1 x\,dx", r"\frac{1}{2}"),
]


def boxed(gold: str, answer: str, key: str = "") -> GradeItem:
    return GradeItem(
        key=key, answer=gold, response=answer if "boxed" in answer else f"So it is $\\boxed{{{answer}}}$."
    )


def outcome(gold: str, answer: str, **options: object) -> tuple[Outcome, str]:
    with open_grading(parse_config({"type": "math", **options}), 1) as grading:
        [verdict] = grading.grade([boxed(gold, answer)])
    return verdict.outcome, verdict.reason


@pytest.fixture(scope="module")
def grading() -> Grading:
    with open_grading(MathGrader(), 1) as session:
        yield session  # type: ignore[misc]


REPEATING_AND_REST_EQUAL = [
    (r"0.\overline{3}", "1/3"), ("1/6", r"0.1\overline{6}"), (r"0.\overline{142857}", r"\frac17"), ("1/3", "0.333..."),
    (r"2.\overline{9}", "3"), ("4/11", r"0.\bar{36}"), (r"\frac{\pi}{2}", r"90^\circ"), (r"360^\circ", r"2\pi"),
    (r"\$1.50", "150 cents"), ("5 cents", r"\$0.05"), (r"\$5", "5 dollars"), ("5", "€5"), (r"-\$5", "-5 dollars"),
    (r"\$18", r"\$18 per hour"), ("1 ft", "12 inches"), ("3/4", "3/4 cup"), ("1.0x10^3", "1000"),
    (r"(-\infty,\infty)", r"\mathbb{R}"), (r"x \in \mathbb{R}", r"(-\infty,\infty)"), (r"\varnothing", r"\{\}"),
    (r"\textbf{(B) }5", "5"), ("2", r"\{2\}"),
]  # fmt: skip
"""Found by trying: each was refused once."""

FALSE_ACCEPTS_FOUND = [
    (r"\$5", "5 cents"), ("5 cents", r"\$5"), (r"\$2", r"2\text{ cents}"), (r"\$5", "5 euros"), ("€5", r"\$5"),
    ("£5", r"\$5"), (r"\{1,\{2\}\}", r"\{1,2\}"), (r"(1,\{2\})", "(1,2)"), (r"0.\overline{36}", r"0.\overline{63}"),
    (r"0.\overline{3}", "0.333"), ("0.333", "0.333..."), (r"\mathbb{R}", r"\mathbb{Q}"), (r"\{\emptyset\}", r"\emptyset"),
    (r"\emptyset", "0"), ("180", r"\pi"), (r"\textbf{(B) }5", r"\textbf{(B) }6"),
]  # fmt: skip
"""Found by trying: each was accepted once, or is the nearest wrong answer to one above."""


@pytest.mark.parametrize(("gold", "answer"), REPEATING_AND_REST_EQUAL)
def test_math_equal_spellings_found_by_trying_are_correct(gold: str, answer: str) -> None:
    assert outcome(gold, answer)[0] is Outcome.CORRECT


@pytest.mark.parametrize(("gold", "answer"), FALSE_ACCEPTS_FOUND)
def test_math_different_answers_found_by_trying_are_wrong(gold: str, answer: str) -> None:
    assert outcome(gold, answer)[0] is Outcome.WRONG


@pytest.mark.parametrize(("gold", "answer"), EQUAL)
def test_math_equal_answers_are_decided_correct_at_once(gold: str, answer: str) -> None:
    verdict = build_grader(MathGrader()).inline(boxed(gold, answer))
    assert isinstance(verdict, Verdict)
    assert verdict.outcome is Outcome.CORRECT


@pytest.mark.parametrize(("gold", "answer"), DIFFERENT)
def test_math_different_answers_are_never_correct(grading: Grading, gold: str, answer: str) -> None:
    [verdict] = grading.grade([boxed(gold, answer)])
    assert verdict.outcome is Outcome.WRONG


@pytest.mark.parametrize(("gold", "answer"), ONLY_SYMBOLIC)
def test_math_calculus_is_decided_by_math_verify(grading: Grading, gold: str, answer: str) -> None:
    [verdict] = grading.grade([boxed(gold, answer)])
    assert (verdict.outcome, verdict.reason) == (Outcome.CORRECT, "symbolic")


@pytest.mark.parametrize(
    ("gold", "answer", "options", "expected"),
    [
        ("1, 2", "2, 1", {"ordered": True}, Outcome.WRONG),
        ("1, 2", "2, 1", {"ordered": False}, Outcome.CORRECT),
        ("5 km", "5 m", {"units": "ignore"}, Outcome.CORRECT),
        ("5 km", "5", {"units": "strict"}, Outcome.WRONG),
        ("5 km", "5", {"units": "match"}, Outcome.CORRECT),
        ("28", "28%", {"percent": "strict"}, Outcome.WRONG),
        ("0.28", "28%", {"percent": "value"}, Outcome.CORRECT),
        ("28", "28%", {"percent": "value"}, Outcome.WRONG),
        ("28", "28%", {"percent": "either"}, Outcome.CORRECT),
        ("0.28", "28%", {"percent": "either"}, Outcome.CORRECT),
        ("0.28", "28%", {"percent": "ignore"}, Outcome.WRONG),
        ("100", "101", {"tolerance": 0.01}, Outcome.CORRECT),
        ("100", "102", {"tolerance": 0.01}, Outcome.WRONG),
        (r"\frac{8}{3}", "2.6667", {"decimals": "exact"}, Outcome.WRONG),
    ],
)
def test_math_policies_change_the_verdict(
    gold: str, answer: str, options: dict[str, object], expected: Outcome
) -> None:
    assert outcome(gold, answer, **options)[0] is expected


def test_math_whole_solution_as_gold_is_read_like_a_response() -> None:
    item = GradeItem(key="", answer="26+15=<<26+15=41>>41 pens\n#### 41", response="<<26+15=41>>41\n#### 41")
    verdict = build_grader(MathGrader()).inline(item)
    assert isinstance(verdict, Verdict)
    assert verdict.outcome is Outcome.CORRECT


def test_math_empty_gold_is_ungraded() -> None:
    assert outcome("", "5") == (Outcome.UNGRADED, "unparseable_gold")


def test_math_gold_without_a_value_is_ungraded() -> None:
    assert outcome("1/0", "5")[0] is Outcome.UNGRADED


@pytest.mark.parametrize("huge", [r"\tan(10^{1000000})", r"\sin(2^{100000})", r"f(10^{1000000})"])
def test_math_huge_argument_is_left_to_a_worker_that_can_be_killed(huge: str) -> None:
    grader = build_grader(parse_config({"type": "math", "extract": ["whole"]}))
    assert isinstance(grader.inline(GradeItem("x", "0", huge)), Job)
