"""What the demo's base knows before its first round, asked through the real engine."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from pipeline.config import load_config
from pipeline.config.tiny_base import ColumnAdditionBase
from pipeline.engines import open_engine
from pipeline.progress import LogProgress
from pipeline.records import Request, Sampling
from pipeline.tiny_base import FactProbe, ensure_tiny_base, known_facts, probe_facts, read_facts
from pipeline.tiny_base.facts import ALL_FACTS


def test_probe_counts_right_answers_of_taught_and_other_facts_apart():
    known = frozenset(ALL_FACTS[:40])

    def write(questions: Sequence[str]) -> list[str]:
        right = [
            f"a {top} +{bottom} =0 c0 Ans: a ={(top + bottom) % 10} c{(top + bottom) // 10}"
            for top, bottom in ALL_FACTS
        ]
        assert questions[0] == "a 0 +0"
        return [text if row < 45 else "a 1 +1 =x" for row, text in enumerate(right)]

    assert probe_facts(write, known) == FactProbe(known=40, known_right=40, unknown=60, unknown_right=5)


@pytest.mark.slow
def test_probe_of_the_demo_base_knows_the_taught_digit_sums_and_not_the_others(
    repository: Path, tmp_path_factory: pytest.TempPathFactory
):
    config = load_config(repository / "configs" / "addition.yaml").config
    tiny = config.model.tiny
    assert isinstance(tiny, ColumnAdditionBase)
    folder = ensure_tiny_base(tiny, tmp_path_factory.mktemp("bases"), LogProgress())

    def write(questions: Sequence[str]) -> list[str]:
        requests = [
            Request(str(row), config.prompts.question.format(question=question), seed=0)
            for row, question in enumerate(questions)
        ]
        engine = open_engine(config.engine, folder, model_hash="base", chat=False, progress=LogProgress())
        with closing(engine):
            sampling = Sampling(max_tokens=config.generate.max_tokens, temperature=0.0)
            done = [each for batch in engine.complete(engine.groups(requests), sampling) for each in batch]
        texts = {completion.request_id: completion.text.strip() for completion in done}
        return [texts[request.request_id] for request in requests]

    probe = probe_facts(write, known_facts(tiny))
    assert (probe.known, probe.unknown) == (40, 60)
    assert probe.known_right >= 0.95 * probe.known
    assert probe.unknown_right <= 0.20 * probe.unknown
    recorded = read_facts(folder)
    assert recorded == (known_facts(tiny), probe)
