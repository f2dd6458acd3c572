# %% [markdown]
# # 09 · Can a network learn how unsure to be, and what does the better bound buy?
#
# Notebook 04 left a question open. The choice of $\sigma_t^2$ costs up to half a nat per dimension, and the best choice needs a number that nobody has for real data: the error of the
# ideal denoiser at each $t$. *Improved DDPM* lets the network say its own variance. On data where the best variance is known exactly, we can see whether a network finds it.
#
# **When you have worked through it you can**
# * say why the variance is learned between $\tilde\beta_t$ and $\beta_t$, why in logarithms, and why it must not be clamped,
# * write the best answer in closed form, and hold a trained network against it at every $t$,
# * say what the stop-gradient in $L_{\rm hybrid}$ does, prove it by autograd, and show what goes wrong without it,
# * draw $t$ where the loss is worth it, without bias, and say by how much that helps the loss and by how much the *gradient*,
# * explain how a model can have a better bound and worse samples, with every number exact,
# * say where a learned variance pays: with few steps.
#
# You need notebooks 04 (the bound) and 07 (training in the plane).

# %%
from minidiff.notebook import budget, plots, setup

rng = setup(seed=9)

# %%
from functools import partial
from itertools import pairwise
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import torch

from minidiff import GaussianMixture, Schedule, bits_per_dim, ddpm, last, marginal, optimal_variance, reverse_transition, toy
from minidiff.arrays import normal
from minidiff.bound import density_term, variational_bound
from minidiff.course import check
from minidiff.learn import LossAwareTimes, NetworkDenoiser, Training, fit, hybrid_loss, simple_loss, vlb_loss
from minidiff.metrics import sliced_wasserstein
from minidiff.nn import MLP
from minidiff.prediction import Prediction, from_output
from minidiff.process import posterior_variance, posterior_weights
from minidiff.reverse import fixed_variance

# %% [markdown]
# The data are the four Gaussians of notebook 04: one dimension, mean 0, variance 1. In one dimension every average over $x_t$ is a sum on a grid, so what is said below about bounds, variances and even the
# law of a trained model is exact: there is no sampling noise for a result to hide in. For each schedule we need four curves: $p(x_t)$, $\mathbb{E}[x_0\mid x_t]$, $\mathrm{Var}(x_0\mid x_t)$, and
# $\mathrm{mmse}_t=\mathbb{E}\,\mathrm{Var}(x_0\mid x_t)$.

# %%
w, m, s = np.array([0.3, 0.2, 0.4, 0.1]), np.array([-1.2, -0.3, 0.6, 1.9]), np.array([0.12, 0.08, 0.14, 0.1])
shift, scale = w @ m, np.sqrt(w @ (m**2 + s**2) - (w @ m) ** 2)
data = GaussianMixture(w, ((m - shift) / scale)[:, None], (s / scale) ** 2)
grid = np.linspace(-6, 6, 721)[:, None]
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
# $\tilde\beta_t$ is the right variance for data that are a single point, $\beta_t$ for data $N(0,1)$; most data lie between. So the network mixes the *logarithms* of these two:
#
# $$\sigma_t^2 = \exp\big(v\log\beta_t + (1-v)\log\tilde\beta_t\big) = \tilde\beta_t\,(\beta_t/\tilde\beta_t)^{v},\qquad v = \tfrac12(\text{output}+1)\qquad\text{(Improved DDPM, Eq. 15)}$$
#
# **Before you run:** how far apart are the two ends at $t=2$? In the middle of the chain? Does a longer chain bring them together everywhere?

# %% alt="The ratio of beta-tilde to beta against t for chains of 25, 100 and 1000 steps. All start below a half at t = 2 and rise to 1; after a few dozen steps there is hardly a difference left."
fig, ax = plots.panel(1, width=6.5, height=3)
for steps in (25, 100, 1000):
    table, t = Schedule.cosine(steps, max_beta=0.5), np.arange(2, steps + 1)
    ax.plot(t, posterior_variance(table, t - 1, t) / table.beta[2:], label=f"T = {steps}")
