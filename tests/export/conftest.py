"""An experiment whose problems differ in how many texts of theirs are kept and wrong."""

from pathlib import Path

import pytest

from pipeline.store import Store
from tests.stages.conftest import Lab, right, text_base  # noqa: F401

MANY = "many"


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory, text_base: Path) -> Store:  # noqa: F811
    """Kept and wrong texts that read differently: p0 3 and 2, p1 1 and 4, p2 4 and none, p3 none and 1 (the other
    wrong ones read alike), p4 1 (rationalized) and 2. Of p5 all is cut off; p6 is graded, but not drawn."""
    made = Lab(tmp_path_factory.mktemp("many"), text_base, train=7, dev=1)
    words = ("One", "Two", "Three", "Four", "Five")
    made.says("p0", [right(0, word) for word in words[:3]] + [right(7, word) for word in words[:2]])
    made.says("p1", [right(2, "One")] + [right(7, word) for word in words[:4]])
    made.says("p2", [right(4, word) for word in words])
    made.says("p3", [right(7)] * 5)
    made.says("p3", [right(8)], origin="rationalized")
    made.says("p4", [right(7, word) for word in ("One", "One", "One", "Two", "Two")])
    made.says("p4", [right(8, "Backwards")], origin="rationalized")
    made.says("p5", ["It goes on and on"], finish="length")
    made.says("p6", [right(12)])
    made.run("generate.samples=5", "select.per_problem=4", name=MANY, until="select")
    with made.store.transaction() as connection:
        connection.execute("UPDATE rationales SET superseded = true WHERE problem_id = 'p6'")
        connection.execute("UPDATE training_rows SET superseded = true WHERE problem_id = 'p6'")
    return made.store
