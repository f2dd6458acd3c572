"""Exercises of notebook 06: two gradients by hand, Adam's first step without its corrections, another target."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from minidiff.course.exercise import Exercise, Function

Arrays = dict[Any, np.ndarray]


def _silu_slope(z: np.ndarray) -> np.ndarray:
    s = 1 / (1 + np.exp(-z))
    return np.asarray(s * (1 + z * (1 - s)))


def _time_gradient(g_z: Arrays, p: Arrays, kept: Any) -> np.ndarray:
    """By torch's autograd: a loss whose gradients at z_1, z_2, z_3 are the given ones."""
    import torch

    f, z_time = torch.tensor(kept.features), torch.tensor(kept.z_time)
    W = torch.zeros(f.shape[1], z_time.shape[1], dtype=z_time.dtype, requires_grad=True)
    e = torch.nn.functional.silu(z_time + f @ W)
    loss = torch.stack([(torch.tensor(g_z[k]) * (e @ torch.tensor(p[f"U_{k}"]))).sum() for k in (1, 2, 3)]).sum()
    return np.asarray(torch.autograd.grad(loss, W)[0])


def _back_to_e(g_z: Arrays, p: Arrays, layers: tuple[int, ...] = (1, 2, 3)) -> np.ndarray:
    return np.asarray(sum(g_z[k] @ p[f"U_{k}"].T for k in layers))


def _only(layer: int) -> Function:
    return lambda g_z, p, kept: kept.features.T @ (_back_to_e(g_z, p, (layer,)) * _silu_slope(kept.z_time))


def _not_transposed(g_z: Arrays, p: Arrays, kept: Any) -> np.ndarray:
    return np.asarray(kept.features.T @ (sum(g_z[k] @ p[f"U_{k}"] for k in (1, 2, 3)) * _silu_slope(kept.z_time)))


def _input_gradient(g_z: Arrays, p: Arrays) -> np.ndarray:
    """By torch's autograd: z_1 = x W_1 + ..., and x goes nowhere else."""
    import torch

    W = torch.tensor(p["W_1"])
    x = torch.zeros(len(g_z[1]), W.shape[0], dtype=W.dtype, requires_grad=True)
    return np.asarray(torch.autograd.grad((torch.tensor(g_z[1]) * (x @ W)).sum(), x)[0])


def _pass(batch: int = 5, width: int = 4) -> tuple[Arrays, Arrays, Any]:
    """Random numbers in the shapes of a network of this width: gradients, parameters, what the forward pass has kept."""
    rng = np.random.default_rng(6)
    p: Arrays = {name: rng.standard_normal((width, width)) for name in ("U_1", "U_2", "U_3", "W_2", "W_3")}
    p |= {"W_1": rng.standard_normal((2, width)), "W_time": rng.standard_normal((6, width))}
    features = rng.standard_normal((batch, 6))
    z_time = features @ p["W_time"]
    kept = SimpleNamespace(features=features, z_time=z_time, e=z_time / (1 + np.exp(-z_time)))
    return {k: rng.standard_normal((batch, width)) for k in (1, 2, 3)}, p, kept


def _first_step(correct_m: bool = False, correct_v: bool = False, root: bool = True) -> float:
    """One step of Adam on a gradient of -7, by its algorithm; every number of the gradient cancels but its sign."""
    g, beta_1, beta_2 = -7.0, 0.9, 0.999
    m, v = (1 - beta_1) * g, (1 - beta_2) * g**2
    m, v = m / (1 - beta_1 if correct_m else 1), v / (1 - beta_2 if correct_v else 1)
    return float(abs(m) / (v**0.5 if root else v / abs(g)))


EXERCISES = (
    Exercise(
        "gradient of the time embedding", "06", "section 4: a value that is used three times", _time_gradient, {
            "that of layer 1 alone: e went into three layers": _only(1), "that of layer 3 alone: e went into three layers": _only(3),
            "without the slope of SiLU at z_time": lambda g_z, p, kept: kept.features.T @ _back_to_e(g_z, p),
            "with U_k where U_k^T belongs (square: no shape complains)": _not_transposed,
            "the mean over the three layers, not the sum": lambda g_z, p, kept: (
                kept.features.T @ (_back_to_e(g_z, p) * _silu_slope(kept.z_time)) / 3
            ),
            "with the slope of SiLU at e, not at z_time": lambda g_z, p, kept: (
                kept.features.T @ (_back_to_e(g_z, p) * _silu_slope(kept.e))
            ),
        },
        _pass, points=2,
    ),
    Exercise(
        "gradient at the input", "06", "section 6", _input_gradient, {
            "with all three layers added: only the first was given x_t": lambda g_z, p: sum(g_z[k] for k in (1, 2, 3)) @ p["W_1"].T,
            "of layer 3, not of layer 1": lambda g_z, p: g_z[3] @ p["W_1"].T,
            "without the slope of SiLU in layer 1": lambda g_z, p: g_z[2] @ p["W_2"].T @ p["W_1"].T,
            "the mean over the batch": lambda g_z, p: np.broadcast_to((g_z[1] @ p["W_1"].T).mean(0), (len(g_z[1]), 2)),
        },
        lambda: _pass()[:2],
    ),
    Exercise(
        "Adam without its divisions", "06", "section 8", _first_step, {
            "that of Adam as it is": lambda: _first_step(True, True), "without the square root of v": lambda: _first_step(root=False),
            "the other way up": lambda: 1 / _first_step(), "only m's division left out": lambda: _first_step(False, True),
            "only v's division left out": lambda: _first_step(True, False),
        },
        rtol=2e-3,
    ),
    Exercise(
        "what another target changes", "06", "section 2: one rule", lambda: "minidiff/learn/by_hand.py", {
            "no: a backward pass knows a number L and how it was computed, not what it means": lambda: "minidiff/nn/by_hand.py",
            "one of the two stays as it is; which of them mentions eps?": lambda: "both",
        },
    ),
)  # fmt: skip
