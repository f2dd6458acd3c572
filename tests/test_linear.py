"""Principal components against singular values, and against other directions."""

import pytest
import torch

from minidiff.nn.linear import Principal


def pictures(n=200):
    g = torch.Generator().manual_seed(0)
    mix = torch.randn(48, 48, generator=g, dtype=torch.float64) * torch.linspace(2, 0.1, 48, dtype=torch.float64)
    return (torch.randn(n, 48, generator=g, dtype=torch.float64) @ mix.T + 0.5).reshape(n, 3, 4, 4)


@pytest.mark.parametrize("k", [1, 7, 48])
def test_the_error_is_the_sum_of_the_left_out_singular_values(k):
    x = pictures()
    pca = Principal.fit(x, k)
    error = (pca.decode(pca.encode(x).mean) - x).square().sum()
    values = torch.linalg.svdvals((x - x.mean(0)).flatten(1)) ** 2
    assert torch.allclose(error, values[k:].sum(), rtol=1e-8, atol=1e-8)


def test_no_other_directions_do_better():
    x = pictures()
    pca = Principal.fit(x, 5)
    best = (pca.decode(pca.encode(x).mean) - x).square().mean()
    for seed in range(5):
        axes, _ = torch.linalg.qr(pca.axes + 0.3 * torch.randn(48, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))
        other = Principal(pca.mean, axes, (3, 4, 4))
        assert (other.decode(other.encode(x).mean) - x).square().mean() > best


def test_the_first_of_many_are_those_of_few():
    x = pictures()
    few, first = Principal.fit(x, 3), Principal.fit(x, 20).first(3)
    assert torch.allclose((few.axes * first.axes).sum(0).abs(), torch.ones(3, dtype=torch.float64), atol=1e-8)
    assert first.encode(x).mean.shape == (200, 3, 1, 1) and first.factor == 4


def test_k_must_fit():
    with pytest.raises(ValueError, match=r"1..48, the number of pixels; got 49"):
        Principal.fit(pictures(), 49)
