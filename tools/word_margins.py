"""How clearly an LM completes the default sentence of the task `ioi` with each word in it.

For every word of a lexicon, the mean and the smallest difference, over a few random sentences with
that word, between the logit of the right name and that of the likeliest other token. Words for
which the LM would rather go on with "the" or "her" make a bad lexicon: what is filtered out then
is not random.

    python tools/word_margins.py names places objects
"""

from __future__ import annotations

import argparse
import random

import torch

from cfgen import load_lm, load_task
from cfgen.prompts import load_lexicon, render

SENTENCES = 10
SLOTS = {"names": "names", "places": "place", "objects": "object"}


def margins(lexicon: str, seed: int) -> list[tuple[float, float, str]]:
    """Mean and smallest margin of every word, and the word; smallest mean first."""
    lm, task = load_lm("smollm2-135m", device="cpu"), load_task("ioi")
    model, template = task.causal_model, task.templates[task.default_template or ""]
    rng = random.Random(seed)
    found = []
    for word in load_lexicon(lexicon).entries:
        prompts, answers = [], []
        for _ in range(SENTENCES):
            inputs = model.sample(rng)
            if lexicon == "names":
                others = [name for name in inputs["names"] if name != word]
                inputs["names"] = (word, others[0]) if inputs["subject"] else (others[0], word)
            else:
                inputs[SLOTS[lexicon]] = word
            prompts.append(render(template, inputs).text)
            answers.append(template.answer_prefix + model.program.run(inputs)[model.output])
        batch = lm.tokenizer(prompts, return_tensors="pt", padding=True)
        positions = (batch["attention_mask"].cumsum(-1) - 1).clamp(min=0)
        with torch.inference_mode():
            logits = lm.model(**batch, position_ids=positions, logits_to_keep=1).logits[:, -1]
        right = torch.tensor([lm.tokenizer(answer).input_ids[0] for answer in answers])
        own = logits.gather(1, right[:, None])[:, 0]  # (sentences,)
        rest = logits.scatter(1, right[:, None], -torch.inf).amax(-1)  # (sentences,)
        difference = own - rest
        found.append((difference.mean().item(), difference.min().item(), word))
    return sorted(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("lexicons", nargs="+", choices=list(SLOTS))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for lexicon in options.lexicons:
        for mean, smallest, word in margins(lexicon, options.seed):
            print(f"{lexicon}\t{word}\tmean {mean:5.2f}\tsmallest {smallest:5.2f}")


if __name__ == "__main__":
    main()
