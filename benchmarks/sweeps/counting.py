"""Tokens that a tool computes, counted the same way for every tool."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn.modules.module import register_module_forward_hook

from cfgen.lm import Layout


class Counter:
    """Counts the tokens that come out of every block, padding included, while it is entered.

    The hook is not on the blocks: some tools take all hooks off the model that they are given.
    """

    def __init__(self, layout: Layout) -> None:
        self.blocks = set(layout.blocks)
        self.passed = 0

    def __enter__(self) -> Counter:
        self.handle = register_module_forward_hook(self._count)
        return self

    def __exit__(self, *_error: object) -> None:
        self.handle.remove()

    def take(self) -> float:
        """Tokens since the last call; one that passes through half of the blocks is half a one."""
        tokens, self.passed = self.passed / len(self.blocks), 0
        return tokens

    def _count(self, module: nn.Module, _given: Any, output: Any) -> None:
        if module in self.blocks:
            hidden = output[0] if isinstance(output, tuple) else output  # (rows, columns, hidden)
            self.passed += hidden.shape[0] * hidden.shape[1]
