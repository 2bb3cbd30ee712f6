"""Certificates, in words."""

from __future__ import annotations

from cfgen.documents import Document, Paragraph
from cfgen.search import Certificate


def proof_view(certificate: Certificate) -> Document:
    """What a certificate says, what it rests on, and the pair if there is one."""
    one, other = certificate.hypotheses
    under = f"under design {certificate.design}" if certificate.design else "for any pair of inputs"
    lines = {
        "differ": f"{one} and {other} can be told apart {under.replace('for any', 'by a')}:",
        "same": f"{one} and {other} never differ {under}: proved by looking at "
        f"{_cases(certificate)}.",
        "undecided": f"Undecided after {certificate.cases:,} pairs drawn at random: {one} and "
        f"{other} never differed, but there are too many pairs to look at all of them.",
    }
    text = [lines[certificate.answer]]
    witness = certificate.witness
    if witness:
        for title, side in (
            ("original", witness.original),
            ("counterfactual", witness.counterfactual),
        ):
            text.append(f"  {title}: " + "; ".join(f"{n} {_shown(v)}" for n, v in side.items()))
        text += [f"  {name} predicts {said}" for name, said in witness.predictions.items()]
    for pool, reason in certificate.told_apart.items():
        text.append(f"Words of {pool} are told apart: {reason}.")
    if certificate.interchangeable:
        words = ", ".join(f"{name} ({n})" for name, n in certificate.interchangeable.items())
        text.append(f"Interchangeable words: {words}.")
    if certificate.wording:
        text.append(f"Left out, since they only change the wording: {_shown(certificate.wording)}.")
    text.append(f"Checked: {'; '.join(certificate.checked)}.")
    text.append(f"Assumed: {'; '.join(certificate.assumed)}.")
    return Document(tuple(map(Paragraph, text)))


def _cases(certificate: Certificate) -> str:
    cases = f"{certificate.cases:,} case{'s' * (certificate.cases != 1)}"
    if certificate.pairs == certificate.cases:
        return cases
    return f"{cases}, which stand for {certificate.pairs:,} pairs"


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