ax.set(xlabel="t", ylabel=r"$\tilde\beta_t\,/\,\beta_t$", xscale="log", title="the range of the learned variance")
ax.legend()
plt.show()
T = 100
schedule, x, t = Schedule.cosine(T, max_beta=0.5), np.zeros((5, 1)), 7
v, tilde, beta = np.array([[0.0], [0.3], [1.0], [1.4], [-0.2]]), posterior_variance(schedule, t - 1, t), schedule.beta[t]
learned = reverse_transition(schedule, Prediction(x, x, 2 * v - 1), x, t - 1, t, "learned")
np.testing.assert_allclose(learned.var, tilde * (beta / tilde) ** v, rtol=1e-12)
for t in (2, T // 2):
    print(f"T = {T}, t = {t:2d}: beta-tilde is {posterior_variance(schedule, t - 1, t) / schedule.beta[t]:.3f} of beta")

# %% [markdown]
# **See.** However long the chain, at $t=2$ the ends differ by a factor of two to three (notebook 04: the step size cancels), and after a few dozen steps there is nothing left to choose. (Long *strides* open the range again: section 8.)
#
# Why logarithms? A step with $\sigma_t^2$ in place of the best $\sigma_t^{*2}$ costs $\frac12[r-1-\log r]$ nats, $r=\sigma_t^{*2}/\sigma_t^2$ (notebook 04). With $\delta=\log\sigma_t^2-\log\sigma_t^{*2}$ that is $\frac12[e^{-\delta}-1+\delta]\approx\frac14\delta^2$: **the bound
# hears the logarithm and nothing else.** So a head that says $\log\sigma_t^2$ meets a loss of curvature $\frac12$ at every $t$; one that says $\sigma_t^2$ itself meets $1/(2\sigma_t^{*4})$, and could say a negative number. A head that says $v$ meets
# $\frac12\log^2(\beta_t/\tilde\beta_t)$: where the range is narrow the loss is flat, and a wrong $v$ costs nothing.

# %%
curves = exact_curves(schedule)
best = optimal_variance(schedule, curves.mmse)
print("curvature of the bound at its minimum, for a head that says\n   t      sigma^2  log sigma^2            v")
for t in (2, 10, 50, T):
    tilde, beta = posterior_variance(schedule, t - 1, t), schedule.beta[t]
    v_best = np.log(best[t] / tilde) / np.log(beta / tilde)
    heads = [(lambda u: u, best[t]), (torch.exp, np.log(best[t])), (lambda u, a=tilde, b=beta: a * (b / a) ** u, v_best)]
    found = []
    for to_var, at in heads:
        u = torch.tensor(at, dtype=torch.float64, requires_grad=True)
        (slope,) = torch.autograd.grad(0.5 * (torch.log(to_var(u) / tilde) + best[t] / to_var(u) - 1), u, create_graph=True)
        found.append(torch.autograd.grad(slope, u)[0].item())
    np.testing.assert_allclose(found, [0.5 / best[t] ** 2, 0.5, 0.5 * np.log(beta / tilde) ** 2], rtol=1e-6)
    print(f"{t:4d}  " + "  ".join(f"{c:11.2g}" for c in found))

# %% [markdown]
# ## 2. The best $v$, by hand
#
# The best variance is $\sigma_t^{*2}=\tilde\beta_t+c_t^2\,\mathrm{mmse}_t$. Solve Eq. 15 for $v$; for $x_0\sim N(0,s^2)$ put in notebook 04's $\sigma_t^{*2}=\beta_tV_{t-1}/V_t$:
#
# $$v_t^* = \frac{\log(\sigma_t^{*2}/\tilde\beta_t)}{\log(\beta_t/\tilde\beta_t)},\qquad V_t=\bar\alpha_t s^2+1-\bar\alpha_t .$$
#
# For small steps this tends to $s^2/V_t$: near the data it starts at 1, whatever $s$ is, and at the noise it ends at $s^2$. **Before you run:** what does that mean for data *wider* than $N(0,1)$? What would a sigmoid around $v$ cost them?

# %% alt="The best v over t for Gaussian data of four variances. All start at 1. For variance 4 it climbs to 4, for 1 it stays at 1, for 0.25 and 0.04 it falls below. The dotted limits lie on the curves."
fig, ax = plots.panel(1, width=6.5, height=3.2)
t, abar = np.arange(2, T + 1), schedule.alpha_bar
tilde, beta, x = posterior_variance(schedule, t - 1, t), schedule.beta[2:], np.zeros((T - 1, 1))
for i, s2 in enumerate((0.04, 0.25, 1.0, 4.0)):
    V = abar * s2 + 1 - abar
    v_best = np.log(beta * V[1:-1] / V[2:] / tilde) / np.log(beta / tilde)
    ours = reverse_transition(schedule, Prediction(x, x, 2 * v_best[:, None] - 1), x, t - 1, t, "learned").var[:, 0]
    np.testing.assert_allclose(ours, optimal_variance(schedule, s2 * (1 - abar) / V)[2:], rtol=1e-10)
    assert np.all(v_best < 1) if s2 < 1 else np.all(v_best > 1) if s2 > 1 else np.allclose(v_best, 1)
    ax.plot(t, v_best, color=f"C{i}", label=f"$s^2$ = {s2:g}")
    ax.plot(t, s2 / V[2:], ":", color="0.15", linewidth=1.2)
ax.set(xlabel="t", ylabel="$v^*_t$", title="the best v for Gaussian data (dotted: the limit of small steps)")
ax.legend()
plt.show()
r = V[1:-1] / V[2:]  # the best variance over beta, for s2 = 4
waste = 0.5 * (r - 1 - np.log(r)).sum()
print(f"data of variance 4: the best v goes up to {v_best.max():.2f}; v clamped to 1 wastes {waste:.4f} nats with T = {T}")

# %% [markdown]
# **See.** Below variance 1 the best $v$ lies inside the range, above it outside. So the output is not clamped, neither in the paper nor here. (Equation 15 is in the ledger, where the same optimum is found by a numerical minimum: `show("improved_ddpm", "15")`.)
#
# For data that are not Gaussian there is a formula too, simpler than its reputation. Subtract and divide, with $c_t=\sqrt{\bar\alpha_s}\,\beta_{ts}/(1-\bar\alpha_t)$ and $\beta_{ts}-\tilde\beta_{ts}=\bar\alpha_s\beta_{ts}^2/(1-\bar\alpha_t)$:
#
# $$\boxed{\;\sigma^{*2}_{ts} = \tilde\beta_{ts} + u_t\,(\beta_{ts}-\tilde\beta_{ts}),\qquad u_t=\frac{\mathrm{mmse}_t}{1-\bar\alpha_t}=\frac{\mathbb{E}(\epsilon-\hat\epsilon)^2}{\bar\alpha_t}\;}$$
#
# The best variance lies the fraction $u_t$ of the way from $\tilde\beta$ to $\beta$: for **any data and any stride**, because $s$ has dropped out of $u_t$. And $u_t$ is nothing but the loss $L_{\rm simple}$ at this $t$, over $\bar\alpha_t$. (Analytic-DPM builds on this.) In logarithms it reads
# $v^*=\log(1+u_t(\rho-1))/\log\rho$ with $\rho=\beta_{ts}/\tilde\beta_{ts}$, and there $s$ has *not* dropped out. We check it by a route that never mentions $x_0$: the law of $x_s$ is a mixture too, and $\sigma^{*2}_{ts}=\mathbb{E}\,\mathrm{Var}(x_s\mid x_t)$.

# %%
def strided(times, fraction):
    """The table tilde + u (beta - tilde) for the steps of any grid of times, as an explicit variance."""
    table = np.ones(T + 1)  # entries of skipped times are never read
    for t, s in pairwise(times):
        table[t] = posterior_variance(schedule, s, t) + fraction[t] * (schedule.beta_ts(s, t) - posterior_variance(schedule, s, t))
    return table

u_t = np.r_[0.0, curves.mmse[1:] / (1 - abar[1:])]
print("  s    t   E Var(x_s | x_t)   tilde + u (beta - tilde)        u   best v")
for s, t in ((1, 2), (9, 10), (5, 10), (1, 10), (49, 50), (25, 50), (1, 50)):
    signal, noise = schedule.scales(s)
    beta, tilde, ours = schedule.beta_ts(s, t), posterior_variance(schedule, s, t), strided((t, s), u_t)[t]
    exact = curves.p[t] @ data.push(signal, noise**2).posterior(grid, np.sqrt(schedule.alpha_bar_ts(s, t)), beta)[1][:, 0, 0]
    print(f"{s:3d}  {t:3d}   {exact:16.6f}   {ours:24.6f}   {u_t[t]:6.4f}   {np.log(exact / tilde) / np.log(beta / tilde):6.3f}")
    assert abs(exact - ours) < 1e-8
np.testing.assert_allclose(strided(range(T, -1, -1), u_t)[1:], best[1:], rtol=1e-10)  # of neighbours the library's optimal_variance speaks

# %% [markdown]
# ## 3. Does a network find it?
#
# $L_{\rm hybrid}=L_{\rm simple}+\lambda L_{\rm vlb}$ with $\lambda=0.001$ and $\epsilon_\theta$ held fixed in the second part (Eq. 16; section 4 looks at that). Our data are continuous, so the decoder is a density.

# %%
def learn(points, schedule, loss, steps, times=None, seed=0):
    """An averaged denoiser with two outputs for each dimension: eps and the variance's mix."""
    points, dims = torch.tensor(points, dtype=torch.float32), points.shape[1]
    _ = torch.manual_seed(seed)
    net = NetworkDenoiser(MLP(dims, 2 * dims, width=64, depth=2), schedule)
    run = Training(net, steps=steps, lr=budget(quick=0.01, full=0.003), warmup=100, seed=seed, times=times)
    for _ in fit(run, lambda g: (points[torch.randint(len(points), (256,), generator=g)], None), loss):
        pass
    return run.averaged()

train_x, usual = data.sample(100_000, rng), budget(quick=1500, full=10_000)
vlb, hybrid = partial(vlb_loss, decoder=density_term), partial(hybrid_loss, decoder=density_term)
A = learn(train_x, schedule, hybrid, usual)

# %% [markdown]
# To judge it without noise, integrate each term of its bound over $x_t$ on the grid. For a variance $\sigma_t^2(x_t)$ that may depend on $x_t$, and a guess $\hat x_0(x_t)$,
#
# $$\mathbb{E}L_{t-1} = \int p(x_t)\,\tfrac12\Big[\log\frac{\sigma_t^2(x_t)}{\tilde\beta_t}+\frac{\tilde\beta_t+c_t^2\,e(x_t)}{\sigma_t^2(x_t)}-1\Big]dx_t,\qquad e(x_t)=\mathrm{Var}(x_0\mid x_t)+\big(\mathbb{E}[x_0\mid x_t]-\hat x_0(x_t)\big)^2 .$$

# %%
def error(net, curves, t):
    return curves.var[t] + (curves.mean[t] - net(grid_t, t).x_0[:, 0].double().numpy()) ** 2  # E[(x_0 - its guess)^2 | x_t]

def mse(net, curves):
    return np.array([0.0] + [curves.p[t] @ error(net, curves, t) for t in range(1, net.schedule.T + 1)])

def terms(net, curves, variance, times=None):
    """Every term of the bound in nats, prior first and decoder last, by quadrature; for any grid of times."""
    schedule, left = net.schedule, net.schedule.alpha_bar[-1]
    out = [0.5 * (left * second - left - np.log1p(-left))]
    for t, s in pairwise(times or range(schedule.T, -1, -1)):
        var = np.asarray(reverse_transition(schedule, net(grid_t, t), grid_t, s, t, variance).var, dtype=float).reshape(-1)
        e, tilde, c = error(net, curves, t), posterior_variance(schedule, s, t), posterior_weights(schedule, s, t)[0]
        step = np.log(var / tilde) + (tilde + c**2 * e) / var - 1 if s else np.log(2 * np.pi * var) + e / var
        out.append(curves.p[t] @ (0.5 * step))
    return np.array(out)

# %% [markdown]
# Six variances for the *same* network: $\tilde\beta$ and $\beta$ as in Ho et al.'s program (which puts $\tilde\beta_2$ at $t=1$), $\beta$ everywhere, its own learned one, the exact optimum $\sigma_t^{*2}$ of notebook 04, and the optimum for *this* network's error in
# the place of the ideal one's. **Before you run:** order the six.

# %%
own = optimal_variance(schedule, mse(A, curves))
eps_loss = schedule.snr(np.arange(1, T + 1)) * mse(A, curves)[1:]  # its L_simple at each t gives the same table
tilde = posterior_variance(schedule, np.arange(T), np.arange(1, T + 1))
np.testing.assert_allclose(own[1:], tilde + eps_loss / abar[1:] * (schedule.beta[1:] - tilde), rtol=1e-9)
choices = {"small": "small", "large": "large", "beta": schedule.beta, "learned": "learned", "exact optimum": best, "own optimum": own}
bound = {name: terms(A, curves, variance) for name, variance in choices.items()}
print(f"entropy H = {H:.4f} nats; the bound of the network with")
for name, b in bound.items():
    print(f"{name:14s} {b.sum():.3f} nats/dim, {b.sum() - H:.3f} above H")
gap = bound["learned"].sum() - bound["exact optimum"].sum()
print("learned within 0.02 nats/dim of the exact optimal variance:", bool(abs(gap) < 0.02))
assert abs(gap) < 0.02 and bound["small"].sum() > bound["large"].sum() > bound["beta"].sum() > bound["learned"].sum() > H
x = torch.tensor(data.sample(4000, rng), dtype=torch.float32)
drawn = variational_bound(A, x, normal(torch.Generator().manual_seed(1)), variance="learned", decoder=density_term).total.double().numpy()
assert abs(drawn.mean() - bound["learned"].sum()) < 4 * drawn.std() / np.sqrt(len(drawn))  # the library, by sampling

# %% alt="Left: the learned variance, over beta, runs close to the exact optimum at every t, while beta-tilde lies far below at small t. Right: nats wasted down to t; the small variance wastes nearly 0.6, most in the first ten steps, the large one below 0.1, the learned one nothing to be seen."
fig, (a, b) = plots.panel(2, width=4.8)
t = np.arange(2, T + 1)
said = np.array([curves.p[k] @ reverse_transition(schedule, A(grid_t, k), grid_t, k - 1, k, "learned").var[:, 0].double().numpy() for k in t])
plots.curves(a, t, {r"$\tilde\beta_t$": tilde[1:] / schedule.beta[2:], "exact optimum": best[2:] / schedule.beta[2:]}, "t", r"$\sigma_t^2\,/\,\beta_t$", "learned against exact", log="x")
a.plot(t, said / schedule.beta[2:], "--", color="C3", label="learned, mean over $x_t$")
a.legend()
wasted = {name: np.cumsum((bound[name] - bound["own optimum"])[1:])[::-1] for name in ("small", "large", "learned")}
plots.curves(b, np.arange(1, T + 1), wasted, "t", "nats wasted from T down to t", "what the variance costs", log="x")
plt.show()
print(f"learned over exact variance: between {(said / best[2:]).min():.2f} and {(said / best[2:]).max():.2f} at every t = 2..{T}")
assert np.abs(np.log(said / best[2:])).max() < 0.15

# %% [markdown]
# **See.** It finds it. Nobody told the network $\mathrm{mmse}_t$; it heard only how surprised the bound was. The learned variance lies within 5% of the exact one at every $t$ (not on it: an error of 5% costs $\frac14\cdot0.05^2<0.001$ nats), and the bound agrees to the digits printed. With $\tilde\beta$ the waste
# of notebook 04 comes back in full (right, blue), and nearly all of it in the first ten steps.
#
# ## 4. The stop-gradient
#
# Differentiate one term of the bound by hand, for $t\ge2$ and with $e=x_0-\hat x_0$:
#
# $$\frac{\partial L_{t-1}}{\partial\hat\epsilon} = \frac{c_t^2}{\sigma_t^2\,\mathrm{SNR}_t}\,(\hat\epsilon-\epsilon),\qquad
# \frac{\partial L_{t-1}}{\partial\,\text{output}_v} = \tfrac14\log\frac{\beta_t}{\tilde\beta_t}\,\Big[1-\frac{\tilde\beta_t+c_t^2e^2}{\sigma_t^2}\Big].$$
#
# The second pulls $\sigma_t^2$ towards $\tilde\beta_t+c_t^2\,\mathbb{E}e^2$, which is all that we want from the bound. The first we do not want, and $L_{\rm hybrid}$ cuts it: $\epsilon_\theta$ enters the bound as a constant. To see this in isolation, let the "network" be two leaves of the graph.

# %%
g, t = torch.Generator().manual_seed(1), rng.integers(2, T + 1, 512)
x_0, eps, said, mix = (torch.randn(512, 1, generator=g, dtype=torch.float64) for _ in range(4))

class Leaves:
    schedule = schedule
    def __call__(self, x_t, t, cond=None):
        return from_output("eps", said.requires_grad_(), x_t, *self.schedule.scales(t), mix.requires_grad_())

both, simple, bare = (torch.autograd.grad(loss(Leaves(), x_0, t, eps).sum(), (said, mix), allow_unused=True) for loss in (hybrid, simple_loss, vlb))
parts = posterior_variance(schedule, t - 1, t), schedule.beta[t], posterior_weights(schedule, t - 1, t)[0], schedule.snr(t)
tilde, beta, c, snr = (torch.tensor(part)[:, None] for part in parts)
var, e2 = tilde * (beta / tilde) ** ((mix + 1) / 2), (said - eps) ** 2 / snr
torch.testing.assert_close(bare[0], T * c**2 / var / snr * (said - eps), rtol=1e-8, atol=1e-12)
torch.testing.assert_close(bare[1], T / 4 * torch.log(beta / tilde) * (1 - (tilde + c**2 * e2) / var), rtol=1e-8, atol=1e-12)
assert torch.equal(both[0], simple[0]) and torch.allclose(both[1], 1e-3 * bare[1], rtol=1e-12, atol=0) and bare[0].abs().min() > 0
print("gradient that the bound sends to eps inside L_hybrid: exactly 0 at every example:", torch.equal(both[0], simple[0]))
print("the same without the stop-gradient, relative to L_simple's: up to", f"{(1e-3 * bare[0] / simple[0]).max():.2f}")

# %% [markdown]
# Exactly zero, not small. (The layers *below* the two outputs are shared, so the bound keeps a say in the features.)
#
# What goes wrong without it? Then $\epsilon_\theta$ minimises a mixture: the error of $\hat\epsilon$ at $t$ gets the weight $1+\lambda T\,w_t$ with $w_t=c_t^2/(2\sigma_t^2\,\mathrm{SNR}_t)$. For a network that can do everything this is harmless, for the ideal $\hat\epsilon$ minimises every such mixture. A network of *fixed size* must choose where to be
# wrong. We take one whose optimum can be computed, so that no luck of training blurs the answer: $\hat\epsilon=\sum_k\theta_k\phi_k(x_t,t)$ with $K$ random features, $\theta$ by weighted least squares on the grid.
#
# To judge such a *model*, not only its bound, push $p_\theta(x_t)$ down the chain on the grid (notebook 04, section 4). That gives its exact cross-entropy CE, and the exact Wasserstein distance $W_1=\int|F_\theta-F|$ of what the sampler draws (its last step is the mean, without noise).

# %%
def model_law(net, variance, times=None):
    """(CE - H, W_1): the law of the model against that of the data, by quadrature."""
    p = np.exp(-0.5 * grid[:, 0] ** 2) / np.sqrt(2 * np.pi) * h
    for t, s in pairwise(times or range(net.schedule.T, -1, -1)):
        pred = net(grid_t, t)
        down = reverse_transition(net.schedule, pred, grid_t, s, t, variance)
        mean, var = down.mean.double().numpy().T, np.broadcast_to(np.asarray(down.var, dtype=float), grid.shape).T
        kernel = np.exp(-0.5 * (grid - mean) ** 2 / var) / np.sqrt(2 * np.pi * var)  # (x_s, x_t)
        if s:
            p = kernel @ p * h
    drawn = pred.x_0[:, 0].double().numpy()
    order = np.argsort(drawn)
    F = np.interp(grid[:, 0], drawn[order], np.cumsum(p[order]), left=0.0)
    return -p_0 @ np.log(np.maximum(kernel @ p, 1e-300)) - H, np.abs(F - np.cumsum(p_0)).sum() * h

# %%
class FixedSize:
    """eps = theta . phi(x_t, t) with K random features phi: a network of fixed size whose optimum is linear algebra."""
    schedule = schedule
    def __init__(self, K, seed):
        g = np.random.default_rng(seed)
        self.random = [size * g.standard_normal((K, 1)) for size in (3.0, 2.0, 1.5)]
        self.phi = np.stack([self.features(grid[:, 0], t) for t in range(1, T + 1)])  # (t, feature, x_t)
        signal, noise = (a[:, None] for a in schedule.scales(np.arange(1, T + 1)))
        eps = (grid[:, 0] - signal * curves.mean[1:]) / noise  # what the ideal denoiser says
        self.gram, self.right = (self.phi * curves.p[1:, None]) @ self.phi.swapaxes(1, 2), ((curves.p[1:] * eps)[:, None] * self.phi).sum(2)

    def features(self, x, t):
        a, b, c = self.random
        return np.vstack([np.tanh(a * x + b * self.schedule.half_log_snr(t) / 2 + c), x, np.ones_like(x)])

    def __call__(self, x_t, t, cond=None):
        eps = self.theta @ self.features(x_t[:, 0].double().numpy(), t)
        return from_output("eps", torch.tensor(eps)[:, None], x_t.double(), *self.schedule.scales(t))

# %%
c, snr = posterior_weights(schedule, np.arange(T), np.arange(1, T + 1))[0], schedule.snr(np.arange(1, T + 1))

def optimum(net, own, share):
    """Put theta at the optimum of own * L_simple + share * L_vlb; return the best table of variances for it."""
    weight = np.ones(T)
    for _ in range(5 if share else 1):  # the bound's weights depend on the best variance, and that on the weights
        gram = np.tensordot(weight, net.gram, 1)
        net.theta = np.linalg.solve(gram + 1e-9 * np.trace(gram) / len(gram) * np.eye(len(gram)), weight @ net.right)
        table = optimal_variance(schedule, mse(net, curves))
        weight = own + share * c**2 / (2 * table[1:] * snr)
    return table

def report(net, variance):
    """L - H, CE - H, W_1 of a model, and its excess eps error: all t, t <= 10, t > 50."""
    excess = snr * (mse(net, curves) - curves.mmse)[1:]
    return np.array([terms(net, curves, variance).sum() - H, *model_law(net, variance), excess.mean(), excess[:10].mean(), excess[50:].mean()])

# %% [markdown]
# **Before you run:** $\lambda T$ is 0.1 for us and 4 in the paper ($T=4000$); the bound alone is the limit of large $\lambda T$. Down the rows the bound must improve, by construction. And the samples? And does it matter whether the network has 20 features or 240?

# %%
columns, line = "    L - H   CE - H      W_1   eps error  t <= 10   t > 50", "{:9.3f}{:9.3f}{:9.3f}{:12.4f}{:9.4f}{:9.4f}"
losses = {"L_simple (and L_hybrid)": (1, 0), "no stop, lambda T = 4": (1, 4), "L_vlb": (0, 1)}
print(f"{'mean over networks':31s}{columns}")
found = {}
for K, count in ((20, budget(quick=3, full=10)), (240, budget(quick=1, full=5))):
    nets = [FixedSize(K, seed) for seed in range(count)]
    for name, (own_share, share) in losses.items():
        found[K, name] = np.array([report(net, optimum(net, own_share, share)) for net in nets])
        print(f"K = {K:3d} {name:23s}" + line.format(*found[K, name].mean(0)))
for K in (20, 240):
    first, middle, last_ = (found[K, name] for name in losses)
    assert np.all(first[:, 0] > middle[:, 0]) and np.all(middle[:, 0] > last_[:, 0]) and np.all(first[:, 3] < last_[:, 3])
small, large = (found[K, "L_vlb"] - found[K, "L_simple (and L_hybrid)"] for K in (20, 240))
print("K = 20, in every network: better bound", bool(np.all(small[:, 0] < 0)), "and worse W_1", bool(np.all(small[:, 2] > 0)))
assert np.all(small[:, 2] > 0) and small[:, 1].mean() > 0 and large[:, 2].mean() <= 0

# %% [markdown]
# **See. A better bound and worse samples, and not one number is a sample.** With 20 features the network cannot be right everywhere. The bound moves its errors from small $t$ to large $t$; the bound falls, and (on average over the networks) the cross-entropy of the very same model *rises* and its $W_1$ grows. No contradiction:
# $L-H=(L-\mathrm{CE})+(\mathrm{CE}-H)$, and a bound can improve by becoming *tighter*, which nobody sees in a sample. With 240 features there is less to trade, and the better bound is no worse a model. So the stop-gradient does this: **it keeps the $\epsilon$ of $L_{\rm simple}$, whatever $\lambda$ is**, and leaves the choice of variance to the bound.
#
# There is a second reason. The pull on $\hat\epsilon$ has $\sigma_t^2$ in its denominator: where the mean is bad, the network may raise the variance and so silence the force that would mend the mean. (Known from regression with learned variances; Seitzer et al. 2022.)
#
# ## 5. Which $t$ to look at
#
# $L_{\rm vlb}$ is hard to train on: $L_{t-1}$ varies over orders of magnitude, and a batch of random $t$ mostly sees the small terms. Draw $t$ with probability $p_t$ and divide by it:
#
# $$L_{\rm vlb}-L_T=\sum_t L_{t-1} = \mathbb{E}_{t\sim p}\Big[\frac{L_{t-1}}{p_t}\Big]=\mathbb{E}_{t\sim p}\Big[\frac{1}{Tp_t}\,T L_{t-1}\Big],\qquad p_t\propto\sqrt{\mathbb{E}L_{t-1}^2}\qquad\text{(Eq. 18)}$$
#
# The mean does not depend on $p$; the second moment $\sum_t\mathbb{E}L_{t-1}^2/p_t$ does, and by Cauchy-Schwarz it is least, $(\sum_t\sqrt{\mathbb{E}L_{t-1}^2})^2$, for this $p$. **But what a training step uses is not the loss, it is the gradient.** We measure both, at network A:
# $\mathbb{E}(TL_{t-1})^2$, and the squared norm of its gradient in the last layer, which for each example is $|\partial L/\partial\text{out}|^2\,(1+|\text{features}|^2)$. **Before you run:** at which $t$ is the loss largest? Is the gradient largest at the same $t$?

# %%
seen, g, points = {}, torch.Generator().manual_seed(2), torch.tensor(train_x, dtype=torch.float32)
hook = A.network.last.register_forward_hook(lambda layer, i, out: seen.update(features=i[0].detach(), out=out))
A.network.requires_grad_(True)
loss2, grad2 = np.zeros((2, T))
for t in range(1, T + 1):
    losses = vlb(A, points[torch.randint(len(points), (2000,), generator=g)], t, torch.randn(2000, 1, generator=g))
    (d,) = torch.autograd.grad(losses.sum(), seen["out"])
    loss2[t - 1], grad2[t - 1] = (losses.detach() ** 2).mean(), ((d**2).sum(1) * (1 + (seen["features"] ** 2).sum(1))).mean()
hook.remove()
A.network.requires_grad_(False)

def saved(p):
    return "  ".join(f"{name} {(v / p).sum() / (T * v.sum()):.2f}" for name, v in (("loss", loss2), ("gradient", grad2)))

by_loss, by_grad = (np.sqrt(v) / np.sqrt(v).sum() for v in (loss2, grad2))
for name, p in (("loss", by_loss), ("gradient", by_grad)):
    print(f"best p for the {name:8s}: second moments (uniform t = 1) {saved(p)}; {p[0]:.0%} of the draws are t = 1")
assert abs((loss2 / by_loss).sum() / np.sqrt(loss2).sum() ** 2 - 1) < 1e-12  # Cauchy-Schwarz with equality

# %% [markdown]
# `LossAwareTimes` knows neither curve. It remembers the last ten losses of each $t$ and takes the root of their mean square. Let it watch network A, then ask two things: is the weighted loss unbiased, and how good is a guess from ten numbers?

# %% alt="Left: size of the loss and of its gradient over t; the loss falls by more than three powers of ten, the gradient falls and then levels off. Right: how often to look at each t; the guess from ten losses zigzags around the best for the loss, the best for the gradient is flatter." tags=["nbval-ignore-output"]
aware, g = LossAwareTimes(T), torch.Generator().manual_seed(3)

def weighted(n):
    t, weight = aware.sample(n, g)
    losses = vlb(A, points[torch.randint(len(points), (n,), generator=g)], t, torch.randn(n, 1, generator=g))
    aware.update(t, losses)
    return (weight * losses).double().numpy()
drawn = {"uniform t": weighted(5000), "loss-aware": np.concatenate([weighted(250) for _ in range(40)])}  # uniform until each t has its ten
p, whole = aware.probabilities.numpy(), bound["learned"][1:].sum()
for name, v in drawn.items():
    print(f"{name:10s} mean {v.mean():4.1f} +- {v.std() / np.sqrt(len(v)):.1f}, spread {v.std():3.0f}   (L - L_T by quadrature: {whole:.2f})")
assert all(abs(v.mean() - whole) < 4 * v.std() / np.sqrt(len(v)) for v in drawn.values()) and drawn["loss-aware"].std() < 0.6 * drawn["uniform t"].std()
print("p from ten losses:", saved(p))
fig, (a, b) = plots.panel(2, width=4.8)
size, often = {r"$TL_{t-1}$": loss2**0.5, "its gradient": grad2**0.5}, {"from ten losses": p, "best for the loss": by_loss, "best for the gradient": by_grad}
plots.curves(a, np.arange(1, T + 1), size, "t", "root mean square", "worth looking at", log="xy")
plots.curves(b, np.arange(1, T + 1), often, "t", "$p_t$", "how often to look", log="xy")
plt.show()

# %% [markdown]
# **See.** Unbiased, and a loss whose second moment is about ten times smaller (seven with a guess from ten numbers): that is what makes the loss curves of the paper so smooth. The *gradient* (of the last layer) gains much less, and the left panel says why. It varies less over $t$ than the loss does, and a third of all draws go to $t=1$, where the decoder's term is
# large, but mostly by a *constant*, the entropy of what is left to say at the finest scale; and a constant has no gradient. Drawn by the size of its gradient, $t$ would do far better. What it is worth in training we see in section 7.
#
# ## 6. Cosine against linear: where the bits go
#
# With the ideal denoiser and its best variance the total hardly depends on the schedule (notebook 04). But the schedule decides how *evenly* the steps carry it. **Before you run:** with the linear schedule, which share of $\sum_{t\ge2}L_{t-1}$ falls into the noisier half of the steps?

# %% alt="Linear and cosine schedule over t / T. Left: what a step carries falls faster for the linear one, which is below a thousandth at the noisy end. Right: the share of the bits sent stays near zero for the noisier half, longest for linear, and shoots up close to the data."
fig, (a, b) = plots.panel(2, width=4.8)
for name, table in {"linear": Schedule.linear(1000), "cosine": Schedule.cosine(1000)}.items():
    t = np.arange(2, 1001)
    tilde, at_best = posterior_variance(table, t - 1, t), optimal_variance(table, exact_curves(table).mmse)
    L = 0.5 * np.log(at_best[2:] / tilde)  # E L_{t-1} of the ideal denoiser at its best variance
    left, decoder = table.alpha_bar[-1], 0.5 * np.log(2 * np.pi * np.e * at_best[1])
    total = L.sum() + decoder + 0.5 * (left * second - left - np.log1p(-left))
    skip = -0.5 * np.log1p(-table.alpha_bar[800])
    print(f"{name}: total {total - H:.4f} above H; the noisier half of the steps carries {L[499:].sum() / L.sum():.1%}; start at t = 800: {skip:.4f} nats more")
    print(f"        second moment over squared mean, t uniform: {(L**2).mean() / L.mean() ** 2:.1f}")
    a.plot(t / 1000, 1000 * L, label=name)
    b.plot(t / 1000, np.cumsum(L[::-1])[::-1] / L.sum(), label=name)
    assert 0 < total - H < 0.01
a.set(xlabel="t / T", ylabel=r"$T\,L_{t-1}$, nats", yscale="log", ylim=(1e-3, 100), title="what each step carries")
b.set(xlabel="t / T", ylabel="share of the bits sent so far", title="from noise (right) to data (left)")
a.legend()
plt.show()

# %% [markdown]
# **See.** Both pay the same bill, to a few thousandths of a nat. The linear schedule spends half of its steps on one hundredth of the bits: at $t=800$ next to nothing is left of $x_0$, and one could start there for 0.001 nats (Nichol and Dhariwal saw the same in samples: skipping a fifth of the linear chain hardly hurts). The cosine spreads the same nats, so
# that fewer training steps go to times at which there is nothing to learn. It does not make the steps equal: most of the bits still go to the last few, which is what loss-aware times are for.
#
# ## 7. The bound alone
#
# The paper's best likelihoods come from training on $L_{\rm vlb}$ alone with loss-aware times, and so do its worst samples. Train that (network V), the same with uniform times (U), and hold both against the hybrid A: same network, same schedule, same number of steps.
#
# **Before you run:** order the three by their bounds. Then by the last column.

# %% tags=["nbval-ignore-output"]
U, V = learn(train_x, schedule, vlb, usual), learn(train_x, schedule, vlb, usual, LossAwareTimes(T))
rows = {name: report(net, "learned") for name, net in (("A: L_hybrid", A), ("U: L_vlb alone, uniform t", U), ("V: L_vlb alone, loss-aware t", V))}
print(f"{'':31s}{columns}")
for name, row in rows.items():
    print(f"{name:31s}" + line.format(*row))
own_table = terms(V, curves, optimal_variance(schedule, mse(V, curves))).sum() - H
a, _, v = rows.values()
print(f"V with the best table for its own error: {own_table:.3f} above H; with what it learned: {v[0]:.3f}")
real, spare, start = data.sample(4000, rng), data.sample(16_000, rng), torch.randn(4000, 1, generator=torch.Generator().manual_seed(4))
for name, net in (("A", A), ("V", V)):
    x = last(ddpm(net, start, schedule.times(T), normal(torch.Generator().manual_seed(5)), variance="learned"))
    d = sliced_wasserstein(x, real, spare, np.random.default_rng(6))
    print(f"{name}: distance of 4000 samples {d.value:.2f} [{d.low:.2f}, {d.high:.2f}], real against real {d.floor:.2f}")
assert v[0] < a[0] and v[5] > 1.5 * a[5] and v[0] < own_table - 0.005

# %% [markdown]
# Three results. *Loss-aware times matter*: without them the bound alone is no better a teacher than the hybrid. *A better bound and not better samples*: V wins by far in bits, its cross-entropy is better too, and yet the exact $W_1$ is larger. (4,000 samples cannot tell: both intervals reach the floor.) The $\epsilon$ error says why: V is better at small $t$, where the bits are, and
# worse at large $t$, where it is decided *how many* samples go to which clump. This is one run. On another training set, with seeds 0, 1 and 2, the bound of V was better than A's every time and $W_1$ worse in two of three: the first is a property of the loss, the second also of luck, and that is why section 4 took the luck out.
#
# The third result is told less often: V beats **the best table for its own error**. How can that be? A table has one number for each $t$. A network has one for each $x_t$, and the best of those is $\tilde\beta_t+c_t^2\,\mathrm{Var}(x_0\mid x_t)$: small inside a clump, large between two, where nobody can know to which one the point belongs.
# **Before you run:** can the fraction $u(x_t)=\mathrm{Var}(x_0\mid x_t)/(1-\bar\alpha_t)$ exceed 1 there?

# %% alt="The best variance for each x_t at t = 6 and 12: about level on the clumps, with high narrow spikes between them. Network A learned smooth low waves; V rises a little at each spike, far below it. Both drop off outside the data. The best table is one dashed level."
tilde, beta = posterior_variance(schedule, np.arange(T), np.arange(1, T + 1)), schedule.beta[1:]
u = curves.var[1:] / (1 - abar[1:, None])  # (t, x_t)
fig, axes = plots.panel(2, width=4.8)
for ax, t in zip(axes, (6, 12), strict=True):
    ax.fill_between(grid[:, 0], curves.p[t] / curves.p[t].max(), color="0.85", label="$p(x_t)$, scaled")
    ax.plot(grid[:, 0], u[t - 1], label="exact, for each $x_t$")
    for name, net in (("A", A), ("V", V)):
        var = reverse_transition(schedule, net(grid_t, t), grid_t, t - 1, t, "learned").var[:, 0].double().numpy()
        ax.plot(grid[:, 0], (var - tilde[t - 1]) / (beta[t - 1] - tilde[t - 1]), label=f"learned, {name}")
    ax.axhline(u_t[t], color="0.4", linewidth=1, linestyle="--", label="best table")
    ax.set(xlabel="$x_t$", ylabel="$u(x_t)$", title=f"the variance at t = {t}", xlim=(-2.5, 3), ylim=(-0.3, 4))
fig.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=10)
plt.show()
a, b, unit = tilde[:, None], beta[:, None], np.r_[1 / (2 * np.pi * np.e), tilde[1:]][:, None]
# at its best variance a step costs log(var / tilde) / 2 and the decoder log(2 pi e var) / 2
table, point = (bound["learned"][0] + 0.5 * (curves.p[1:] * np.log((a + f * (b - a)) / unit)).sum() - H for f in (u_t[1:, None], u))
print(f"ideal denoiser: {table:.3f} above H with the best table, {point:.3f} with the best variance for each x_t; at t = 12 u reaches {u[11].max():.1f}")
assert point < table and u[11].max() > 1

