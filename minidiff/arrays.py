"""The only file that knows two array libraries.

The mathematics of minidiff is written once and runs on NumPy arrays and on torch tensors. Coefficients that depend on
the time alone are float64 NumPy; `like` is the single gate through which they meet the reader's array. torch is imported
by nobody here until somebody hands in a tensor.
"""

from __future__ import annotations

import contextlib
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
    """
    tensors = [is_torch(a) for a in arrays]
    if not any(tensors):
        for a in arrays:
            if not isinstance(a, (np.ndarray, np.generic, int, float)):
                raise TypeError(f"expected a NumPy array or a torch tensor, got {type(a).__name__}")
        return np
    for a, tensor in zip(arrays, tensors, strict=True):
        if not tensor and np.ndim(a) > 0:
            raise TypeError("NumPy arrays and torch tensors are mixed: convert one with torch.from_numpy(a) or a.numpy()")
    return sys.modules["torch"]


def like(c: Array, x: Array) -> Array:
    """The coefficient c as an array that multiplies x: same library, dtype and device, shape (B, 1, ..., 1) if c is (B,).

    c: a number, a NumPy array of shape (B,) with B = len(x), or anything that already has as many axes as x (returned in
    x's library). The cast comes last: c is float64 until here. Raises ValueError if (B,) does not fit x.
    Checked by tests/test_arrays.py.
    """
    if is_torch(c):
        return c if c.ndim in (0, x.ndim) else c.reshape(c.shape + (1,) * (x.ndim - c.ndim))
    c = np.asarray(c, dtype=np.float64)
    if c.ndim not in (0, x.ndim):
        if c.ndim != 1 or (len(c) != len(x) and len(x) != 1):
            raise ValueError(f"a coefficient of shape {c.shape} does not fit an array of shape {tuple(x.shape)}: one number, or one for each of its {len(x)} examples")
        c = c.reshape(c.shape + (1,) * (x.ndim - 1))
    if is_torch(x):
        torch = sys.modules["torch"]
        dtype = x.dtype if x.is_floating_point() else torch.get_default_dtype()
        return torch.as_tensor(c, dtype=dtype, device=x.device)
    dtype = x.dtype if np.issubdtype(np.asarray(x).dtype, np.floating) else np.float64
    return c.astype(dtype)[()]


def normal(rng: Any) -> Draw:
    """draw(x): standard normal noise shaped like x, from a NumPy Generator or a torch.Generator.

    The generator decides the stream, x the shape, dtype and device; torch noise is drawn on the generator's device and
    moved, so a seed means the same numbers on every device. Raises TypeError for anything else (an int, a legacy
    RandomState): pass numpy.random.default_rng(seed) or torch.Generator().manual_seed(seed).
    """
    if isinstance(rng, np.random.Generator):

        def draw(x: Array) -> Array:
            noise = rng.standard_normal(tuple(x.shape))
            if is_torch(x):
                return sys.modules["torch"].as_tensor(noise, dtype=x.dtype, device=x.device)
            return noise.astype(x.dtype)

        return draw
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(rng, torch.Generator):

        def draw_torch(x: Array) -> Array:
            if not is_torch(x):
                raise TypeError("a torch.Generator draws noise for torch tensors; for NumPy arrays use numpy.random.default_rng(seed)")
            return torch.randn(x.shape, generator=rng, dtype=x.dtype, device=rng.device).to(x.device)

        return draw_torch
    raise TypeError(f"expected numpy.random.Generator or torch.Generator, got {type(rng).__name__}")


def log_ndtr(x: Array) -> Array:
    """log of the standard normal distribution function, exact far into both tails."""
    return sys.modules["torch"].special.log_ndtr(x) if is_torch(x) else scipy.special.log_ndtr(x)


def log_sub_exp(a: Array, b: Array) -> Array:
    """log(exp(a) - exp(b)) for a > b, without leaving the log domain: a + log1p(-exp(b - a))."""
    xp = namespace(a, b)
    return a + xp.log1p(-xp.exp(b - a))


def sum_features(x: Array) -> Array:
    """Sum over all axes but the first: (B, ...) -> (B,)."""
    return x.reshape(x.shape[0], -1).sum(-1)


def no_grad(x: Array) -> contextlib.AbstractContextManager[Any]:
    """torch.no_grad() if x is a tensor, otherwise a context that does nothing."""
    return sys.modules["torch"].no_grad() if is_torch(x) else contextlib.nullcontext()
