"""Take a run apart into its fields, and say which of them two runs have in common."""

from collections.abc import Iterator
from typing import Any

import msgspec

from hushtag.messages import decode_binary
from tests.promises.p1_ceremony import Trace
from tests.promises.p1_fields import CEREMONY, NESTED, STATES, Kind, Part


def structs(message: msgspec.Struct) -> Iterator[msgspec.Struct]:
    """A message and the messages in it."""
    yield message
    for name in NESTED.get(type(message).__name__, ()):
        value = getattr(message, name)
        for member in value if isinstance(value, list) else [] if value is None else [value]:
            yield from structs(member)


def parts(path: str, value: Any, kind: Kind | list[Part]) -> Iterator[tuple[str, Kind, bytes]]:
    """A field, or the parts of one, with their kinds."""
    single = value[0] if isinstance(value, list) else value
    if isinstance(kind, str):
        yield path, kind, msgspec.json.encode(value) if kind == "free" else decode_binary(single)
        return
    whole = decode_binary(single, sum(length for _, length, _ in kind))
    for name, length, part_kind in kind:
        yield f"{path}.{name}", part_kind, whole[:length]
        whole = whole[length:]


def fields(trace: Trace) -> dict[str, tuple[Kind, bytes]]:
    """Every field of a run by its path."""
    found: dict[str, tuple[Kind, bytes]] = {name: (STATES[name], value) for name, value in trace.states.items()}
    for message in trace.messages:
        for struct in structs(message):
            name = type(struct).__name__
            for field, kind in CEREMONY[name].items():
                for path, part_kind, value in parts(f"{name}.{field}", getattr(struct, field), kind):
                    found[path] = part_kind, value
    return found


def unchanged(left: Trace, right: Trace, *kinds: Kind) -> set[str]:
    """The fields of these kinds that two runs have in common."""
    theirs = fields(right)
    return {path for path, (kind, value) in fields(left).items() if kind in kinds and theirs[path][1] == value}


def of_kind(trace: Trace, kind: Kind) -> set[str]:
    """The fields of one kind."""
    return {path for path, (own, _) in fields(trace).items() if own == kind}