# %% [markdown]
# **See.** Between clumps $u$ exceeds 1 many times over, although the data have variance 1: another reason not to clamp. A learns mostly the level; V, for which the bound is all there is, has begun to learn the shape. The "known optimum" of notebook 04 was the best *table*; learned variances may go below it, and for the ideal
# denoiser most of what was left of the gap would go. The $\sigma_t^2(x_t)$ of a network is a map of where it is unsure.
#
# **Now in the plane, in 8 bits.** The swirl of notebook 07, three losses at equal budget, bits per dimension on held-out points, a distance with floor and interval, and the share of samples where only 1% of the data lie. $L_{\rm simple}$ has no trained variance; it gets the best table for its own error.
# **Before you run:** will the bound again be bought with the samples?

# %% tags=["nbval-ignore-output"]
swirl, n = toy.swirl(), 4000
pixels, held_out = toy.quantise(swirl.sample(20_000, rng)), torch.tensor(toy.quantise(swirl.sample(2000, rng)), dtype=torch.float32)
H_swirl, real, spare = bits_per_dim(toy.quantised_entropy(swirl), 2), swirl.sample(n, rng), swirl.sample(4 * n, rng)
rare, start = np.quantile(swirl.log_prob(spare), 0.01), torch.randn(n, 2, generator=torch.Generator().manual_seed(7))
bits, some = {}, torch.tensor(pixels[:2000], dtype=torch.float32)
for name, (loss, times) in {"L_simple": (simple_loss, None), "L_hybrid": (hybrid_loss, None), "L_vlb": (vlb_loss, LossAwareTimes(T))}.items():
    net, variance = learn(pixels, schedule, loss, budget(quick=800, full=10_000), times), "learned"
    if name == "L_simple":
        draw = normal(torch.Generator().manual_seed(8))
        seen = [((net(marginal(schedule, some, k).sample(draw(some)), k).x_0 - some) ** 2).mean().item() for k in range(1, T + 1)]
        variance = optimal_variance(schedule, [0.0, *seen])
    spent = variational_bound(net, held_out, normal(torch.Generator().manual_seed(9)), variance=variance).total
    bits[name] = float(bits_per_dim(spent.mean(), 2)) - H_swirl
    x = last(ddpm(net, start, schedule.times(T), normal(torch.Generator().manual_seed(10)), variance=variance))
    found = sliced_wasserstein(x, real, spare, rng, resamples=50)
    print(f"{name:9s} {bits[name]:.2f} bits/dim above the entropy; in rare places {np.mean(swirl.log_prob(x.double().numpy()) < rare):.0%}; distance {found}")
