"""Bits/dim of test digits under weights: the bound term by term, or estimated from strata of times."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from minidiff.arrays import normal
from minidiff.bound import bits_per_dim, variational_bound
from minidiff.estimate import stratified_bound
from minidiff.learn.condition import Condition
from minidiff.learn.denoiser import NetworkDenoiser
from minidiff.prediction import Denoiser, Prediction
from minidiff.run.conditions import label
from minidiff.run.records import sig
from minidiff.run.store import Pictures, scale
from minidiff.wrappers import Clipped

Wrap = Callable[[Denoiser], Denoiser]
Estimate = Callable[[Denoiser, Tensor, int, str, Any], dict[str, Tensor]]
CHUNK = {"term by term": 16, "stratified": 64}  # T remembered answers to 16 digits take about 150 MB


def bits(denoiser: NetworkDenoiser, test: Pictures, bound: int, stratified: int, seed: int) -> dict[str, Any]:
    """Bits/dim of test digits drawn at random, {how: {variance: numbers}}: `bound` of them term by term, `stratified` by strata of t.

    The term-by-term digits are the first of the stratified ones. The variance is "learned" where the network predicts it, else "small" and
    "large"; each of the network as it answers, and "clipped", of the model that the samplers here draw from: its x_0 is kept within the
    range of pixels, as theirs is. All from the same network calls. Weights that are told labels are told the true ones. Each value has
    its standard error over images; for the stratified estimate `noise` is the part of it that the draws of t and noise add. ValueError
    for more digits than there are. Checked by tests/test_evaluate.py.
    """
    if max(bound, stratified) > len(test):
        raise ValueError(f"there are {len(test)} test digits; bits/dim were asked for of {max(bound, stratified)}")
    order = np.random.default_rng(seed).permutation(len(test))
    x, labels = scale(test.images[order]), torch.from_numpy(test.labels[order].astype(np.int64))
    kinds = models(("learned",) if learns_variance(denoiser, x[:1]) else ("small", "large"))
    found = {}
    for (how, chunk), n, estimate in zip(CHUNK.items(), (bound, stratified), (term_by_term, by_strata), strict=True):
        if n:
            found[how] = in_chunks(denoiser, x[:n], labels[:n] if told_labels(denoiser) else None, chunk, kinds, seed, estimate, how)
    return found


def models(variances: tuple[str, ...]) -> tuple[tuple[str, str, Wrap], ...]:
    """Name, variance and wrapper of all models that one network is here: each variance plain, and with x_0 clipped.

    They are different models, with bounds of their own (notebook 10): where the signal has all but gone, as at the end of the cosine
    schedule, the smallest error of the predicted noise throws x_0 far out of range, and that step alone can cost a tenth of a bit.
    """
    return tuple((kind + words, kind, wrap) for kind in variances for words, wrap in (("", as_it_is), (" clipped", Clipped)))


def as_it_is(denoiser: Denoiser) -> Denoiser:
    """The wrapper that does nothing."""
    return denoiser


def told_labels(denoiser: NetworkDenoiser) -> bool:
    """Whether the network takes a label."""
    return bool(getattr(denoiser.network, "vector_dim", 0))


def learns_variance(denoiser: NetworkDenoiser, x: Tensor) -> bool:
    """Whether the network answers pictures x (1, C, H, W) with a variance of its own (Improved DDPM Eq. 15)."""
    cond = label([0]).null() if told_labels(denoiser) else None
    return denoiser(x, 1, cond).var_mix is not None


def in_chunks(
    denoiser: Denoiser, x: Tensor, labels: Tensor | None, chunk: int, kinds: tuple[tuple[str, str, Wrap], ...], seed: int,
    estimate: Estimate, how: str,
) -> dict[str, Any]:  # fmt: skip
    """An estimate of each of the `models`, chunk by chunk of digits; all share the network's answers."""
    parts: dict[str, list[dict[str, Tensor]]] = {name: [] for name, _, _ in kinds}
    bar = tqdm(total=len(x), unit="digit", desc=f"bits/dim {how}", disable=None)
    for i in range(0, len(x), chunk):
        cond = None if labels is None else label(labels[i : i + chunk])
        asked = Replayed(denoiser)
        for name, kind, wrap in kinds:
            asked.rewind()
            parts[name].append(estimate(wrap(asked), x[i : i + chunk], 1_000_003 * seed + i, kind, cond))
        bar.update(len(x[i : i + chunk]))
    bar.close()
    return {name: summary({k: torch.cat([p[k] for p in rows], -1) for k in rows[0]}, x[0].numel()) for name, rows in parts.items()}


def term_by_term(denoiser: Denoiser, x: Tensor, seed: int, variance: str, cond: Condition | None) -> dict[str, Tensor]:
    """`variational_bound` at every t, its parts in nats: (1, B) each."""
    b = variational_bound(denoiser, x, normal(torch.Generator().manual_seed(seed)), variance, cond=cond)
    return {"prior": b.prior[None], "steps": b.steps.sum(0)[None], "decoder": b.decoder[None]}


def by_strata(denoiser: Denoiser, x: Tensor, seed: int, variance: str, cond: Condition | None) -> dict[str, Tensor]:
    """`stratified_bound`, twice for each digit, its parts in nats: (2, B) each."""
    draw, rng = normal(torch.Generator().manual_seed(seed)), np.random.default_rng(seed)
    b = stratified_bound(denoiser, x, draw, rng, variance=variance, cond=cond, repeats=2)
    return {"prior": b.prior.expand_as(b.decoder), "steps": b.steps.sum(1), "decoder": b.decoder}


def summary(parts: dict[str, Tensor], dims: int) -> dict[str, Any]:
    """Mean, standard error over images and 95% interval, in bits/dim; the parts (repeats, n) in nats."""
    each = bits_per_dim(sum(parts.values()), dims)
    n, mean, error = each.shape[1], each.mean().item(), each.mean(0).std().item() / each.shape[1] ** 0.5
    out = {"value": sig(mean), "n": n, "interval_95": [sig(mean - 1.96 * error), sig(mean + 1.96 * error)], "standard_error": sig(error)}
    if len(each) > 1:
        out["noise"] = sig((each.var(0).mean() / each.numel()).item() ** 0.5)
    return out | {k: sig(bits_per_dim(v, dims).mean().item()) for k, v in parts.items()}


class Replayed:
    """A denoiser that remembers its answers: after `rewind` it must be asked the same questions, and computes nothing.

    Two variances need the same network calls; this halves their cost.
    """

    def __init__(self, denoiser: Denoiser) -> None:
        self.denoiser, self.schedule = denoiser, denoiser.schedule
        self._answers: list[tuple[Tensor, Prediction]] = []
        self._next = 0

    def rewind(self) -> None:
        """Begin again with the first question."""
        self._next = 0

    def __call__(self, x_t: Tensor, t: Any, cond: Any = None) -> Prediction:
        if self._next == len(self._answers):
            self._answers.append((x_t, self.denoiser(x_t, t, cond)))
        asked, answer = self._answers[self._next]
        if not torch.equal(asked, x_t):
            raise ValueError("a replayed denoiser must be asked the same questions in the same order; got another x_t")
        self._next += 1
        return answer
