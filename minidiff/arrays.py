"""The only file that knows two array libraries.

The mathematics of minidiff is written once and runs on NumPy arrays and on torch tensors. Coefficients that depend on
the time alone are float64 NumPy; `like` is the single gate through which they meet the reader's array. torch is imported
by nobody here until somebody hands in a tensor.
"""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import scipy.special

Array: TypeAlias = Any  # a NumPy array or a torch tensor; the two share no base class that a type checker could name
Draw: TypeAlias = Callable[[Any], Any]


def is_torch(x: object) -> bool:
    """Whether x is a torch tensor, without importing torch to find out."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def namespace(*arrays: Array) -> Any:
    """The library that all of `arrays` belong to: the module `numpy` or the module `torch`.

    Python and NumPy scalars belong to either. Raises TypeError when NumPy arrays and torch tensors are mixed, or when
    something is neither. Checked by tests/test_arrays.py.

    >>> namespace(np.zeros(3), 2.0).__name__
    'numpy'
    """
    tensors = [is_torch(a) for a in arrays]
    for a, tensor in zip(arrays, tensors, strict=True):
        if not tensor and not isinstance(a, (np.ndarray, np.generic, int, float)):
            raise TypeError(f"expected a NumPy array or a torch tensor, got {type(a).__name__}")
        if not tensor and any(tensors) and np.ndim(a) > 0:
            raise TypeError("NumPy arrays and torch tensors are mixed: convert one with torch.from_numpy(a) or a.numpy()")
    return sys.modules["torch"] if any(tensors) else np


def like(c: Array, x: Array) -> Array:
    """The coefficient c as an array that multiplies x: same library, dtype and device, shape (B, 1, ..., 1) if c is (B,).

    c: a number, a NumPy array of shape (B,) with B = len(x), or anything that already has as many axes as x (returned in
    x's library). The cast comes last: c is float64 until here. Raises ValueError if c does not fit x.
    Checked by tests/test_arrays.py.

    >>> like(np.array([1.0, 2.0]), np.ones((2, 3), dtype=np.float32)) * np.ones((2, 3), dtype=np.float32)
    array([[1., 1., 1.],
           [2., 2., 2.]], dtype=float32)
    """
    if is_torch(c):
        namespace(c, x)
        return per_example(c, x)
    x = x if is_torch(x) else np.asarray(x)
    shape = np.shape(c)
    if len(shape) == 1 and x.ndim > 1 and shape[0] != len(x) and len(x) != 1:
        raise ValueError(f"a coefficient of shape {shape} does not fit {tuple(x.shape)}: one number, or one for each example")
    c = np.asarray(per_example(c, x), dtype=np.float64)
    if c.ndim not in (0, x.ndim) or any(m != n and 1 not in (m, n) for m, n in zip(c.shape, x.shape, strict=False)):
        raise ValueError(f"a coefficient of shape {shape} does not fit an array of shape {tuple(x.shape)}")
    if is_torch(x):
        return sys.modules["torch"].as_tensor(c, dtype=float_dtype(x), device=x.device)
    return c.astype(float_dtype(x))[()]


def per_example(c: Array, x: Array) -> Array:
    """c with shape (B, 1, ..., 1) if it is (B,) and x has more axes, otherwise c itself; not cast (see `like`).

    >>> per_example(np.array([0.1, 0.2]), np.ones((2, 3, 4))).shape
    (2, 1, 1)
    """
    c = c if is_torch(c) else np.asarray(c)[()]
    return c.reshape(tuple(c.shape) + (1,) * (x.ndim - 1)) if c.ndim == 1 and x.ndim > 1 else c


def float_dtype(x: Array) -> Any:
    """The dtype of x if that is floating point, otherwise float64 (torch: its default), in which integers are reckoned."""
    if is_torch(x):
        return x.dtype if x.is_floating_point() else sys.modules["torch"].get_default_dtype()
    return x.dtype if np.issubdtype(x.dtype, np.floating) else np.dtype(np.float64)


def real(x: Array) -> Array:
    """x itself if it is floating point; integers as floating point."""
    return x.to(float_dtype(x)) if is_torch(x) else np.asarray(x, dtype=float_dtype(x))


def normal(rng: Any) -> Draw:
    """draw(x): standard normal noise shaped like x, from a NumPy Generator or a torch.Generator.

    The generator decides the stream, x the shape, dtype and device; torch noise is drawn on the generator's device and
    moved, so a seed means the same numbers on every device. Raises TypeError for anything else (an int, a legacy
    RandomState): pass numpy.random.default_rng(seed) or torch.Generator().manual_seed(seed).

    >>> draw = normal(np.random.default_rng(0))
    >>> draw(np.zeros((2, 3), dtype=np.float32)).dtype
    dtype('float32')
    """
    if isinstance(rng, np.random.Generator):

        def draw(x: Array) -> Array:
            namespace(x)
            return like(rng.standard_normal(np.shape(x)), x)

        return draw
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(rng, torch.Generator):

        def draw_torch(x: Array) -> Array:
            if not is_torch(x):
                raise TypeError("a torch.Generator draws noise for torch tensors; for NumPy use numpy.random.default_rng(seed)")
            return torch.randn(x.shape, generator=rng, dtype=float_dtype(x), device=rng.device).to(x.device)

        return draw_torch
    raise TypeError(f"expected numpy.random.Generator or torch.Generator, got {type(rng).__name__}")


def check_draw(draw: Any) -> None:
    """Raise TypeError unless draw is a function; the usual slip is to pass the generator itself."""
    if not callable(draw):
        raise TypeError(f"draw must be a function draw(x) -> noise, e.g. arrays.normal(rng); got {type(draw).__name__}")


def log_ndtr(x: Array) -> Array:
    """log of the standard normal distribution function, exact far into both tails.

    >>> float(log_ndtr(np.float64(-40.0))).__round__(4)
    -804.6084
    """
    return sys.modules["torch"].special.log_ndtr(x) if is_torch(x) else scipy.special.log_ndtr(x)


def log_sub_exp(a: Array, b: Array) -> Array:
    """log(exp(a) - exp(b)) for a > b, without leaving the log domain: a + log(1 - exp(b - a))."""
    xp = namespace(a, b)
    return a + xp.log(-xp.expm1(b - a))


def same_shape(names: str, a: Array, b: Array) -> None:
    """Raise ValueError unless a and b have one shape, TypeError unless they are of one library."""
    namespace(a, b)
    if np.shape(a) != np.shape(b):
        raise ValueError(f"{names} must have one shape; got {tuple(np.shape(a))} and {tuple(np.shape(b))}")


def sum_features(x: Array) -> Array:
    """Sum over all axes but the first: (B, ...) -> (B,).

    >>> sum_features(np.ones((2, 3, 4)))
    array([12., 12.])
    """
    if x.ndim == 0:
        raise ValueError("a sum over features needs shape (B, ...), the examples first; got a single number")
    return x.reshape(x.shape[0], math.prod(x.shape[1:])).sum(-1)


def slope_along(f: Callable[[Array], Array], x: Array, z: Array) -> Array:
    """z^T (df/dx) z for each example, (B,): the part of f's Jacobian seen along z. One-hot z, summed: the divergence of f.

    f maps (B, ...) to the same shape, example by example. Tensors: exact, by automatic differentiation; ValueError if f lets no
    gradient through. NumPy: differences of fourth order along z, good to about 1e-6 (float32: 1e-3). Checked by
    tests/test_arrays.py (a quadratic map; sin, in both libraries).

    >>> slope_along(lambda x: 3.0 * x, np.ones((2, 3)), np.eye(3)[[0, 1]]).round(9)
    array([3., 3.])
    """
    same_shape("x and z", x, z)
    if is_torch(x):
        torch = sys.modules["torch"]
        with torch.enable_grad():
            at = real(x.detach()).requires_grad_()
            out = (f(at) * z).sum()
            if not out.requires_grad:
                raise ValueError("no gradient flows from f(x) back to x: f is constant, or computed under torch.no_grad")
            (pulled,) = torch.autograd.grad(out, at)
        return sum_features(pulled * z)
    h = 1e-3
    near, far = (f(x + k * h * z) - f(x - k * h * z) for k in (1, 2))
    return sum_features((8 * near - far) / (12 * h) * z)


def no_grad(x: Array) -> contextlib.AbstractContextManager[Any]:
    """torch.no_grad() if x is a tensor, otherwise a context that does nothing."""
    return sys.modules["torch"].no_grad() if is_torch(x) else contextlib.nullcontext()