assert bits["L_vlb"] < bits["L_hybrid"] < bits["L_simple"] + 0.02

# %% [markdown]
# Here the better bound comes with *better* samples, by the density clearly, by the distance probably (look at the intervals). The two experiments do not contradict each other. A bound pays for errors at small $t$, the fine structure; $L_{\rm simple}$ pays for all $t$ alike. On the swirl, after so short a training, the fine structure is what is wrong with the samples (the arm frays), and the bound is the
# better teacher. On the clumps the fine structure is easy, and what the samples lack is the right *share* of each clump, decided at large $t$, to which the bound gives next to no weight. Pictures are probably like the clumps: their finest bits are noise that no eye misses, and what the eye judges is decided early. **"Better bound, worse samples" is
# not a law. It says where the errors are that you can see.**
#
# ## 8. Few steps
#
# With a hundred steps the sampler hardly cares about its variance. Now take 10, 25 or 50 of them: the bound of the strided model, over pairs of times, and the exact $W_1$ of its samples. The learned variance mixes $\beta_{ts}$ and $\tilde\beta_{ts}$ of the *long* step, without further training. "Best table" is $\tilde\beta_{ts}+u_t(\beta_{ts}-\tilde\beta_{ts})$ with
# the exact $u_t$. **Before you run:** for ten steps, which is worse for samples, too small a variance or too large a one?

