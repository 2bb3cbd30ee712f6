"""Whether a model is as large as its weights, before it is made.

A configuration that says too much costs nothing to write. What the files lack is made up by
transformers in memory, block by block, before it is reported as missing.
"""

from __future__ import annotations

from typing import Any

SLACK = 1 << 22
"""How many more numbers a small model may have than its files, such as a head of its own."""


def check_extent(config: Any, tensors: int, numbers: int) -> None:
    """Check that a configuration describes no more than files hold, give or take.

    Args:
        config: Of transformers.
        tensors: How many the files hold.
        numbers: How many they hold in all tensors together.

    Raises:
        ValueError: It describes a far larger model.
    """
    import torch
    from transformers import AutoModelForCausalLM

    blocks = config.get_text_config().num_hidden_layers
    if blocks > tensors:
        raise ValueError(f"it describes {blocks:,} blocks, but there are {tensors:,} tensors")
    with torch.device("meta"):  # no memory, no random numbers
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    described = sum(parameter.numel() for parameter in model.parameters())
    if described > 2 * numbers + SLACK:
        raise ValueError(f"it describes {described:,} numbers, but there are {numbers:,}")
