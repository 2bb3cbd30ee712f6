"""What comes out of runs: what was said, the logits that matter, what it cost, when two agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from cfgen.errors import CfgenError, Problem


@dataclass(frozen=True, slots=True)
class Cost:
    """Work done, counted in tokens that passed through one block.

    Attributes:
        forwards: Forwards of the LM.
        passes: Tokens x blocks, padding and what a packed row leaves empty included.
        required: Tokens x blocks whose states can't be known without computing them.
        edits: Edits made; each was counted where it was written.
    """

    forwards: int = 0
    passes: int = 0
    required: int = 0
    edits: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.forwards + other.forwards,
            self.passes + other.passes,
            self.required + other.required,
            self.edits + other.edits,
        )


@dataclass(frozen=True, slots=True)
class Work:
    """How runs were executed.

    Attributes:
        clean: Cost of runs without edits.
        edited: Cost of runs with edits.
        run: How many runs with edits were executed.
        filled: Reason -> runs that needed no execution, as they can't differ from their base.
        whole: Reason -> runs that the packed engine executed whole, as the reference does.
        self_tested: How many of the filled were executed all the same, and differed in nothing.
        verified: How many were executed again on the reference, and came out the same.
        blocks: How many blocked keys were seen not to be looked at.
        shrunk: How often the tokens per forward were halved, because memory did not suffice.
    """

    clean: Cost = Cost()
    edited: Cost = Cost()
    run: int = 0
    filled: Counter[str] = field(default_factory=Counter)
    whole: Counter[str] = field(default_factory=Counter)
    self_tested: int = 0
    verified: int = 0
    blocks: int = 0
    shrunk: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(
            self.clean + other.clean,
            self.edited + other.edited,
            self.run + other.run,
            self.filled + other.filled,
            self.whole + other.whole,
            self.self_tested + other.self_tested,
            self.verified + other.verified,
            self.blocks + other.blocks,
            self.shrunk + other.shrunk,
        )


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What the LM did in several runs, in the order asked for. On the CPU, unless with gradients.

    Attributes:
        logits: Of the tracked tokens, float32 (runs, tracked); minus infinity where a run tracks
            fewer than another.
        said: The likeliest token (runs,), if asked for.
        normaliser: Log of the sum of exp of all logits, float32 (runs,), if asked for.
        ranks: How many tokens are likelier than each tracked one (runs, tracked), if asked for.
        kl: KL divergence of the run's distribution from that of its prompt's clean run,
            ``sum p_clean (log p_clean - log p)``, in nats, float32 (runs,), if asked for.
        vocabulary: All logits, float32 (runs, vocabulary), if asked for.
        changed: Whether any edit, besides those that the run's base has as well, wrote something
            else than what was there (runs,). Of what was not computed, as it leads nowhere:
            whether what it writes may be other.
        work: How they were executed, and what that took.
    """

    logits: Tensor
    said: Tensor | None
    normaliser: Tensor | None
    ranks: Tensor | None
    kl: Tensor | None
    vocabulary: Tensor | None
    changed: Tensor
    work: Work

    def __len__(self) -> int:
        return len(self.changed)

    @property
    def log_probabilities(self) -> Tensor:
        """Log-probabilities of the tracked tokens (runs, tracked), natural.

        Raises:
            CfgenError: The normaliser was not asked for (``not-asked``).
        """
        if self.normaliser is None:
            message = "log-probabilities need the normaliser, which was not asked for"
            hint = "ask a Question(normaliser=True), or compare `logits`"
            raise CfgenError(Problem("not-asked", message, hint=hint))
        return self.logits - self.normaliser[:, None]


def joined(parts: Sequence[Outcomes]) -> Outcomes:
    """The outcomes of several sets of runs as those of one, in order."""
    if len(parts) == 1:
        return parts[0]
    most = max(part.logits.shape[1] for part in parts)

    def wide(tensor: Tensor, fill: float) -> Tensor:
        return torch.nn.functional.pad(tensor, (0, most - tensor.shape[1]), value=fill)

    def both(name: str) -> Tensor | None:
        tensors = [getattr(part, name) for part in parts]
        return None if tensors[0] is None else torch.cat(tensors)

    ranks = [part.ranks for part in parts if part.ranks is not None]
    return Outcomes(
        logits=torch.cat([wide(part.logits, -torch.inf) for part in parts]),
        said=both("said"),
        normaliser=both("normaliser"),
        ranks=torch.cat([wide(part, -1) for part in ranks]) if ranks else None,
        kl=both("kl"),
        vocabulary=both("vocabulary"),
        changed=torch.cat([part.changed for part in parts]),
        work=sum((part.work for part in parts), start=Work()),
    )


def most_likely(logits: Tensor) -> Tensor:
    """The token with the highest logit; the first of several.

    Args:
        logits: (rows, vocabulary).

    Returns:
        (rows,), on the same device.
    """
    if logits.device.type == "cpu":  # several times as fast as torch's own
        return torch.from_numpy(logits.detach().numpy().argmax(axis=-1))
    return logits.argmax(dim=-1)


TOLERANCE = {
    torch.float64: 1e-9,
    torch.float32: 1e-3,
    torch.float16: 0.1,
    torch.bfloat16: 0.6,
}
"""By how much logits that should be the same may differ, in standard deviations of the logits."""


FEW = 32
"""Of fewer logits than so many the standard deviation says little."""


def agree(expected: Tensor, got: Tensor, dtype: torch.dtype) -> Tensor:
    """Whether logits agree within the tolerance of the dtype they were computed in.

    Args:
        expected: (rows, tokens).
        got: Likewise.
        dtype: Of the LM.

    Returns:
        (rows,).
    """
    return (expected - got.to(expected)).abs().amax(dim=-1) <= TOLERANCE[dtype] * _scale(expected)


def _scale(logits: Tensor) -> Tensor:
    """What differences of logits (rows, tokens) are measured in (rows,)."""
    return logits.abs().amax(dim=-1) if logits.shape[-1] < FEW else logits.std(dim=-1)


def distance(expected: Tensor, got: Tensor) -> float:
    """The largest difference of logits (rows, tokens), in their standard deviations."""
    off = (expected - got.to(expected)).abs().amax(dim=-1) / _scale(expected)
    return float(off.max())


def disagreement(expected: Tensor, got: Tensor, dtype: torch.dtype) -> str:
    """What is to be said of logits (rows, tokens) that don't agree; empty if they do."""
    if bool(agree(expected, got, dtype).all()):
        return ""
    return f"by {distance(expected, got):.2g} standard deviations of the logits"