# %% tags=["nbval-ignore-output"]
low = np.array([1.0] + [fixed_variance(schedule, t - 1, t, "small") for t in range(1, T + 1)])
v_single, few = np.r_[0.0, np.log(best[1:] / low[1:]) / np.log(schedule.beta[1:] / low[1:])], {}
print("L - H (and W_1)      small          large          learned        v* of 1 step   best table")
for name, net in (("A", A), ("V", V)):
    for n in (10, 25, 50, 100):
        times, carried = schedule.times(n), np.ones(T + 1)
        for t, s in pairwise(times):
            carried[t] = fixed_variance(schedule, s, t, "small") ** (1 - v_single[t]) * schedule.beta_ts(s, t) ** v_single[t]
        kinds = {"small": "small", "large": "large", "learned": "learned", "carried": carried, "best": strided(times, u_t)}
        few[name, n] = {k: (terms(net, curves, v, times).sum() - H, model_law(net, v, times)[1] if n < 50 else np.nan) for k, v in kinds.items()}
        print(f"{name}, {n:3d} steps:      " + "  ".join(f"{g:.3f} ({d:.3f})" if n < 50 else f"{g:.3f}        " for g, d in few[name, n].values()).rstrip())
x, (name, n) = torch.tensor(data.sample(4000, rng), dtype=torch.float32), ("V", 10)
drawn = variational_bound(V, x, normal(torch.Generator().manual_seed(11)), variance="learned", times=schedule.times(n), decoder=density_term).total.double().numpy()
assert abs(drawn.mean() - H - few[name, n]["learned"][0]) < 4 * drawn.std() / np.sqrt(len(drawn))  # the library, by sampling
for (name, n), row in few.items():
    assert row["learned"][0] < min(row["small"][0], row["large"][0]) and (n > 25 or row["learned"][1] < row["small"][1])
    assert name == "A" or row["learned"][0] < row["best"][0]
