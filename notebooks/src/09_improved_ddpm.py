# %% [markdown]
# # 09 · Can a network learn how unsure to be, and what does a better bound buy?
#
# Notebook 04 left a question open. The choice of $\sigma_t^2$ costs half a nat per dimension, and the best choice needs a number that nobody has for real data: the error of the
# ideal denoiser at each $t$. *Improved DDPM* lets the network say its own variance. Here the best variance is known exactly, so we can see whether a network finds it.
#
# **When you have worked through it you can**
# * say why the variance is learned between $\tilde\beta_t$ and $\beta_t$, why in logarithms, and why the answer must not be clamped,
# * write the best answer in closed form, and measure a trained network against it at every $t$,
# * say what the stop-gradient in $L_{\rm hybrid}$ does, prove it by autograd, and show what goes wrong without it,
# * draw $t$ where the loss is worth it, without bias, and say by which factor that helps the loss and by which the *gradient*,
# * explain how a model can have a better bound and worse samples, with every number exact,
# * say when a learned variance pays: with few steps.
#
# You need notebooks 04 (the bound) and 07 (training in the plane).

# %%
from minidiff.notebook import budget, check, plots, setup

rng = setup(seed=9)

# %%
from functools import partial
from itertools import pairwise
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import torch

from minidiff import ExactDenoiser, GaussianMixture, Prediction, Schedule, bits_per_dim, ddpm, density_term, from_output, last, marginal
from minidiff import optimal_variance, reverse_transition, toy, variational_bound
from minidiff.arrays import normal
from minidiff.learn import LossAwareTimes, NetworkDenoiser, Training, fit, hybrid_loss, simple_loss, vlb_loss
from minidiff.metrics import sliced_wasserstein
from minidiff.nn import MLP
from minidiff.process import posterior_variance, posterior_weights
from minidiff.reverse import fixed_variance
from minidiff.verify import show

# %% [markdown]
# The data are the four Gaussians of notebook 04: one dimension, mean 0, variance 1. In one dimension every average over $x_t$ is a sum on a grid, so all that is said below about bounds, variances and even the
# model's own law is exact: **no sampling noise, and nothing hidden in it**. For each schedule we need four curves: $p(x_t)$, $\mathbb{E}[x_0\mid x_t]$, $\mathrm{Var}(x_0\mid x_t)$, and
# $\mathrm{mmse}_t=\mathbb{E}\,\mathrm{Var}(x_0\mid x_t)$.

# %%
w, m, s = np.array([0.3, 0.2, 0.4, 0.1]), np.array([-1.2, -0.3, 0.6, 1.9]), np.array([0.12, 0.08, 0.14, 0.1])
shift, scale = w @ m, np.sqrt(w @ (m**2 + s**2) - (w @ m) ** 2)
data = GaussianMixture(w, ((m - shift) / scale)[:, None], (s / scale) ** 2)
grid = np.linspace(-5, 5, 601)[:, None]
h, grid_t = grid[1, 0] - grid[0, 0], torch.tensor(grid, dtype=torch.float32)
p_0 = np.exp(data.log_prob(grid)) * h
H, second = -p_0 @ data.log_prob(grid), p_0 @ grid[:, 0] ** 2

def exact_curves(schedule):
    p, mean, var = np.zeros((3, schedule.T + 1, len(grid)))
    for t in range(1, schedule.T + 1):
        signal, noise = schedule.scales(t)
        p[t] = np.exp(data.push(signal, noise**2).log_prob(grid)) * h
        mean[t], var[t] = (a.reshape(len(grid)) for a in data.posterior(grid, signal, noise**2))
    return SimpleNamespace(schedule=schedule, p=p, mean=mean, var=var, mmse=(p * var).sum(1))

# %% [markdown]
# ## 1. A narrow range, in logarithms
#
# $\tilde\beta_t$ is right for data that are one point, $\beta_t$ for data $N(0,1)$; most data lie between. Improved DDPM has the network mix the *logarithms* of the two:
#
# $$\sigma_t^2 = \exp\big(v\log\beta_t + (1-v)\log\tilde\beta_t\big) = \tilde\beta_t\,\Big(\frac{\beta_t}{\tilde\beta_t}\Big)^{v},\qquad v = \tfrac12(\text{output}+1)\qquad\text{(Eq. 15)}$$
#
# **Before you run:** how far apart are the two ends at $t=2$? At the middle of the chain? And with 25 steps in place of 1000?

# %%
fig, ax = plots.panel(1, width=6.5, height=3)
for steps in (25, 100, 1000):
    table, t = Schedule.cosine(steps, max_beta=0.5), np.arange(2, steps + 1)
    plots.curves(ax, t, {f"T = {steps}": posterior_variance(table, t - 1, t) / table.beta[2:]}, "t", r"$\tilde\beta_t\,/\,\beta_t$", "the range of the learned variance", log="x")
ax.legend()
plt.show()
T = 100
schedule = Schedule.cosine(T, max_beta=0.5)
x, t = rng.standard_normal((5, 1)), 7
tilde, beta = posterior_variance(schedule, t - 1, t), schedule.beta[t]
v = np.array([[0.0], [0.3], [1.0], [1.4], [-0.2]])
learned = reverse_transition(schedule, Prediction(x, x, 2 * v - 1), x, t - 1, t, "learned")
np.testing.assert_allclose(learned.var, tilde * (beta / tilde) ** v, rtol=1e-12)
print(f"t = 2: beta-tilde is {posterior_variance(schedule, 1, 2) / schedule.beta[2]:.3f} of beta; t = {T // 2}: {posterior_variance(schedule, T // 2 - 1, T // 2) / schedule.beta[T // 2]:.3f}")

