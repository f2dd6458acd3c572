"""Captions made of labels: every wording says its class, held-out wordings stay out, and photographs' layouts are means of tiles."""

import warnings

import numpy as np
import pytest
import torch

from minidiff.nn.text import PAD
from minidiff.run.cifar import CLASSES
from minidiff.run.class_captions import NOUNS, PHOTO_WORDS, SYNONYMS, TEMPLATES, class_captions, is_unseen, photo_captions
from minidiff.run.conditions import layout
from minidiff.run.told import TOLD


def rng():
    return torch.Generator().manual_seed(0)


def label_of(caption):
    return {NOUNS[word] for word in caption.split() if word in NOUNS}


def test_the_first_noun_of_a_label_is_its_class():
    assert tuple(nouns[0] for nouns in SYNONYMS) == tuple(CLASSES) and len(NOUNS) == sum(len(n) for n in SYNONYMS)


@pytest.mark.parametrize("unseen", [False, True])
def test_every_caption_says_its_label_and_nothing_else(unseen):
    labels = torch.arange(10).repeat(100)
    made = class_captions(labels, rng(), unseen)
    assert all(label_of(caption) == {label} for caption, label in zip(made, labels.tolist(), strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ids = PHOTO_WORDS.ids(made)
    assert (ids != PAD).any(1).all()


def test_wordings_of_training_and_held_out_ones_are_apart_and_together_all_there_are():
    labels = torch.arange(10).repeat(400)
    seen, held = (set(class_captions(labels, rng(), unseen)) for unseen in (False, True))
    every = {template.format(noun) for template in TEMPLATES for noun in NOUNS}
    assert not seen & held and seen | held == every and len(held) == len(NOUNS)
    assert all(sum(is_unseen(k, noun) for k in range(len(TEMPLATES))) == 1 for noun in NOUNS)


def test_a_recipe_is_told_captions_of_labels():
    told = TOLD["class caption"]
    cond = told.make(torch.zeros(4, 4, 8, 8), torch.tensor([0, 1, 9, 9]), rng())
    assert cond.tokens.shape == (4, PHOTO_WORDS.length) and told.tau().width == 64
    assert torch.equal(photo_captions([""]).tokens, cond.null().tokens[:1])


def test_a_layout_is_the_mean_of_tiles_of_eight_by_loops():
    x = torch.randn(2, 3, 32, 64, generator=rng())
    made = layout(x)
    assert made.shape == (2, 3, 8, 16)
    for y in range(8):
        for z in range(16):
            top, left = 8 * (y // 2), 8 * (z // 2)
            assert torch.allclose(made[:, :, y, z], x[:, :, top : top + 8, left : left + 8].mean((2, 3)), atol=1e-6)
    told = TOLD["layout"]
    assert told.of == "picture" and told.image_channels == 3
    assert np.allclose(told.make(torch.zeros(2, 4, 8, 8), x[..., :32], rng()).image, layout(x[..., :32]))