assert few["A", 10]["carried"][0] > few["A", 10]["best"][0] + 0.03 and min(few["V", 10].values(), key=lambda pair: pair[1]) == few["V", 10]["learned"]

# %% [markdown]
# **See.** This is where a learned variance pays, in the bound *and* in the samples. With ten steps $\tilde\beta$ forgets all that is uncertain about $x_0$, and the law of its samples is twice as far from the data as with the learned variances. V, which knows *where* it is unsure, has a better bound than every table at every number of steps,
# and with ten steps the best samples; with 25 the best table is as good for samples, and with a hundred the choice no longer matters to them (notebook 04).
#
# One number is out of line: A with ten steps gains next to nothing over "large", and loses 0.04 nats to the best table. Its $v$ was learned for steps of length one, and section 2 said that the fraction $u_t$ holds for every stride, but the logarithmic $v_t$ does not. The column "$v^*$ of 1 step" shows what that alone can cost: it carries the *exact* $v_t^*$ of single steps over to
# the long ones, and loses 0.07. So: the logarithm is the right scale to *learn* on, the fraction is the right one to *carry over* to other strides.
#
# ## Exercises
#
# Replace the `...` and run both cells; the check says what is wrong, not only that something is. After a restart, first Run > Run All Above Selected Cell. A cell that ends in red has defined nothing: the check then still judges what was there before.
#
# ### Exercise 1: the best $v$ for your data
# Given `mmse` (entry $t$ for time $t$, $t=0..T$) return $v_t^*$ for $t=2..T$, with `t = np.arange(2, schedule.T + 1)`, `posterior_variance(schedule, t - 1, t)` and `schedule.beta[t]`.

