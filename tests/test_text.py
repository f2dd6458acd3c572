"""Captions as ids, and tau_theta: padding changes nothing, gradients arrive, bad captions are refused or warned of."""

import warnings

import numpy as np
import pytest
import torch

from minidiff.learn import NetworkDenoiser, simple_loss
from minidiff.learn.condition import Condition
from minidiff.nn import UNet
from minidiff.nn.text import PAD, UNKNOWN, CaptionEncoder, TileEncoder, Vocabulary, forget_words
from minidiff.run.captions import caption_of
from minidiff.run.scene_conditions import VOCABULARY, captions, maps, tokens_of
from minidiff.run.scenes import some_description
from minidiff.schedule import Schedule


def words(texts):
    """Captions alone, without the places that networks of scenes are told beside them."""
    return Condition(tokens=captions(texts).tokens)


@pytest.fixture
def told():
    """A denoiser that reads captions; its zero-initialised layers are moved, so that what it is told matters."""
    torch.manual_seed(0)
    encoder = CaptionEncoder(len(VOCABULARY), VOCABULARY.length, width=32)
    network = UNet(3, 3, (16, 32), blocks=1, tau=encoder)
    for parameter in network.parameters():
        if parameter.abs().sum() == 0:
            torch.nn.init.normal_(parameter, std=0.1)
    return NetworkDenoiser(network, Schedule.cosine(100), "v")


def test_ids_are_places_in_the_vocabulary():
    words = Vocabulary(("a", "red", "seven"), length=5)
    assert words.ids(["a red seven", "", "Seven  RED"]).tolist() == [[2, 3, 4, 0, 0], [0] * 5, [4, 3, 0, 0, 0]]
    assert len(words) == 5 and (PAD, UNKNOWN) == (0, 1)


def test_the_vocabulary_of_scenes_holds_every_word_of_their_language_and_its_longest_caption():
    rng = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ids = VOCABULARY.ids([caption_of(some_description(rng), rng) for _ in range(3000)])
    used = set(ids.unique().tolist()) - {PAD}
    assert used == set(range(2, len(VOCABULARY))), "a word that never occurs"
    assert (ids != PAD).sum(1).max() <= VOCABULARY.length


def test_an_unknown_word_is_named_with_its_neighbours():
    with pytest.warns(UserWarning, match="'sevn' was never in a training caption.*did you mean seven"):
        ids = VOCABULARY.ids(["a red sevn"])
    assert ids[0, 2] == UNKNOWN
    with pytest.raises(ValueError, match="at most 14 words; this one has 15"):
        VOCABULARY.ids(["a " * 15])
    with pytest.raises(TypeError, match="a list of strings; got one string"):
        VOCABULARY.ids("a red seven")
    with pytest.raises(ValueError, match="lower-case"):
        Vocabulary(("Red",))


def test_padding_never_changes_what_the_network_answers(told):
    x, t = torch.randn(2, 3, 32, 32), 40
    with torch.no_grad():
        ids = VOCABULARY.ids(["a red seven above a blue two", "a white one"])
        short = ids[:, : (ids != PAD).any(0).sum()]
        full, cut = (told(x, t, Condition(tokens=part)).x_0 for part in (ids, short))
    assert torch.allclose(full, cut, atol=1e-5)


def test_what_stands_behind_the_padding_is_never_looked_at(told):
    """The embedding of PAD itself may be anything."""
    x, ids = torch.randn(1, 3, 32, 32), words(["a white one"])
    with torch.no_grad():
        before = told(x, 40, ids).x_0
        told.network.tau.word.weight[PAD] += torch.randn(32)
        assert torch.allclose(told(x, 40, ids).x_0, before, atol=1e-5)
        told.network.tau.word.weight[VOCABULARY.ids(["white"])[0, 0]] += torch.randn(32)
        assert not torch.allclose(told(x, 40, ids).x_0, before, atol=1e-3)


def test_the_order_of_words_matters(told):
    x = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        one, other = (told(x, 40, words([c])).x_0 for c in ("a red seven above a blue two", "a blue two above a red seven"))
    assert (one - other).abs().max() > 1e-3


