"""Over a hundred (gold, answer) pairs that are meant to hang, flood or crash a grader of mathematics."""


def pairs() -> list[tuple[str, str]]:
    """Huge powers, nested factorials, deep fractions, giant sets, long outputs, broken LaTeX, hostile text."""
    found: list[tuple[str, str]] = []
    found += [
        (f"{base}^{{{top}}}", f"{base}^{{{top}+1}}")
        for base, top in (("9", "9^{9^9}"), ("2", "10^{10}"), ("7", "7^{7^7}"))
    ]
    found += [
        ("(10^8)!", "((10^8)!)!"),
        ("100000!", "100000! + 1"),
        ("(((5!)!)!)!", "(((5!)!)!)"),
        ("\\binom{10^9}{10^8}", "1"),
    ]
    found += [
        ("10^{10^{10}}", "10^{10^{10}}-1"),
        ("1.0000001^{10^{12}}", "e"),
        ("2^{-10^{12}}", "0"),
        ("0^{0^0}", "1"),
    ]
    found += [("\\sqrt{" * depth + "2" + "}" * depth, "1") for depth in (20, 59, 200, 2_000)]
    found += [("\\frac{1}{1+" * depth + "x" + "}" * depth, "x") for depth in (20, 59, 200, 2_000)]
    found += [("(" * depth + "1" + ")" * depth, "1") for depth in (50, 500, 5_000)]
    found += [("{" * depth + "1" + "}" * depth, "2") for depth in (50, 500, 5_000)]
    sets = [", ".join(map(str, range(size))) for size in (100, 5_000, 15_000)]
    found += [(f"\\{{{numbers}\\}}", f"\\{{{numbers[::-1]}\\}}") for numbers in sets]
    found += [(f"\\{{{numbers}\\}}", f"\\{{{numbers}, x\\}}") for numbers in sets]
    found += [
        (", ".join(f"x^{n}" for n in range(size)), ", ".join(f"y^{n}" for n in range(size)))
        for size in (30, 60, 300)
    ]
    found += [("1" * size, "1" * (size - 1) + "2") for size in (399, 4_000, 100_000)]
    found += [("1." + "3" * size, "4/3") for size in (300, 5_000)]
    found += [
        ("5", text * (100_000 // len(text)))
        for text in ("\\boxed{", "$", "x+", "a ", "\\frac", "9", "\\text{a}", "\\\\", "  ")
    ]
    found += [
        ("(x+1)^{500}", "(1+x)^{500}+1"),
        ("(x+y+z)^{300}", "(z+y+x)^{300}"),
        ("(a+b)^{60}(a-b)^{60}", "(a^2-b^2)^{60}"),
    ]
    found += [
        ("\\sin(\\cos(\\tan(" * 15 + "x" + ")))" * 15, "x"),
        ("e^{e^{e^{e^{e}}}}", "e^{e^{e^{e^{e}}}}+1"),
        ("\\ln(\\ln(\\ln(2)))", "i"),
    ]
    found += [
        ("\\int_0^1 x^{x^{x}} dx", "\\frac{1}{2}"),
        ("\\int \\frac{1}{x^5+x+1} dx", "\\ln x"),
        ("\\sum_{k=1}^{10^9} \\frac{1}{k^2}", "\\frac{\\pi^2}{6}"),
    ]
    found += [
        ("\\sum_{n=1}^{\\infty} \\frac{n!}{n^n}", "1"),
        ("\\prod_{k=1}^{10^7} k", "1"),
        ("\\lim_{x\\to 0} \\frac{\\sin x}{x}", "1.0001"),
    ]
    found += [
        ("\\int_{0}^{\\infty} e^{-x^2} \\cos(x^3) dx", "\\frac{\\sqrt{\\pi}}{2}"),
        ("x^5-x-1=0", "x = 1.1673"),
        ("x^{100}+x+1=0", "x=1"),
    ]
    found += [
        (
            "\\begin{pmatrix}" + " \\\\ ".join(["1 & 2 & 3"] * 400) + "\\end{pmatrix}",
            "\\begin{pmatrix}1\\end{pmatrix}",
        )
    ]
    found += [("\\det\\begin{pmatrix}" + " \\\\ ".join([" & ".join("abcdefgh")] * 8) + "\\end{pmatrix}", "0")]
    found += [
        ("5", "__import__('os').system('sleep 100')"),
        ("5", "exec('while True: pass')"),
        ("5", "().__class__.__mro__"),
    ]
    found += [
        ("5", "\x00\x01\x02"),
        ("5", "\ud800"),
        ("5", "𝟝"),
        ("5", "٥"),
        ("\\", "\\\\"),
        ("$", "$$"),
        ("}", "{"),
        ("\\frac{1}", "\\frac"),
    ]
    found += [
        ("1=" * 3_000 + "1", "1"),
        ("<" * 3_000, ">"),
        ("1:" * 3_000, "1"),
        ("\\pm" * 500 + "1", "1"),
        ("a_" * 3_000, "a"),
    ]
    found += [
        ("x \\in " * 500 + "1", "1"),
        ("\\cup" * 3_000, "1"),
        ("|" * 3_001, "1"),
        ("'" * 5_000, "1"),
        ("!" * 3_000, "1"),
    ]
    found += [
        ("5", "\\boxed{5}" * 20_000),
        ("5", "The answer is " * 8_000),
        ("5", "#### 5\n" * 20_000),
        ("5", "<think>" * 20_000),
        ("1/3", "0." + "3" * 90_000),
        ("0." + "12" * 90 + "\\overline{" + "3" * 99 + "}", "1"),
        ("9" * 90_000 + "/7", "1"),
        ("10^{999999999}", "1e999999999"),
        ("\\sqrt[99999999]{2}", "1"),
        ("\\log_{1.0000000001}(10^{1000000})", "1"),
        ("\\tan(10^{1000000})", "0"),
        ("\\sin(10^{10^{10}})", "0"),
        ("123456789^{123456789}", "1"),
        ("\\binom{1000000}{500000}", "\\binom{1000000}{500000}+1"),
        ("2^{1000000}", "2^{1000001}/2 + 1"),
        ("(a+b+c+d+e+f)^{50}", "(f+e+d+c+b+a)^{50}+1"),
        (
            ", ".join(f"\\sqrt{{{n}}}" for n in range(2, 900)),
            ", ".join(f"\\sqrt{{{n}}}" for n in range(901, 3, -1)),
        ),
        ("ZZZZ" * 5_000 + "_{36}", "1"),
        ("1 2/3 " * 5_000, "1"),
        ("5", "5" + "^2" * 3_000),
        ("10^{9}!!", "1"),
        ("\\sum_{i=1}^{10^8}\\sum_{j=1}^{10^8} ij", "1"),
        ("\\frac{d^{1000}}{dx^{1000}} e^{x^2}", "1"),
        ("\\lfloor 10^{100000}/3 \\rfloor", "1"),
    ]
    return found


REALLY_EQUAL = {
    ("(x+y+z)^{300}", "(z+y+x)^{300}"),
    ("(a+b)^{60}(a-b)^{60}", "(a^2-b^2)^{60}"),
    ("1." + "3" * 300, "4/3"),
    ("\\det\\begin{pmatrix}" + " \\\\ ".join([" & ".join("abcdefgh")] * 8) + "\\end{pmatrix}", "0"),
    ("5", "𝟝"),
    ("5", "٥"),
    ("0^{0^0}", "1"),
}
"""Those of the pairs that a grader may accept."""
