"""tau_theta for text: from a caption to numbers (Vocabulary), and from these to vectors that a U-Net can look at (CaptionEncoder)."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

PAD, UNKNOWN = 0, 1  # token ids with a meaning of their own; words begin at 2


@dataclass(frozen=True)
class Vocabulary:
    """Words and their ids. A caption is lower-cased and cut at spaces; `length` is the most words that it may have.

    ids(captions): (B, length) int64, filled up with PAD. The empty caption is all PAD: the empty condition of guidance. A word that is not
    in the vocabulary becomes UNKNOWN, with a UserWarning that names it and the nearest ones. ValueError for a caption that is too long.
    Checked by tests/test_text.py.
    """

    words: tuple[str, ...]
    length: int = 14

    def __post_init__(self) -> None:
        if len(set(self.words)) != len(self.words) or any(w != w.lower() or len(w.split()) != 1 for w in self.words):
            raise ValueError("words must be lower-case, without spaces, each once")

    def __len__(self) -> int:
        """Ids there are: the words, PAD and UNKNOWN."""
        return len(self.words) + 2

    def ids(self, captions: Sequence[str]) -> Tensor:
        """Ids of captions: a list of B strings -> (B, length) int64."""
        if isinstance(captions, str):
            raise TypeError(f"captions must be a list of strings; got one string, {captions!r}: put it in a list")
        known = {word: i for i, word in enumerate(self.words, 2)}
        out = torch.full((len(captions), self.length), PAD)
        for row, caption in zip(out, captions, strict=True):
            words = caption.lower().split()
            if len(words) > self.length:
                raise ValueError(f"a caption may have at most {self.length} words; this one has {len(words)}: {caption!r}")
            for i, word in enumerate(words):
                if word not in known:
                    near = difflib.get_close_matches(word, self.words, n=2, cutoff=0.5)
                    hint = f"; did you mean {' or '.join(near)}?" if near else ""
                    warnings.warn(f"the word {word!r} was never in a training caption, and says nothing to the network{hint}", stacklevel=2)
                row[i] = known.get(word, UNKNOWN)
        return out


def forget_words(ids: Tensor, share: float, rng: torch.Generator) -> Tensor:
    """Ids with each word made UNKNOWN by a coin: how a network learns what an unknown word is. Same shape; PAD stays."""
    return torch.where((torch.rand(ids.shape, generator=rng) < share) & (ids != PAD), UNKNOWN, ids)


class CaptionEncoder(nn.Module):
    """tau_theta: ids (B, L) -> context (B, 1 + L, width) and where there is one, bool (B, 1 + L).

    A learned start token stands before the words and is always there, so that an empty caption has something to be looked at. Each word
    hears its neighbours (a convolution over three words to either side: "seven" hears "red" and "above"), its place is added, then
    `layers` layers of a transformer. PAD is never heard or looked at: padding changes nothing (tests/test_text.py). Trained together with
    the denoiser, through cross-attention (Rombach et al. 2022, section 3.3). Places begin a third as large as words: when they began at
    a fiftieth, the order of words made no difference to the trained network after ten thousand steps.
    """

    def __init__(self, tokens: int, length: int, width: int = 64, layers: int = 2, heads: int = 4) -> None:
        super().__init__()
        self.width = width
        self.word = nn.Embedding(tokens, width)
        self.near = nn.Conv1d(width, width, 7, padding=3)
        self.place = nn.Parameter(0.3 * torch.randn(1 + length, width))
        self.start = nn.Parameter(0.3 * torch.randn(width))
        layer = nn.TransformerEncoderLayer(width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width), enable_nested_tensor=False)

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        if ids.ndim != 2 or ids.is_floating_point() or ids.shape[1] >= len(self.place):
            got = f"{ids.dtype} {tuple(ids.shape)}"
            raise ValueError(f"tokens must be ids of words, whole numbers of shape (B, L) with L <= {len(self.place) - 1}; got {got}")
        start = self.start.expand(len(ids), 1, -1)
        there = torch.cat([torch.ones_like(ids[:, :1], dtype=torch.bool), ids != PAD], dim=1)
        words = self.word(ids) * there[:, 1:, None]
        words = words + self.near(words.transpose(1, 2)).transpose(1, 2)
        h = torch.cat([start, words], dim=1) + self.place[: 1 + ids.shape[1]]
        return self.layers(h, src_key_padding_mask=~there), there


class TileEncoder(nn.Module):
    """tau_theta for a map given as tokens: one for each tile of the map, (B, L, D) -> (B, L, width), with its place on a canvas of L tiles.

    The same cross-attention that reads words reads these. Its canvas is fixed: a place is a learned vector for each of the L tiles.
    """

    def __init__(self, tile: int, tiles: int, width: int = 64) -> None:
        super().__init__()
        self.width = width
        self.tile = nn.Linear(tile, width)
        self.place = nn.Parameter(0.02 * torch.randn(tiles, width))

    def forward(self, tokens: Tensor) -> tuple[Tensor, None]:
        if tokens.ndim != 3 or tokens.shape[1:] != (len(self.place), self.tile.in_features):
            wanted = f"(B, {len(self.place)}, {self.tile.in_features})"
            raise ValueError(f"tokens must be the tiles of a map of the training size, {wanted}; got {tuple(tokens.shape)}")
        return self.tile(tokens) + self.place, None
