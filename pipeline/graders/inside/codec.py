"""Plain data as tagged JSON, so that tuples, sets, bytes and infinite floats survive the way through
a pipe.
"""

import types
from typing import Any

LONGEST_ITERATOR = 100_000


def encode(value: Any, depth: int = 0) -> Any:
    """A value as tagged JSON. Raises TypeError for what is not plain data."""
    if depth > 50:
        raise TypeError("nested too deeply")
    if value is None or value is True or value is False or type(value) is str:
        return value
    if type(value) is int:
        return ["int", hex(value)]
    if type(value) is float:
        return ["float", repr(value)]
    if type(value) is complex:
        return ["complex", repr(value.real), repr(value.imag)]
    if type(value) in (bytes, bytearray):
        return ["bytes", value.hex()]
    if isinstance(value, dict):
        pairs = [[encode(key, depth + 1), encode(item, depth + 1)] for key, item in value.items()]
        return ["dict", pairs]
    for kind in (list, tuple, set, frozenset):
        if isinstance(value, kind):
            return [kind.__name__, [encode(item, depth + 1) for item in value]]
    if isinstance(value, (types.GeneratorType, range, map, filter, zip)) or hasattr(value, "__next__"):
        items = []
        for item in value:
            items.append(encode(item, depth + 1))
            if len(items) > LONGEST_ITERATOR:
                raise TypeError("endless iterator")
        return ["list", items]
    if isinstance(value, (int, float, str)):  # numpy scalars and subclasses
        return encode({bool: bool, int: int, float: float, str: str}[_base(value)](value), depth + 1)
    raise TypeError(type(value).__name__)


def _base(value: Any) -> type:
    return next(kind for kind in (bool, int, float, str) if isinstance(value, kind))


def decode(data: Any) -> Any:
    """The value of tagged JSON."""
    if not isinstance(data, list):
        return data
    tag, rest = data[0], data[1:]
    if tag == "int":
        return int(rest[0], 16)
    if tag == "float":
        return float(rest[0])
    if tag == "complex":
        return complex(float(rest[0]), float(rest[1]))
    if tag == "bytes":
        return bytes.fromhex(rest[0])
    if tag == "dict":
        return {decode(key): decode(item) for key, item in rest[0]}
    kinds = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}
    return kinds[tag](decode(item) for item in rest[0])