# %% [markdown]
# **See.** However long the chain, the ends differ in the first steps only ($\tilde\beta_t/\beta_t\approx 1-1/t$ or less), and for $t$ beyond a few dozen there is nothing to choose. Long *strides* open the range again; that will be section 8.
#
# Why logarithms? From notebook 04, a step costs $\frac12[r-1-\log r]$ nats too much, with $r=\sigma_t^{*2}/\sigma_t^2$. Put $\delta=\log\sigma_t^2-\log\sigma_t^{*2}$: the cost is $\frac12[e^{-\delta}-1+\delta]\approx\frac14\delta^2$. **The bound hears only the logarithm.**
# A head that says $\sigma_t^2$ itself would meet a loss of curvature $1/(2\sigma_t^{*4})$, which differs by millions from one $t$ to the next, and it could say a negative number. A head that says $\log\sigma_t^2$ meets the curvature
# $\frac12$ at every $t$. A head that says $v$ meets $\frac12\log^2(\beta_t/\tilde\beta_t)$: where the range is narrow the loss is flat, and a wrong $v$ costs nothing.

# %%
curves = exact_curves(schedule)
best = optimal_variance(schedule, curves.mmse)
print("curvature of the bound at its minimum, for a head that says")
print("   t      sigma^2   log sigma^2          v")
for t in (2, 10, 50, T):
    tilde, beta = posterior_variance(schedule, t - 1, t), schedule.beta[t]
    v_best = np.log(best[t] / tilde) / np.log(beta / tilde)
    heads = {"var": (lambda u: u, best[t]), "log": (torch.exp, np.log(best[t])), "v": (lambda u: tilde * (beta / tilde) ** u, v_best)}
    by_hand, row = (0.5 / best[t] ** 2, 0.5, 0.5 * np.log(beta / tilde) ** 2), []
    for (to_var, at), expected in zip(heads.values(), by_hand, strict=True):
        u = torch.tensor(at, dtype=torch.float64, requires_grad=True)
        cost = 0.5 * (torch.log(to_var(u) / tilde) + best[t] / to_var(u) - 1)
        (slope,) = torch.autograd.grad(cost, u, create_graph=True)
        row.append(torch.autograd.grad(slope, u)[0].item())
        assert abs(slope.item()) < 1e-6 / at**2 and abs(row[-1] / expected - 1) < 1e-6
    print(f"{t:4d}  " + "  ".join(f"{c:11.3g}" for c in row))

# %% [markdown]
# ## 2. The best $v$, by hand
#
# The best variance is $\sigma_t^{*2}=\tilde\beta_t+c_t^2\,\mathrm{mmse}_t$ (notebook 04). Solve Eq. 15 for $v$:
#
# $$v_t^* = \frac{\log(\sigma_t^{*2}/\tilde\beta_t)}{\log(\beta_t/\tilde\beta_t)},\qquad\text{for } x_0\sim N(0,s^2):\quad \sigma_t^{*2}=\beta_t\,\frac{V_{t-1}}{V_t},\quad V_t=\bar\alpha_t s^2+1-\bar\alpha_t .$$
#
# For small steps this tends to $s^2/V_t$: it starts at 1 near the data, whatever $s$, and ends at $s^2$. **Before you run:** what does that mean for data *wider* than $N(0,1)$? And what would a sigmoid around $v$ cost them?

# %%
fig, ax = plots.panel(1, width=6.5, height=3.2)
t = np.arange(2, T + 1)
tilde, beta, abar = posterior_variance(schedule, t - 1, t), schedule.beta[2:], schedule.alpha_bar
for i, s2 in enumerate((0.04, 0.25, 1.0, 4.0)):
    V = abar * s2 + 1 - abar
    v_best = np.log(beta * V[1:-1] / V[2:] / tilde) / np.log(beta / tilde)
    filled = Prediction(0 * t[:, None], 0 * t[:, None], (2 * v_best - 1)[:, None])  # the library's Eq. 15 at this v ...
    ours = reverse_transition(schedule, filled, 0.0 * t[:, None], t - 1, t, "learned").var[:, 0]
    np.testing.assert_allclose(ours, optimal_variance(schedule, s2 * (1 - abar) / V)[2:], rtol=1e-10)  # ... is its optimal variance
    ax.plot(t, v_best, color=f"C{i}", label=f"$s^2$ = {s2:g}")
    ax.plot(t, s2 / V[2:], "--", color=f"C{i}", linewidth=1)
    assert np.all(v_best < 1) if s2 < 1 else np.allclose(v_best, 1) if s2 == 1 else np.all(v_best > 1)
ax.set(xlabel="t", ylabel="$v^*_t$", title="the best v for Gaussian data; dashed: the limit of small steps")
ax.legend()
plt.show()
clamped = [0.5 * (r - 1 - np.log(r)).sum() for r in (V[1:-1] / V[2:], (4 * np.ones(1)))]
print(f"data of variance 4, v clamped to 1: {clamped[0]:.4f} nats wasted at T = {T}; v = 0.5 by a lazy network at t = 2: sigma^2 off by a factor {(beta[0] / tilde[0]) ** 0.5:.2f}")

# %% [markdown]
# **See.** Below variance 1 the best $v$ lies inside the range, above it outside: so the output is not clamped, in the paper and here. The ledger finds the same optimum by a numerical minimum:

# %%
show("improved_ddpm", "15")
