"""A network, its backward pass and Adam, in plain NumPy: what `loss.backward()` and `optimizer.step()` do, line by line.

For any array a on the way to a number L, grad_a is dL/da, in the shape of a. Each function comes with a partner `..._backward`
that takes the gradient at its output to the gradients at its inputs: J^T grad, without ever forming the Jacobian J.
Everything is float64, so that a gradient can be checked to eight digits. Checked by tests/test_by_hand.py (central differences,
autograd, torch.optim.Adam); derived in notebook 06.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Arrays = dict[str, Float]

# -- functions and their partners ----------------------------------------------------------------------------------------


def linear(x: Float, W: Float, b: Float) -> Float:
    """x W + b: (B, m), (m, n), (n,) -> (B, n)."""
    return x @ W + b


def linear_backward(grad: Float, x: Float, W: Float) -> tuple[Float, Float, Float]:
    """At x: grad W^T. At W: x^T grad. At b: the sum of grad over the batch, because b went into every row."""
    return grad @ W.T, x.T @ grad, grad.sum(0)


def sigmoid(z: Float) -> Float:
    """1 / (1 + exp(-z)), in the form that cannot overflow."""
    return 0.5 * (1 + np.tanh(0.5 * z))


def silu(z: Float) -> Float:
    """z sigmoid(z), element by element. Hendrycks & Gimpel 2016; Elfwing et al. 2017."""
    return z * sigmoid(z)


def silu_backward(grad: Float, z: Float) -> Float:
    """At z: grad times the slope s (1 + z (1 - s)), s = sigmoid(z), because ds/dz = s (1 - s)."""
    s = sigmoid(z)
    return grad * s * (1 + z * (1 - s))


def squared_error(out: Float, target: Float) -> float:
    """The mean of (out - target)^2 over the batch and the features."""
    return float(np.mean((out - target) ** 2))


def squared_error_backward(out: Float, target: Float) -> Float:
    """At out: 2 (out - target) / (number of entries)."""
    return 2 * (out - target) / out.size


def sinusoidal(t: Any, dim: int, max_period: float = 10_000.0) -> Float:
    """cos(t w_i), sin(t w_i) with w_i = max_period^(-i / (dim/2)): (B,) -> (B, dim). No parameters, so no partner.

    Source: Vaswani et al. 2017, section 3.5; the same features as `minidiff.nn.embed.sinusoidal`. `dim` must be even.
    """
    if dim < 2 or dim % 2:
        raise ValueError(f"dim must be even, half cosines and half sines; got {dim}")
    frequency = max_period ** (-np.arange(dim // 2) / (dim // 2))
    angle = np.asarray(t, dtype=np.float64)[:, None] * frequency
    return np.concatenate([np.cos(angle), np.sin(angle)], axis=1)


# -- the network -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kept:
    """What forward leaves for backward: each function's input. layers: (h_{k-1}, z_k) for k = 1..depth."""

    features: Float
    z_time: Float
    e: Float
    layers: list[tuple[Float, Float]]
    h: Float


class HandMLP:
    """A perceptron for points, told the time: network(x_t, t) -> (B, dim), for x_t (B, dim) and t (B,), both NumPy.

        e   = silu(sinusoidal(t) W_time + b_time)                 the time embedding, (B, width)
        z_k = h_{k-1} W_k + b_k + e U_k,   h_k = silu(z_k)        k = 1..depth, h_0 = x_t
        out = h_depth W_out + b_out

    params: a plain dict of float64 arrays under these names (`W_time`, `W_1`, ...). The last layer starts at zero: the untrained network
    says 0. Raises TypeError for anything but float64 NumPy, ValueError for a wrong shape.
    """

    params: Arrays
    kept: Kept | None

    def __init__(self, rng: np.random.Generator, dim: int = 2, width: int = 64, depth: int = 3, features: int = 16) -> None:
        if min(dim, width, depth) < 1:
            raise ValueError(f"needed: dim, width, depth >= 1; got {dim}, {width}, {depth}")

        def weights(m: int, n: int) -> Float:
            return rng.standard_normal((m, n)) / math.sqrt(m)  # the sum over m inputs of size 1 is of size 1 again

        sinusoidal(np.zeros(1), features)  # an odd number of features is refused now, not at the first call
        self.dim, self.depth, self.features, self.kept = dim, depth, features, None
        self.params = {"W_time": weights(features, width), "b_time": np.zeros(width)}
        for k in range(1, depth + 1):
            self.params[f"W_{k}"] = weights(dim if k == 1 else width, width)
            self.params[f"b_{k}"] = np.zeros(width)
            self.params[f"U_{k}"] = weights(width, width)
        self.params |= {"W_out": np.zeros((width, dim)), "b_out": np.zeros(dim)}

    def forward(self, x_t: Float, t: Any) -> Float:
        """The answer, (B, dim); what `backward` will need stays in `kept`."""
        _float64("x_t", x_t, (None, self.dim))
        if np.ndim(t) != 1 or len(t) != len(x_t):
            raise ValueError(f"t must be a row of {len(x_t)} numbers, one for each point; got shape {np.shape(t)}")
        p = self.params
        features = sinusoidal(t, self.features)
        z_time = linear(features, p["W_time"], p["b_time"])
        e, h, layers = silu(z_time), x_t, []
        for k in range(1, self.depth + 1):
            z = linear(h, p[f"W_{k}"], p[f"b_{k}"]) + e @ p[f"U_{k}"]
            layers.append((h, z))
            h = silu(z)
        self.kept = Kept(features, z_time, e, layers, h)
        return linear(h, p["W_out"], p["b_out"])

    def backward(self, grad_out: Float) -> Arrays:
        """From dL/d out, (B, dim), the gradient of L at every parameter: the lines of `forward`, from the last to the first.

        Uses up what the last `forward` kept; RuntimeError if there was none since.
        """
        if self.kept is None:
            raise RuntimeError("backward needs what forward kept, and uses it up: call forward before each backward")
        p, kept, grads = self.params, self.kept, {}
        _float64("grad_out", grad_out, (len(kept.h), self.dim))
        self.kept = None
        grad_h, grads["W_out"], grads["b_out"] = linear_backward(grad_out, kept.h, p["W_out"])
        grad_e = np.zeros_like(kept.e)
        for k in range(self.depth, 0, -1):
            h, z = kept.layers[k - 1]
            grad_z = silu_backward(grad_h, z)
            grad_h, grads[f"W_{k}"], grads[f"b_{k}"] = linear_backward(grad_z, h, p[f"W_{k}"])
            grads[f"U_{k}"] = kept.e.T @ grad_z
            grad_e += grad_z @ p[f"U_{k}"].T  # e went into every layer: what comes back from each is added
        grad_z = silu_backward(grad_e, kept.z_time)
        _, grads["W_time"], grads["b_time"] = linear_backward(grad_z, kept.features, p["W_time"])
        return grads


