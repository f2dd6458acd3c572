"""Captions for photographs that have labels only: templates and synonyms. They say no more than the label does, in more words.

"A photo of a small red truck" cannot be had: nobody has written down that it is small and red. What can be learned is that many wordings
mean one thing, and what can be tested is whether a wording that was never met is understood.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from minidiff.learn.condition import Condition
from minidiff.nn.text import CaptionEncoder, Vocabulary, forget_words
from minidiff.run.conditions import Told

SYNONYMS = (  # by label, as minidiff.run.cifar.CLASSES orders them
    ("airplane", "plane", "aircraft"),
    ("automobile", "car"),
    ("bird", "songbird"),
    ("cat", "kitten"),
    ("deer", "stag"),
    ("dog", "puppy"),
    ("frog", "toad"),
    ("horse", "pony"),
    ("ship", "boat", "vessel"),
    ("truck", "lorry"),
)
TEMPLATES = ("{}", "a {}", "a photo of a {}", "a small photo of a {}", "a picture of a {}", "this is a {}", "a {} in a photo")
NOUNS = {noun: label for label, nouns in enumerate(SYNONYMS) for noun in nouns}
PHOTO_WORDS = Vocabulary(tuple(sorted({*NOUNS, *" ".join(TEMPLATES).replace("{}", "").split()})), length=8)


def is_unseen(template: int, noun: str) -> bool:
    """Whether this wording is held out of training: of each noun, one template of seven."""
    return template == sorted(NOUNS).index(noun) % len(TEMPLATES)


def class_captions(labels: Sequence[int] | Tensor, rng: torch.Generator, unseen: bool = False) -> list[str]:
    """One caption for each label (B,), a wording drawn at random: one of training, or with unseen=True one that training never has."""
    made = []
    for label in torch.as_tensor(labels).tolist():
        some = [TEMPLATES[k].format(noun) for noun in SYNONYMS[label] for k in range(len(TEMPLATES)) if is_unseen(k, noun) == unseen]
        made.append(some[int(torch.randint(0, len(some), (1,), generator=rng))])
    return made


def photo_captions(texts: Sequence[str]) -> Condition:
    """Captions of photographs as ids of words: B strings -> Condition(tokens=(B, 8)); see `Vocabulary.ids`."""
    return Condition(tokens=PHOTO_WORDS.ids(texts))


def _of_label(x: Tensor, labels: Any, rng: torch.Generator) -> Condition:
    return Condition(tokens=forget_words(PHOTO_WORDS.ids(class_captions(labels, rng)), 0.02, rng))


CLASS_CAPTION = Told(_of_label, tau=lambda: CaptionEncoder(len(PHOTO_WORDS), PHOTO_WORDS.length))
