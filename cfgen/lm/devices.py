"""Names of devices, free of torch: what is asked for is checked before an LM is loaded."""

from __future__ import annotations

SPREAD = "spread"
"""Over all GPUs there are, and the memory of the CPU for what is left."""
DEVICES = ("auto", "cpu", "cuda", "mps", SPREAD)
