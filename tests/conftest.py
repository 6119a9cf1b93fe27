"""What every test shares: no network, no telemetry, and at the end the table of the slowest files."""

import os
import signal
import threading
from collections import defaultdict
from pathlib import Path

import pytest

from tests.experiments import make_once

# Before any test imports transformers, vllm or Airflow: they read these when they are imported.
OFFLINE_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_DO_NOT_TRACK": "1",
    "SCARF_ANALYTICS": "false",
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
for name, value in OFFLINE_ENVIRONMENT.items():
    os.environ.setdefault(name, value)

# A shell that starts the tests in the background has them ignore SIGINT, and every process they start as well.
if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    and threading.current_thread() is threading.main_thread()
):
    signal.signal(signal.SIGINT, signal.default_int_handler)

SLOWEST_FILES_SHOWN = 12


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data(repository: Path) -> Path:
    """The optional folder of public problem sets beside the checkout; absent, the test is skipped."""
    folder = repository.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no problem sets at {folder}")
    return folder


@pytest.fixture(scope="session")
def shared_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of this test run share."""
    base = tmp_path_factory.getbasetemp()
    root = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    (root / "shared").mkdir(exist_ok=True)
    return root / "shared"


@pytest.fixture(scope="session")
def selected(shared_root: Path) -> Path:
    """Folder with `home` and `project`: the experiment of tests/experiments.py up to its first selection."""
    return make_once(shared_root, "selected", 1, "--until", "select")


@pytest.fixture(scope="session")
def finished(shared_root: Path) -> Path:
    """Folder with `home` and `project`: the experiment of tests/experiments.py after its two rounds."""
    return make_once(shared_root, "finished", 2)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that no core waits for one at the end; CUDA tests need CUDA."""
    slow_files = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow_files)
    on_gpu = [item for item in items if item.get_closest_marker("gpu")]
    if not on_gpu:
        return
    import torch  # seconds: only where such a test was collected

    if not torch.cuda.is_available():
        for item in on_gpu:
            item.add_marker(pytest.mark.skip(reason="no CUDA device on this machine"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the seconds per test file (set-up, call and tear-down), slowest first."""
    seconds: defaultdict[str, float] = defaultdict(float)
    tests: defaultdict[str, int] = defaultdict(int)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                file = report.nodeid.split("::", 1)[0]
                seconds[file] += report.duration
                tests[file] += report.when == "call"
    if not seconds:
        return
    slowest = sorted(seconds, key=lambda file: -seconds[file])[:SLOWEST_FILES_SHOWN]
    terminalreporter.section(f"slowest {len(slowest)} of {len(seconds)} files")
    for file in slowest:
        terminalreporter.write_line(f"{seconds[file]:8.1f} s  {tests[file]:4d} tests  {file}")