# %%
def my_v(mmse, schedule):
    ### BEGIN SOLUTION
    # sigma*^2_t = beta-tilde_t + c_t^2 mmse_t, then Eq. 15 solved for v; the library has the first as optimal_variance(schedule, mmse).
    # Or, with u_t and rho_t of section 2: v* = log(1 + u_t (rho_t - 1)) / log rho_t.
    before, left, beta = schedule.alpha_bar[1:-1], schedule.alpha_bar[2:], schedule.beta[2:]
    tilde = (1 - before) / (1 - left) * beta
    best = tilde + before * (beta / (1 - left)) ** 2 * mmse[2:]
    return np.log(best / tilde) / np.log(beta / tilde)
    ### END SOLUTION

# %%
check("best v", my_v, curves.mmse, schedule)

# %% [markdown]
# ### Exercise 2: the weight
# Times are drawn with probabilities `p` ($T$ numbers). A training step averages `weight[t] * loss_t` over a batch, and the result should estimate the *mean* of `loss_t` over $t=1..T$. Return the weights.

# %%
def my_weights(p):
    ### BEGIN SOLUTION
    # since sum_t p_t loss_t / (T p_t) is the mean of loss_t
    return 1 / (len(p) * p)
    ### END SOLUTION

# %%
check("weights of drawn times", my_weights, by_loss)

