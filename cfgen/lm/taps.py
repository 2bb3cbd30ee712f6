"""Functions at modules, which run in the order of the table wherever several are at one.

torch calls the hooks of a module in the order in which they were put there. Here a module has one
hook on either side, and what is to be done there is sorted by when it comes by.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol
from weakref import WeakKeyDictionary

from torch import Tensor, nn

NAMES = ("hidden_states", "input_ids", "inputs_embeds")
"""What modules call the argument that matters, where it is given by name."""

Side = Literal["input", "output"]
Change = Callable[[Tensor], Tensor]
"""Takes what passes, gives what is to pass instead: the same tensor if nothing changes."""


class Removable(Protocol):
    """What can be taken off a module again."""

    def remove(self) -> None:
        """Take it off."""


@dataclass(slots=True)
class Line:
    """What is done at one side of one module, in order."""

    taps: list[Tap] = field(default_factory=list)
    hook: Removable | None = None

    def pass_on(self, tensor: Tensor) -> Tensor:
        """Let all functions see a tensor, each what the one before made of it."""
        for one in tuple(self.taps):
            tensor = one.change(tensor)
        return tensor


@dataclass(frozen=True, slots=True, eq=False)
class Tap:
    """A function at one side of a module.

    Attributes:
        line: All that is done there.
        stage: When it comes by, compared with the others there.
        name: The component that it is for.
        change: The function.
    """

    line: Line
    stage: int
    name: str
    change: Change

    def remove(self) -> None:
        """Take it off; the last one takes the hook off the module. Again, it does nothing."""
        self.line.taps[:] = [one for one in self.line.taps if one is not self]
        if not self.line.taps and self.line.hook is not None:
            self.line.hook.remove()
            self.line.hook = None


_LINES: WeakKeyDictionary[nn.Module, dict[Side, Line]] = WeakKeyDictionary()


def put_tap(module: nn.Module, side: Side, stage: int, name: str, change: Change) -> Tap:
    """Let a function see, and perhaps change, what goes into or comes out of a module.

    Args:
        module: The module.
        side: Whether its first input, or its output or the first of its outputs.
        stage: Functions of a lower stage come before; of the same, in the order of this call.
        name: The component that it is for.
        change: The function.
    """
    line = _LINES.setdefault(module, {}).setdefault(side, Line())
    tap = Tap(line, stage, name, change)
    line.taps.append(tap)
    line.taps.sort(key=lambda one: one.stage)
    if line.hook is None:
        line.hook = _on_input(module, line) if side == "input" else _on_output(module, line)
    return tap


def tapped(module: nn.Module, side: Side) -> set[str]:
    """The components for which something is done at one side of a module."""
    lines = _LINES.get(module, {})
    return {tap.name for tap in lines[side].taps} if side in lines else set()


def _on_input(module: nn.Module, line: Line) -> Removable:
    def before(_module: Any, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        first = bool(given) and isinstance(given[0], Tensor)
        name = "" if first else next(name for name in NAMES if named.get(name) is not None)
        tensor: Tensor = given[0] if first else named[name]
        passed = line.pass_on(tensor)
        if passed is tensor:
            return None
        return ((passed, *given[1:]), named) if first else (given, {**named, name: passed})

    handle: Removable = module.register_forward_pre_hook(before, with_kwargs=True)
    return handle


def _on_output(module: nn.Module, line: Line) -> Removable:
    def after(_module: Any, _given: Any, output: Any) -> Any:
        several = isinstance(output, tuple)
        tensor: Tensor = output[0] if several else output
        passed = line.pass_on(tensor)
        if passed is tensor:
            return None
        return (passed, *output[1:]) if several else passed

    handle: Removable = module.register_forward_hook(after)
    return handle
