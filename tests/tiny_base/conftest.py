"""Small configs of both kinds, their bases made once, and a progress that remembers what it was told."""

from pathlib import Path

import pytest

from pipeline.config.tiny_base import ColumnAdditionBase, TextBase
from pipeline.progress import LogProgress
from pipeline.tiny_base import ensure_tiny_base


class RecordingProgress(LogProgress):
    """Keeps notes instead of printing them, and counts the tasks begun."""

    def __init__(self) -> None:
        super().__init__(every_s=3600)
        self.notes: list[str] = []
        self.tasks: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def task(self, title, total, unit=""):  # type: ignore[no-untyped-def]
        self.tasks.append(title)
        return super().task(title, total, unit)


SMALL = {"width": 16, "layers": 1, "heads": 2, "ffn": 16, "batch_size": 8}


def small_columns(**changes: object) -> ColumnAdditionBase:
    """A column-addition base that takes a moment and knows nothing."""
    return ColumnAdditionBase.model_validate(
        {**SMALL, "steps": 4, "context": 64, "max_columns": 3, **changes}
    )


def small_text(**changes: object) -> TextBase:
    """A text base that takes a moment and knows nothing."""
    return TextBase.model_validate({**SMALL, "steps": 3, "context": 256, "vocabulary": 320, **changes})


@pytest.fixture
def progress() -> RecordingProgress:
    return RecordingProgress()


@pytest.fixture(scope="session")
def columns_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ensure_tiny_base(small_columns(), tmp_path_factory.mktemp("bases"), RecordingProgress())


@pytest.fixture(scope="session", params=[True, False], ids=["pad_is_eos", "pad_apart"])
def text_base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = small_text(pad_is_eos=request.param)
    return ensure_tiny_base(config, tmp_path_factory.mktemp("bases"), RecordingProgress())
