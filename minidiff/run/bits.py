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
from minidiff.run.data import Digits, scale
from minidiff.run.records import sig

Estimate = Callable[[Denoiser, Tensor, int, str, Any], dict[str, Tensor]]
CHUNK = {"term by term": 16, "stratified": 64}  # T remembered answers to 16 digits take about 150 MB


def bits(denoiser: NetworkDenoiser, test: Digits, bound: int, stratified: int, seed: int) -> dict[str, Any]:
    """Bits/dim of test digits drawn at random, {how: {variance: numbers}}: `bound` of them term by term, `stratified` by strata of t.

    The term-by-term digits are the first of the stratified ones. The variance is "learned" where the network predicts it, else "small" and
    "large" from the same network calls. Weights that are told labels are told the true ones. Each value has its standard error over
    images; for the stratified estimate `noise` is the part of it that the draws of t and noise add. ValueError for more digits than there
    are. Checked by tests/test_evaluate.py.
    """
    if max(bound, stratified) > len(test):
        raise ValueError(f"there are {len(test)} test digits; bits/dim were asked for of {max(bound, stratified)}")
    order = np.random.default_rng(seed).permutation(len(test))
    x, labels = scale(test.images[order]), torch.from_numpy(test.labels[order].astype(np.int64))
    kinds = ("learned",) if learns_variance(denoiser) else ("small", "large")
    found = {}
    for (how, chunk), n, estimate in zip(CHUNK.items(), (bound, stratified), (term_by_term, by_strata), strict=True):
        if n:
            found[how] = in_chunks(denoiser, x[:n], labels[:n] if told_labels(denoiser) else None, chunk, kinds, seed, estimate, how)
    return found


def told_labels(denoiser: NetworkDenoiser) -> bool:
    """Whether the network takes a label."""
    return bool(getattr(denoiser.network, "vector_dim", 0))


def learns_variance(denoiser: NetworkDenoiser) -> bool:
    """Whether the network answers with a variance of its own (Improved DDPM Eq. 15)."""
    x = torch.zeros(1, 1, 28, 28)
    cond = label([0]).null() if told_labels(denoiser) else None
    return denoiser(x, 1, cond).var_mix is not None


def in_chunks(
    denoiser: Denoiser, x: Tensor, labels: Tensor | None, chunk: int, kinds: tuple[str, ...], seed: int, estimate: Estimate, how: str
) -> dict[str, Any]:
    """An estimate of each variance, chunk by chunk of digits; all variances share the network's answers."""
    parts: dict[str, list[dict[str, Tensor]]] = {kind: [] for kind in kinds}
    bar = tqdm(total=len(x), unit="digit", desc=f"bits/dim {how}", disable=None)
    for i in range(0, len(x), chunk):
        cond = None if labels is None else label(labels[i : i + chunk])
        asked = Replayed(denoiser)
        for kind in kinds:
            asked.rewind()
            parts[kind].append(estimate(asked, x[i : i + chunk], 1_000_003 * seed + i, kind, cond))
        bar.update(len(x[i : i + chunk]))
    bar.close()
    return {kind: summary({k: torch.cat([p[k] for p in parts[kind]], -1) for k in parts[kind][0]}, x[0].numel()) for kind in kinds}


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