# %% [markdown]
# ### Exercise 3: the pull on the mean
# Without the stop-gradient, the bound's gradient for $\hat\epsilon$ is a multiple of that of $L_{\rm simple}$. Return the multiple for $t=2..T$, for $\sigma_t^2=\tilde\beta_t$ and $\lambda=0.001$. ($\partial L_{\rm simple}/\partial\hat\epsilon=2(\hat\epsilon-\epsilon)$; the bound's is in section 4, times $\lambda T$. One or two lines, with `t = np.arange(2, schedule.T + 1)` and `schedule.snr`.)

# %%
def my_pull(schedule):
    ### BEGIN SOLUTION
    # lambda T c_t^2 / (beta-tilde_t SNR_t) (eps-hat - eps) over 2 (eps-hat - eps), and c_t^2 / beta-tilde_t = SNR(t-1) - SNR(t)
    t = np.arange(2, schedule.T + 1)
    return 1e-3 * schedule.T * 0.5 * (schedule.snr(t - 1) / schedule.snr(t) - 1)
    ### END SOLUTION

# %%
paper, t = Schedule.cosine(4000), np.arange(2, 4001)
check("pull on the mean", my_pull, paper)
pull = 1e-3 * 4000 * posterior_weights(paper, t - 1, t)[0] ** 2 / (2 * posterior_variance(paper, t - 1, t) * paper.snr(t))
print(f"the paper's schedule, T = 4000: the pull exceeds 1 at {np.sum(pull > 1)} times; at t = T it is {pull[-1]:.0f}")

# %% [markdown]
# ### Exercise 4: better bound, worse samples
# Section 4 with `K = 20` and `K = 240` came to opposite verdicts on $W_1$. Find the size at which the verdict turns. Predict first: which column of the table tells you that a network has something to trade? (Answer with the column: `"L - H"`, `"CE - H"`, `"W_1"` or `"eps error"`.)

# %%
column = None
### BEGIN SOLUTION
# The column "eps error": what is not there cannot be moved. Mean over five networks, L_simple against L_vlb: W_1 0.143 and 0.158 at
# K = 20, 0.124 and 0.130 at 30, 0.0285 and 0.0291 at 100 (worse in three of five), 0.0075 and 0.0068 at 300 (three networks). The bound
# is better at every size and in every network. Whether a network for pictures is "small" in this sense depends on how far its eps error
# is from the floor, which for pictures nobody knows.
column = "eps error"
### END SOLUTION

# %%
check("what there is to trade", column)

# %% [markdown]
# ### Exercise 5: how much may the bound say?
# With the stop-gradient, $\lambda$ cannot hurt $\hat\epsilon$ directly. Train hybrids with `weight` 0.001, 0.01, 0.1 and 1, and compare `terms(net, curves, "learned")` with the best table for the network's own error. Where is the optimum, and what finally goes wrong? (Answer the last question: at $\lambda=1$, what suffers, `"the mean"`, `"the variance"` or `"nothing"`?)

# %%
suffers = None
### BEGIN SOLUTION
# In one run of 2000 steps the gap was 0.056, 0.052, 0.042, 0.053 nats with the learned variance, and 0.055, 0.056, 0.058, 0.073 with
# the best table. A larger lambda teaches the variance to depend on x_t, as in V, and the hybrid keeps the eps of L_simple: the best of
# both. At lambda = 1 the features that both outputs share serve the variance more than the mean, and eps-hat suffers after all. (The
# paper used its 0.001 with T = 4000; what counts is lambda T.)
suffers = "the mean"
### END SOLUTION

# %%
check("what suffers at lambda = 1", suffers)

# %% [markdown]
# ## What to try next
#
# * A sampler of $t$ that watches the gradient: give `Training` a `times` of your own (`sample`, `update`, `state_dict`, `load_state_dict`) with `by_grad` fixed in it, and train V again.
# * Write the wrapper that carries $u$ in place of $v$ to long strides: recover $u(x_t)$ from the learned variance of the single step, and return the `var_mix` that gives $\tilde\beta_{ts}+u\,(\beta_{ts}-\tilde\beta_{ts})$. How much of A's loss at ten steps comes back?
# * `MINIDIFF_PROFILE=full` trains seven times longer (the swirl twelve times). How close does V come to the best variance for each $x_t$? (When we ran it: 0.011 above $H$ with what it learned, 0.041 with its best table; the limit is 0.005. Its $W_1$ was still larger than A's.)
# * Notebook 08 takes few steps without any noise. Compare its samplers at ten steps with the last table.
#
# ## References
#
# * Nichol, Dhariwal 2021, *Improved Denoising Diffusion Probabilistic Models*: Eq. 15 (the range), 16 ($L_{\rm hybrid}$), 17 (cosine), 18 (importance sampling of $t$), 19 (strided sampling).
# * Ho, Jain, Abbeel 2020, *Denoising Diffusion Probabilistic Models*: section 3.2 ($\beta$ or $\tilde\beta$), and the first report of a better bound with worse samples (Table 2).
# * In the ledger: `improved_ddpm 4-7`, `improved_ddpm 15`, `improved_ddpm 15 optimum`, `improved_ddpm 16`, `improved_ddpm 18`, `improved_ddpm 19`.
# * Bao, Li, Zhu, Zhang 2022, *Analytic-DPM*: the optimal variance from the model's own error. Bao et al. 2022, *Estimating the Optimal Covariance with Imperfect Mean*: one that depends on $x_t$.
# * Seitzer, Tavakoli, Antic, Martius 2022, *On the Pitfalls of Heteroscedastic Uncertainty Estimation*: how a learned variance silences the mean.
