"""Child processes that never outlive us: stages, training, workers and servers run in them."""

from pipeline.process.background import Background
from pipeline.process.child import ChildTimeoutError, LastLines, run_child
from pipeline.process.collector import spare_imports
from pipeline.process.memory import MemoryWatch
from pipeline.process.side_by_side import run_side_by_side

__all__ = [
    "Background",
    "ChildTimeoutError",
    "LastLines",
    "MemoryWatch",
    "run_child",
    "run_side_by_side",
    "spare_imports",
]
