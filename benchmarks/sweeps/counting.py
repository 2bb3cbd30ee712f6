"""What a tool computes, counted the same way for every tool."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn.modules.module import register_module_forward_hook

from cfgen.lm import LM, Layout
from sweeps.rates import Calls, counted


class Counter:
    """Counts what comes out of every block and of the head, padding included, while entered.

    The hook is not on the modules: some tools take all hooks off the model that they are given.
    """

    def __init__(self, lm: LM, layout: Layout) -> None:
        self.blocks, self.head = set(layout.blocks), lm.model.get_output_embeddings()
        self._passed: list[int] = []
        self._projected: list[int] = []

    def __enter__(self) -> Counter:
        self.handle = register_module_forward_hook(self._count)
        return self

    def __exit__(self, *_error: object) -> None:
        self.handle.remove()

    def take(self) -> Calls:
        """The calls since the last time this was asked."""
        calls = Calls(counted(self._passed), counted(self._projected))
        self._passed, self._projected = [], []
        return calls

    def _count(self, module: nn.Module, _given: Any, output: Any) -> None:
        if module in self.blocks or module is self.head:
            hidden = output[0] if isinstance(output, tuple) else output  # (rows, columns, width)
            sizes = self._projected if module is self.head else self._passed
            if tokens := hidden.shape[:-1].numel():  # no run of a forward may have an answer
                sizes.append(tokens)
