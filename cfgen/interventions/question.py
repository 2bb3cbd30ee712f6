"""What is asked of a run: it decides how much of the vocabulary is projected. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be known of the token after each run, besides the logits of tracked tokens.

    Where nothing of it is asked, only the tracked tokens are projected, not the vocabulary.

    Attributes:
        said: The likeliest token.
        normaliser: Log of the sum over the vocabulary, which makes log-probabilities of logits.
        ranks: How many tokens are likelier than each tracked one.
        kl: The divergence from the same prompt's clean run.
        vocabulary: The logits of all tokens; they take runs x vocabulary x 4 bytes.
    """

    said: bool = True
    normaliser: bool = True
    ranks: bool = False
    kl: bool = False
    vocabulary: bool = False

    @property
    def whole(self) -> bool:
        """Whether the whole vocabulary has to be projected."""
        return self.said or self.normaliser or self.ranks or self.kl or self.vocabulary


NOTHING = Question(said=False, normaliser=False)
"""Nothing besides tracked tokens: the vocabulary is not projected."""
