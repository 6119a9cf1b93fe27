"""Distinct pairs without a plain number on either side, half of them wrong."""

from __future__ import annotations

_EACH = 40
_RIGHT_AND_WRONG = (
    ("\\frac{\\sqrt{K}}{K}", "\\frac{1}{\\sqrt{K}}", "\\frac{1}{\\sqrt{L}}"),
    ("(x+K)(x-K)", "x^2-{KK}", "x^2-{LL}"),
    ("K\\sqrt{3}+\\sqrt{2}", "\\sqrt{2}+K\\sqrt{3}", "\\sqrt{3}+K\\sqrt{2}"),
    ("(K, L)", "\\left(K,\\ L\\right)", "(L, K)"),
    ("[K, \\infty)", "x \\ge K", "x > K"),
    ("\\{K, L\\}", "\\{L, K\\}", "(K, L)"),
    ("\\frac{K\\pi}{L}", "K\\pi/L", "L\\pi/K"),
    ("x = K \\text{ or } x = -L", "-L, K", "L, -K"),
    ("\\begin{pmatrix} K & 1 \\\\ 0 & L \\end{pmatrix}", "\\begin{bmatrix}K&1\\\\0&L\\end{bmatrix}",
     "\\begin{pmatrix}L&1\\\\0&K\\end{pmatrix}"),
    ("y = Kx + L", "y = L + Kx", "y = Lx + K"),
    ("K + Li", "Li + K", "K - Li"),
    ("e^{K}\\ln(x)", "\\ln(x)e^K", "e^{L}\\ln(x)"),
)  # fmt: skip


def stress_pairs() -> list[tuple[str, str]]:
    """(gold, response) pairs; the response ends with a boxed answer."""
    pairs: list[tuple[str, str]] = []
    for number in range(2, 2 + _EACH):
        for gold, right, wrong in _RIGHT_AND_WRONG:
            answer = right if (number + len(pairs)) % 2 else wrong
            pairs.append(
                (_filled(gold, number), f"Thus the answer is $\\boxed{{{_filled(answer, number)}}}$.")
            )
    return list(dict.fromkeys(pairs))


def _filled(text: str, number: int) -> str:
    other = number + 5
    text = text.replace("{KK}", str(number**2)).replace("{LL}", str(other**2))
    return text.replace("K", str(number)).replace("L", str(other))
