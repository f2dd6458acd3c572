"""The gate between two array libraries."""

import math
import subprocess
import sys

import mpmath
import numpy as np
import pytest
import torch

from minidiff import arrays
from minidiff.arrays import like, log_ndtr, log_sub_exp, namespace, normal, per_example, real, slope_along, sum_features
from tests.contracts import DTYPES, batch, numbers


def test_namespace_names_the_library():
    assert namespace(np.zeros(2), 1.0, np.float32(2)) is np
    assert namespace(torch.zeros(2), 1, np.float64(2), np.array(3.0)) is torch
    for bad in ([1.0], None, "x", np.float64):
        with pytest.raises(TypeError, match="expected a NumPy array or a torch tensor"):
            namespace(torch.zeros(2), bad)
    for mixed in ((np.zeros(2), torch.zeros(2)), (torch.zeros(2), np.zeros(2))):
        with pytest.raises(TypeError, match="mixed"):
            namespace(*mixed)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64, torch.bfloat16])
def test_like_casts_to_the_tensors_dtype(dtype):
    x = torch.ones(2, 3, 4, dtype=dtype)
    c = like(np.array([1 / 3, 2 / 3]), x)
    assert c.dtype == dtype and c.shape == (2, 1, 1)
    assert torch.equal(c.flatten(), torch.tensor([1 / 3, 2 / 3], dtype=torch.float64).to(dtype))
    assert like(0.1, x).dtype == dtype and like(np.float64(0.1), x).shape == ()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_like_casts_to_the_arrays_dtype(dtype):
    x = np.ones((2, 3), dtype=dtype)
    assert (like(0.1, x) * x).dtype == dtype and (like(np.array([0.1, 0.2]), x) * x).dtype == dtype


def test_like_reckons_integers_in_floating_point():
    assert like(0.5, np.arange(3)) == 0.5 and (like(0.5, torch.arange(3)) * torch.arange(3)).tolist() == [0, 0.5, 1]
    assert real(np.arange(3)).dtype == np.float64 and real(torch.arange(3)).dtype == torch.float32
    x = np.ones(3, dtype=np.float32)
    assert real(x) is x or (real(x).dtype == np.float32 and np.shares_memory(real(x), x))


def test_like_is_per_example_also_when_batch_and_features_agree():
    x = np.ones((2, 2))
    np.testing.assert_array_equal(like(np.array([1.0, 5.0]), x) * x, [[1, 1], [5, 5]])
    np.testing.assert_array_equal(per_example(torch.tensor([1.0, 5.0]), x.copy()), [[1], [5]])


@pytest.mark.parametrize("c, x", [((3,), (2, 4)), ((2, 1), (2, 3, 4)), ((3,), (4,)), ((3, 1), (2, 4)), ((3,), ())])
def test_like_refuses_what_does_not_fit(c, x):
    for array in (np.ones(x), torch.ones(x)):
        with pytest.raises(ValueError, match="does not fit"):
            like(np.ones(c), array)


def test_like_refuses_a_tensor_for_a_numpy_array():
    with pytest.raises(TypeError, match="mixed"):
        like(torch.ones(2), np.ones((2, 3)))