def _float64(name: str, a: Any, shape: tuple[int | None, ...]) -> None:
    """TypeError unless a is a float64 NumPy array, ValueError unless it has the shape; None: any length."""
    if not isinstance(a, np.ndarray) or a.dtype != np.float64:
        got = f"{a.dtype} array" if isinstance(a, np.ndarray) else type(a).__name__
        raise TypeError(f"{name} must be a float64 NumPy array; got a {got} (np.asarray(x, dtype=np.float64) converts)")
    if a.ndim != len(shape) or any(want not in (None, n) for want, n in zip(shape, a.shape, strict=True)):
        wanted = ", ".join("B" if n is None else str(n) for n in shape)
        raise ValueError(f"{name} must be ({wanted}); got {a.shape}")


# -- the check, and the step -----------------------------------------------------------------------------------------------


def by_differences(loss: Callable[[], float], array: Float, h: float = 1e-5) -> Float:
    """dL/da at every entry of the array by central differences, (L(a + h) - L(a - h)) / 2h; loss() reads the array each time.

    Off by about h^2 L'''/6 (cut off) + 1e-16 |L| / h (rounding). Two calls for each number: to check a gradient, not to train.

    >>> a = np.array([1.0, 2.0])
    >>> by_differences(lambda: float((a**3).sum()), a).round(6)
    array([ 3., 12.])
    """
    grad = np.zeros_like(array)
    for i in np.ndindex(array.shape):
        middle = array[i]
        array[i] = middle + h
        up = loss()
        array[i] = middle - h
        grad[i] = (up - loss()) / (2 * h)
        array[i] = middle
    return grad


class Adam:
    """theta <- theta - lr (m / (1 - b_1^k)) / (sqrt(v / (1 - b_2^k)) + eps), element by element, at step k = 1, 2, ...

    m and v are running means of the gradient and of its square, m <- b_1 m + (1 - b_1) g and v <- b_2 v + (1 - b_2) g^2. They start at
    0, so after k steps their weights sum to 1 - b^k only: hence the divisions. steps: if given, lr falls to 0 as a half cosine.
    Source: Kingma & Ba 2015, Algorithm 1. Changes the arrays of params in place. Checked against torch.optim.Adam.
    """

    def __init__(
        self, params: Arrays, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, steps: int | None = None
    ) -> None:
        if not (lr > 0 and eps > 0 and all(0 <= b < 1 for b in betas) and (steps is None or steps >= 1)):
            raise ValueError(f"needed: lr > 0, eps > 0, betas in [0, 1), steps >= 1 or None; got {lr}, {eps}, {betas}, {steps}")
        self.params, self.lr, self.betas, self.eps, self.steps, self.k = params, lr, betas, eps, steps, 0
        self.m, self.v = ({name: np.zeros_like(a) for name, a in params.items()} for _ in range(2))

    def lr_at(self, k: int) -> float:
        """The learning rate of step k (1 is the first)."""
        return self.lr if self.steps is None else self.lr * 0.5 * (1 + math.cos(math.pi * min(1.0, (k - 1) / self.steps)))

    def step(self, grads: Mapping[str, Float]) -> None:
        """One step down. Raises ValueError unless there is one gradient for each parameter, in its shape."""
        shapes, wanted = ({name: np.shape(a) for name, a in arrays.items()} for arrays in (grads, self.params))
        if shapes != wanted:
            wrong = sorted(name for name in shapes.keys() | wanted.keys() if shapes.get(name) != wanted.get(name))
            raise ValueError(f"one gradient for each parameter, in its shape; wrong or missing: {', '.join(wrong)}")
        self.k += 1
        (b_1, b_2), lr = self.betas, self.lr_at(self.k)
        for name, theta in self.params.items():
            g, m, v = grads[name], self.m[name], self.v[name]
            m += (1 - b_1) * (g - m)
            v += (1 - b_2) * (g**2 - v)
            theta -= lr * (m / (1 - b_1**self.k)) / (np.sqrt(v / (1 - b_2**self.k)) + self.eps)