def test_a_fresh_encoder_hears_where_a_word_stands_and_what_stands_beside_it():
    """Places much smaller than words are drowned by them, and a network may take ten thousand steps not to find them."""
    torch.manual_seed(0)
    tau = CaptionEncoder(len(VOCABULARY), VOCABULARY.length)
    with torch.no_grad():
        first, second, green = (tau(VOCABULARY.ids([c]))[0][0] for c in (
            "a red seven above a blue two", "a blue two above a red seven", "a green seven above a blue two"
        ))  # fmt: skip
    for one, other in ((first[2], second[6]), (first[3], second[7]), (first[3], green[3])):
        assert (one - other).norm() > 0.2 * one.norm()
    assert (first[7] - green[7]).norm() < (first[3] - green[3]).norm() / 2, "what stands far away is heard less"


def test_tau_theta_learns_with_the_denoiser(told):
    x, noise = torch.randn(4, 3, 32, 32), torch.randn(4, 3, 32, 32)
    simple_loss(told, x, 50, noise, words(["a red seven", "a blue two", "", "three green sixes in a row"])).mean().backward()
    for name, parameter in told.network.tau.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
    used = told.network.tau.word.weight.grad.abs().sum(1) > 0
    assert used[VOCABULARY.ids(["red"])[0, 0]] and not used[PAD] and not used[VOCABULARY.ids(["purple"])[0, 0]]


def test_the_empty_caption_is_the_empty_condition(told):
    empty, null = captions(["", ""]), captions(["a red seven", "a blue two"]).null()
    assert torch.equal(empty.tokens, null.tokens) and null.tokens.dtype == torch.int64
    assert torch.equal(empty.image, null.image) and captions(["a red seven"]).image.any()
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.isfinite(told(x, 40, Condition(tokens=null.tokens)).x_0).all()
    dropped = captions(["a red seven", "a blue two"]).drop(torch.tensor([True, False]))
    assert dropped.tokens[0].eq(PAD).all() and dropped.tokens[1].ne(PAD).any()


def test_forgotten_words_are_as_many_as_asked_and_padding_stays():
    ids = VOCABULARY.ids(["a red seven above a blue two"] * 4000)
    out = forget_words(ids, 0.1, torch.Generator().manual_seed(0))
    there = ids != PAD
    share = (out == UNKNOWN)[there].double().mean().item()
    assert torch.equal(out[~there], ids[~there]) and abs(share - 0.1) < 5 * (0.09 / there.sum().item()) ** 0.5
    assert torch.equal(out[there & (out != UNKNOWN)], ids[there & (out != UNKNOWN)])


def test_what_the_encoders_refuse(told):
    encoder = told.network.tau
    for bad in (torch.zeros(2, 3), torch.zeros(3, dtype=torch.long), torch.zeros(1, 15, dtype=torch.long)):
        with pytest.raises(ValueError, match="whole numbers of shape"):
            encoder(bad)
    with pytest.raises(ValueError, match=r"\(B, 64, 272\); got \(2, 16, 272\)"):
        TileEncoder(272, 64)(torch.zeros(2, 16, 272))
    with pytest.raises(ValueError, match="takes tokens, at least an empty caption; got none"):
        told(torch.randn(1, 3, 32, 32), 40)
    with pytest.raises(ValueError, match="has no cross-attention"):
        UNet(3, 3, (16, 32), blocks=1)(torch.randn(1, 3, 32, 32), torch.tensor([4]), tokens=torch.zeros(1, 3, 8))


def test_maps_are_one_hot_and_tiles_hold_what_lies_in_them():
    labels, tint = torch.zeros(1, 8, 12, dtype=torch.long), torch.zeros(1, 8, 12, dtype=torch.long)
    labels[0, 4:, 8:], tint[0, 4:, 8:] = 1 + 7, 1 + 2
    folded = maps(labels, tint).image
    assert folded.shape == (1, 17 * 16, 2, 3)
    image = torch.nn.functional.pixel_shuffle(folded, 4)
    assert image.shape == (1, 17, 8, 12) and image[0, 8, 5, 9] == 1 and image[0, 11 + 2, 5, 9] == 1
    assert torch.equal(image[:, :11].sum(1), torch.ones(1, 8, 12)) and torch.equal(image[:, 11:].sum(1), (tint > 0).float())
    tokens = tokens_of(folded)
    assert tokens.shape == (1, 6, 17 * 16) and tokens[0, 5].sum() == 32 and tokens[0, 5].reshape(17, 16)[8].eq(1).all()
    with pytest.raises(ValueError, match="a digit has a colour"):
        maps(labels, torch.zeros_like(tint))
    with pytest.raises(ValueError, match=r"labels must be whole numbers 0\.\.10"):
        maps(labels + 5, tint)
    with pytest.raises(ValueError, match="multiples of 4; got 8 x 10"):
        maps(labels[:, :, :10], tint[:, :, :10])
