"""Child processes that never outlive us: stages, training, workers and servers run in them."""

from pipeline.process.background import Background
from pipeline.process.child import ChildTimeoutError, LastLines, run_child
from pipeline.process.collector import spare_imports
from pipeline.process.memory import MemoryWatch

__all__ = ["Background", "ChildTimeoutError", "LastLines", "MemoryWatch", "run_child", "spare_imports"]
