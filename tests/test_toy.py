"""The toy data sets, and the entropy of what quantising leaves."""

import numpy as np
import scipy.stats

from minidiff import GaussianMixture
from minidiff.toy import TOYS, checkerboard, moons, quantise, quantised_entropy, ring, swirl


def test_quantise_and_its_entropy():
    x = np.random.default_rng(6).uniform(-1.5, 1.5, (1000, 2))
    q = quantise(x)
    levels = np.round((q + 1) * 127.5)
    np.testing.assert_allclose(q, levels / 127.5 - 1, atol=1e-15)
    nearest = (np.arange(256) / 127.5 - 1)[np.abs(x[..., None] - (np.arange(256) / 127.5 - 1)).argmin(-1)]
    np.testing.assert_allclose(q, nearest, atol=1e-15)
    rng = np.random.default_rng(7)
    for mixture in (GaussianMixture([0.3, 0.7], [[-0.4], [0.6]], [0.01, 0.09]), ring(3)):
        sample = np.round((quantise(mixture.sample(20_000, rng)) + 1) * 127.5)
        # -log of the mass of each sample's own cell, by scipy's distribution functions: its mean is the entropy.
        low = np.where(sample == 0, -np.inf, (sample - 0.5) / 127.5 - 1)
        high = np.where(sample == 255, np.inf, (sample + 0.5) / 127.5 - 1)
        mass = 0.0
        for w, m, c in zip(mixture.weights, mixture.means, mixture.covs, strict=True):
            normal = scipy.stats.norm(m, np.sqrt(c[0, 0]))
            mass = mass + w * (normal.cdf(high) - normal.cdf(low)).prod(1)
        surprise = -np.log(mass)
        assert abs(surprise.mean() - quantised_entropy(mixture)) < 5 * surprise.std() / len(sample) ** 0.5


def test_data_sets():
    for name, make in TOYS.items():
        x, y = make(500, np.random.default_rng(0)), make(500, np.random.default_rng(0))
        assert x.shape == (500, 2) and x.dtype == np.float64 and np.array_equal(x, y), name
        assert np.abs(x).max() < 1.3 and x.std() > 0.2
    assert ring(5).means.shape == (5, 2) and swirl().dims == 2
    board = checkerboard(4000, np.random.default_rng(1))
    field = np.floor((board + 1) * 2).astype(int)
    assert (field.sum(1) % 2 == 0).all() and len(np.unique(field, axis=0)) == 8  # dark fields only, all of them
    assert abs(moons(20_000, np.random.default_rng(2)).mean()) < 0.02