def test_normal_follows_generator_and_array():
    a, b = normal(np.random.default_rng(3)), normal(np.random.default_rng(3))
    x = a(np.zeros((4, 5)))
    assert np.array_equal(x, b(np.zeros((4, 5)))) and not np.array_equal(x, b(np.zeros((4, 5))))
    assert a(np.zeros((2, 2), np.float32)).dtype == np.float32 and a(torch.zeros(2, dtype=torch.float64)).dtype == torch.float64
    t1, t2 = (normal(torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(t1(torch.zeros(3, 2)), t2(torch.zeros(3, 2)))
    with pytest.raises(TypeError, match="torch tensors"):
        t1(np.zeros(3))


def test_noise_for_integers_is_not_truncated():
    for x in (np.zeros(1000, dtype=np.int64), torch.zeros(1000, dtype=torch.int64)):
        noise = normal(np.random.default_rng(0))(x)
        assert abs(float(noise.std()) - 1) < 0.1 and len(set(noise.tolist())) > 900
    assert normal(torch.Generator().manual_seed(0))(torch.zeros(9, dtype=torch.int64)).dtype == torch.float32


@pytest.mark.parametrize("rng", [0, None, np.random.RandomState(0), "seed", np.random])
def test_normal_refuses_other_generators(rng):
    with pytest.raises(TypeError, match="numpy.random.Generator or torch.Generator"):
        normal(rng)


@pytest.mark.parametrize("x", [-60.0, -12.0, -3.0, -0.1, 0.0, 0.4, 3.0, 9.0])
def test_log_ndtr_against_fifty_digits(x):
    mpmath.mp.dps = 50
    exact = float(mpmath.log(mpmath.ncdf(mpmath.mpf(x))))
    assert math.isclose(float(log_ndtr(np.float64(x))), exact, rel_tol=1e-12)
    assert math.isclose(float(log_ndtr(torch.tensor(x, dtype=torch.float64))), exact, rel_tol=1e-10)


@pytest.mark.parametrize("a, b", [(0.0, -1e-9), (-700.0, -700.5), (-5000.0, -5001.0), (-3.0, -800.0)])
def test_log_sub_exp_against_fifty_digits(a, b):
    mpmath.mp.dps = 50
    exact = float(mpmath.log(mpmath.exp(a) - mpmath.exp(b)))
    assert math.isclose(float(log_sub_exp(np.float64(a), np.float64(b))), exact, rel_tol=1e-12)
    assert math.isclose(
        float(log_sub_exp(torch.tensor(a, dtype=torch.float64), torch.tensor(b, dtype=torch.float64))), exact, rel_tol=1e-12
    )


def test_sum_features():
    x = np.arange(24.0).reshape(2, 3, 4)
    assert sum_features(x).tolist() == [math.fsum(range(12)), math.fsum(range(12, 24))]
    assert sum_features(torch.from_numpy(x)).tolist() == [66.0, 210.0]
    assert sum_features(np.array([1.0, 2.0])).tolist() == [1, 2] and sum_features(np.zeros((0, 3))).shape == (0,)


@pytest.mark.parametrize("array", DTYPES)
def test_slope_along_of_a_quadratic_map_by_hand(array):
    """f_i(x) = x^T A_i x has the Jacobian x^T (A_i + A_i^T): z^T J z, example by example, for z of any length."""
    A = np.random.default_rng(0).standard_normal((3, 3, 3))
    x, z = batch((5, 3), array, 1), 2 * batch((5, 3), array, 2)

    def quadratic(x):
        own = torch.tensor(A, dtype=x.dtype) if torch.is_tensor(x) else A.astype(x.dtype)
        return namespace(x).einsum("iab,na,nb->ni", own, x, x)

    got = slope_along(quadratic, x, z)
    assert got.shape == (5,) and got.dtype == x.dtype
    tolerance = {"numpy32": 0.02, "torch32": 1e-4}.get(array, 1e-8)
    for n in range(5):
        J = [[sum(float(numbers(x)[n, a]) * (A[i, a, j] + A[i, j, a]) for a in range(3)) for j in range(3)] for i in range(3)]
        by_hand = sum(numbers(z)[n, i] * J[i][j] * numbers(z)[n, j] for i in range(3) for j in range(3))
        assert float(got[n]) == pytest.approx(by_hand, abs=tolerance)


@pytest.mark.parametrize("array", DTYPES)
@pytest.mark.parametrize("shape", [(4,), (4, 3), (2, 1, 2, 3)])
def test_slope_along_of_the_sine(shape, array):
    x, z = batch(shape, array, 3), batch(shape, array, 4)
    got = slope_along(torch.sin if torch.is_tensor(x) else np.sin, x, z)
    expected = (numbers(z) ** 2 * np.cos(numbers(x))).reshape(shape[0], -1).sum(1)
    np.testing.assert_allclose(numbers(got), expected, atol={"numpy32": 0.01, "torch32": 1e-5}.get(array, 1e-9))


def test_one_hot_slopes_sum_to_the_divergence_and_touch_nobodys_gradients():
    net = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3)).double()
    x = batch((4, 3), "torch64", 5).requires_grad_()
    with torch.no_grad():  # as within a sampler
        total = sum(slope_along(net, x, torch.zeros_like(x) + e) for e in torch.eye(3, dtype=torch.float64))
    for i in range(4):
        trace = torch.autograd.functional.jacobian(lambda row: net(row[None])[0], x[i].detach()).trace()
        torch.testing.assert_close(total[i], trace, rtol=1e-10, atol=1e-12)
    assert x.grad is None and all(p.grad is None for p in net.parameters()) and not total.requires_grad


def test_no_grad():
    with arrays.no_grad(torch.zeros(1)):
        assert not torch.is_grad_enabled()
    with arrays.no_grad(np.zeros(1)):
        assert torch.is_grad_enabled()


def test_importing_the_mathematics_does_not_import_torch():
    code = "import minidiff, sys; assert 'torch' not in sys.modules; import numpy as np; minidiff.marginal(minidiff.Schedule.linear(), np.ones((1, 2)), 5)"  # noqa: E501
    subprocess.run([sys.executable, "-c", code + "; assert 'torch' not in sys.modules"], check=True)
