# %% [markdown]
# # 04 · What does a diffusion model cost in bits, and where do the bits go?
#
# A diffusion model cannot say how probable it finds a picture. It can only say "at most so many bits", by a sum of a
# thousand small terms. In this notebook you take that sum apart.
#
# **When you have worked through it you can**
# * derive $L = L_T + \sum_t L_{t-1} + L_0$ from Jensen's inequality and one use of Bayes' rule,
# * compute every term by a second route, and the whole against the exact $-\log p_\theta(x_0)$,
# * say why $L_{t-1}$ is *half the drop of the signal-to-noise ratio times the error of the denoiser*,
# * answer the question that readers of DDPM programs ask most: **beta or beta-tilde?**
# * say what "bits per dimension" needs in order to mean anything.
#
# Nothing is trained here. The denoiser is exact, so every gap you will see belongs to the *method*, not to a network.
#
# You need notebooks 01 (KL), 02 (forward process) and 03 (posterior).

# %%
from minidiff.notebook import plots, setup

rng = setup(seed=4)

# %%
import matplotlib.pyplot as plt
import numpy as np
from scipy.integrate import trapezoid

from minidiff import ExactDenoiser, Gaussian, GaussianMixture, Prediction, Schedule, ddpm, last, reverse_transition
from minidiff.arrays import normal
from minidiff.bound import bits_per_dim, decoder_term, density_term, discretised_log_prob, prior_term, step_term, variational_bound
from minidiff.course import check
from minidiff.metrics import sliced_wasserstein
from minidiff.notebook.bit_budget import bit_budget, budget_explorer, budget_schedule
from minidiff.process import marginal, posterior, posterior_variance, posterior_weights, transition
from minidiff.verify import show

# %% [markdown]
# ## 1. The data, and the number to beat
#
# One dimension, four Gaussians, mean 0 and variance 1. No model can spend fewer nats on average than the entropy
# $H = -\int p \log p$, so $H$ is the number that everything below is held against. We integrate on a grid; for smooth
# densities the plain sum $\sum f(x_i)\,h$ is exact to rounding.

# %%
w, m, s = np.array([0.3, 0.2, 0.4, 0.1]), np.array([-1.2, -0.3, 0.6, 1.9]), np.array([0.12, 0.08, 0.14, 0.1])
shift, scale = w @ m, np.sqrt(w @ (m**2 + s**2) - (w @ m) ** 2)
data = GaussianMixture(w, ((m - shift) / scale)[:, None], (s / scale) ** 2)
grid = np.linspace(-9, 9, 1201)[:, None]
h = grid[1, 0] - grid[0, 0]
p_0 = np.exp(data.log_prob(grid))
H = -(p_0 * data.log_prob(grid)).sum() * h
x = data.sample(100_000, rng)
surprise = -data.log_prob(x)
assert abs(surprise.mean() - H) < 4 * surprise.std() / np.sqrt(len(x))
print(f"mass {p_0.sum() * h:.6f}   mean {(p_0 * grid[:, 0]).sum() * h:.6f}   variance {(p_0 * grid[:, 0] ** 2).sum() * h:.6f}")
print(f"entropy H = {H:.6f} nats = {H / np.log(2):.6f} bits (a density's entropy may be negative; this one is not)")

# %% [markdown]
# ## 2. The bound: Jensen once, Bayes once
#
# The model draws $x_T \sim N(0, 1)$ and walks down: $p_\theta(x_{0:T}) = p(x_T)\prod_{t=1}^T p_\theta(x_{t-1}\mid x_t)$. The
# probability of $x_0$ is the integral over all paths that end there, and $T$ nested integrals are hopeless. So multiply and
# divide by a distribution over paths that we *can* sample, the forward process, and use Jensen's inequality:
#
# $$-\log p_\theta(x_0) = -\log \mathbb{E}_{q(x_{1:T}\mid x_0)}\!\left[\frac{p_\theta(x_{0:T})}{q(x_{1:T}\mid x_0)}\right]
# \;\le\; \mathbb{E}_q\Big[\underbrace{-\log p(x_T) - \sum_{t=1}^{T}\log\frac{p_\theta(x_{t-1}\mid x_t)}{q(x_t\mid x_{t-1})}}_{W(x_{0:T})}\Big] = L .$$
#
# That is DDPM Eq. 3, and it is already complete. It is only badly arranged: each fraction compares a step *down* with a
# step *up*. Bayes' rule turns the upward step around. Given $x_0$ (the chain is Markov, so adding $x_0$ changes nothing),
#
# $$q(x_t\mid x_{t-1}) = q(x_t\mid x_{t-1}, x_0) = q(x_{t-1}\mid x_t, x_0)\,\frac{q(x_t\mid x_0)}{q(x_{t-1}\mid x_0)}\qquad (t\ge 2).$$
#
# Put this in for $t = 2..T$. The last fractions multiply to $q(x_T\mid x_0)/q(x_1\mid x_0)$, everything between cancels, and
# $q(x_1\mid x_0)$ cancels against the one upward step that was left alone:
#
# $$W = \log\frac{q(x_T\mid x_0)}{p(x_T)} + \sum_{t=2}^T \log\frac{q(x_{t-1}\mid x_t,x_0)}{p_\theta(x_{t-1}\mid x_t)} - \log p_\theta(x_0\mid x_1).$$
#
# **Before you run:** the two arrangements have the same *mean*. Do they also agree on every single path, or only on average?

# %%
schedule, n = Schedule.cosine(10), 20_000
T, denoiser = schedule.T, ExactDenoiser(data, Schedule.cosine(10))
path = [data.sample(n, rng)]
for t in range(1, T + 1):
    path.append(transition(schedule, path[-1], t - 1, t).sample(rng.standard_normal((n, 1))))
up = [transition(schedule, path[t - 1], t - 1, t).log_prob(path[t]) for t in range(1, T + 1)]
down = [reverse_transition(schedule, denoiser(path[t], t), path[t], t - 1, t).log_prob(path[t - 1]) for t in range(1, T + 1)]
prior = Gaussian(np.zeros((n, 1)), 1.0).log_prob(path[T])
direct = (-prior - sum(down) + sum(up))[:, 0]  # Eq. 3

turned = [posterior(schedule, path[0], path[t], t - 1, t).log_prob(path[t - 1]) for t in range(2, T + 1)]
regrouped = (marginal(schedule, path[0], T).log_prob(path[T]) - prior + sum(turned) - sum(down[1:]) - down[0])[:, 0]
print("largest difference on any of", n, "paths below 1e-10:", bool(np.abs(direct - regrouped).max() < 1e-10))
assert np.abs(direct - regrouped).max() < 1e-10

# %% [markdown]
# On every path: the regrouping is algebra, not statistics. Now comes the step that makes it useful. Given $x_t$ and $x_0$,
# the average over $x_{t-1}$ of each log-ratio is a KL divergence between two Gaussians, which notebook 01 has in closed form:
#
# $$L = \underbrace{\mathrm{KL}\big(q(x_T\mid x_0)\,\|\,p(x_T)\big)}_{L_T}
# + \sum_{t=2}^{T} \mathbb{E}\,\underbrace{\mathrm{KL}\big(q(x_{t-1}\mid x_t,x_0)\,\|\,p_\theta(x_{t-1}\mid x_t)\big)}_{L_{t-1}}
# \;\underbrace{-\,\mathbb{E}\log p_\theta(x_0\mid x_1)}_{L_0}\qquad\text{(DDPM Eq. 5)}$$
#
# An average taken on paper costs no samples, and each term now needs one $x_t$ only, no neighbours: terms can be drawn one at a time, which is what training does.
#
# **Before you run:** all have the same mean. Which is less noisy, a single log-ratio or a single KL? And their *sums* along a path?

# %%
ratios = [(turned[t - 2] - down[t - 1])[:, 0] for t in range(2, T + 1)]
kls = [step_term(schedule, denoiser(path[t], t), path[0], path[t], t - 1, t) for t in range(2, T + 1)]
by_kl = prior_term(schedule, path[0]) + sum(kls) + density_term(schedule, denoiser(path[1], 1), path[0], path[1])
library = variational_bound(denoiser, path[0], normal(rng), decoder=density_term).total
for name, nats in {"Eq. 3 along paths": direct, "Eq. 5 along the same": by_kl, "variational_bound": library}.items():
    print(f"{name:21s} mean {nats.mean():.1f}   standard deviation {nats.std():.1f}")
    assert abs(nats.mean() - library.mean()) < 4 * np.hypot(nats.std(), library.std()) / np.sqrt(n)
single, closed = np.mean([r.std() for r in ratios]), np.mean([k.std() for k in kls])
print(f"one term on average: standard deviation of the log-ratio {single:.2f}, of the KL {closed:.2f}")
assert single > 1.5 * closed and direct.std() < by_kl.std()

# %% [markdown]
# Two answers, and the second surprises: term by term the KL is quieter, but the whole *sum* along a path is noisier than the log-ratios it replaced.
# The log-ratios of one path cancel each other: $W = -\log p_\theta(x_0) + \log\frac{q(x_{1:T}\mid x_0)}{p_\theta(x_{1:T}\mid x_0)}$, so for a model whose reverse walk is exactly right $W$
# is, for a given $x_0$, the *same number on every path*. (Many texts say that Eq. 5 exists "to reduce variance". It does so per term, and that is where it matters: nobody can afford the whole sum in a training step.)
#
# `variational_bound` draws each $x_t$ afresh from $q(x_t\mid x_0)$ instead of walking; no term needs a neighbour, and the terms are independent given $x_0$.
#
# ## 3. Each term, by a second route
#
# With the KL of two Gaussians and the posterior of notebook 03, written out:
#
# $$L_T = \tfrac12\big[\bar\alpha_T x_0^2 - \bar\alpha_T - \log(1-\bar\alpha_T)\big],\qquad
# L_{t-1} = \tfrac12\Big[\log\frac{\sigma_t^2}{\tilde\beta_t} + \frac{\tilde\beta_t}{\sigma_t^2} - 1\Big] + \frac{c_t^2\,(x_0-\hat x_0)^2}{2\sigma_t^2},
# \qquad c_t = \frac{\sqrt{\bar\alpha_{t-1}}\,\beta_t}{1-\bar\alpha_t},$$
#
# where $c_t$ is the weight of $x_0$ in the posterior mean. DDPM drops the bracket as "$C$"; for $\sigma_t^2=\tilde\beta_t$ it is 0, otherwise
# it costs bits and must stay. The second route is to integrate $q\log(q/p)$ on the grid, knowing nothing of KL formulas.

# %%
def kl_on_grid(q, p):
    log_q, log_p = q.log_prob(grid), p.log_prob(grid)
    return float((np.exp(log_q) * (log_q - log_p)).sum() * h)

x_0, x_t, t = np.array([[0.5]]), np.array([[-0.4]]), 5
pred, left = denoiser(x_t, t), schedule.alpha_bar[T]
by_hand = 0.5 * (left * 0.5**2 - left - np.log1p(-left))
assert abs(prior_term(schedule, x_0)[0] - by_hand) < 1e-12
assert abs(kl_on_grid(marginal(schedule, x_0, T), Gaussian(np.zeros((1, 1)), 1.0)) - by_hand) < 1e-10
tilde, beta, c = posterior_variance(schedule, t - 1, t), schedule.beta[t], posterior_weights(schedule, t - 1, t)[0]
for name, var in {"small": tilde, "large": beta}.items():
    by_hand = 0.5 * (np.log(var / tilde) + tilde / var - 1) + c**2 * (0.5 - pred.x_0[0, 0]) ** 2 / (2 * var)
    on_grid = kl_on_grid(posterior(schedule, x_0, x_t, t - 1, t), reverse_transition(schedule, pred, x_t, t - 1, t, name))
    print(f"L_{t - 1}, {name} variance: by hand {by_hand:.6f}   on the grid {on_grid:.6f}")
    assert abs(step_term(schedule, pred, x_0, x_t, t - 1, t, name)[0] - by_hand) < 1e-10 and abs(on_grid - by_hand) < 1e-9

# %% [markdown]
# ## 4. The bound against the exact $-\log p_\theta(x_0)$
#
# In one dimension the hopeless integrals are not hopeless. Keep $p_\theta(x_t)$ as numbers on the grid and push it down step by step,
#
# $$p_\theta(x_{t-1}) = \int p_\theta(x_{t-1}\mid x_t)\,p_\theta(x_t)\,dx_t ,$$
#
# a matrix times a vector, $T$ times. For the bound at each $x_0$ we integrate each term over $q(x_t\mid x_0)$ in the same way. No sampling.
#
# **Before you run:** three curves over $x_0$: $-\log p(x_0)$ of the data, $-\log p_\theta(x_0)$ of the model, and the bound $L(x_0)$.
# In which order must the last two lie, *at every point*? Must the model's curve lie above that of the data everywhere?

# %%
near = np.abs(grid[:, 0]) < 4  # all of the data; further out the densities underflow

def exact_and_bound(schedule, variance):
    """-log p_theta(x_0) and L(x_0) for the x_0 of the grid between -4 and 4, by quadrature."""
    exact, T = ExactDenoiser(data, schedule), schedule.T
    model, bound = np.exp(-0.5 * grid[:, 0] ** 2) / np.sqrt(2 * np.pi), prior_term(schedule, grid)
    for t in range(T, 0, -1):
        down = reverse_transition(schedule, exact(grid, t), grid, t - 1, t, variance)  # one Gaussian for each x_t
        log_down = Gaussian(down.mean.T + 0 * grid, down.var).log_prob(grid)           # (x_{t-1}, x_t)
        model = np.exp(log_down) @ model * h
        cost = -log_down
        if t > 1:  # KL(q(x_{t-1} | x_t, x_0) || p_theta), for each pair (x_0, x_t)
            c_0, c_t = posterior_weights(schedule, t - 1, t)
            cost = Gaussian(c_0 * grid + c_t * grid.T, posterior_variance(schedule, t - 1, t)).kl(Gaussian(down.mean.T, down.var))
        reach = marginal(schedule, grid, t)
        bound = bound + (np.exp(Gaussian(reach.mean + 0 * grid.T, reach.var).log_prob(grid.T)) * cost).sum(1) * h
    return -np.log(model[near]), bound[near]

# %% alt="Bound, model and data as curves over x_0, small and large variance. In both panels the bound lies above the model everywhere, and the data's curve has sharp peaks between four clumps. With the small variance the bound is far above the model, with the large one close to it."
fig, axes = plots.panel(2, width=4.8)
for ax, variance in zip(axes, ("small", "large"), strict=True):
    nll, bound = exact_and_bound(schedule, variance)
    assert np.all(bound >= nll)
    lines = {"bound $L(x_0)$": bound, r"model $-\log p_\theta(x_0)$": nll, r"data $-\log p(x_0)$": -data.log_prob(grid)[near]}
    plots.curves(ax, grid[near], lines, "$x_0$", "nats", f"{variance} variance, T = 10")
    ax.set(xlim=(-2.3, 2.7), ylim=(-0.6, 8))
    ax.get_legend().remove()
    CE, L = (p_0[near] * nll).sum() * h, (p_0[near] * bound).sum() * h
    print(f"{variance}: H {H:.3f} <= cross-entropy {CE:.3f} <= bound {L:.3f};  misfit of the model {CE - H:.3f}, looseness {L - CE:.3f}")
    assert H <= CE <= L
    if variance == "small":
        assert abs(L - library.mean()) < 4 * library.std() / np.sqrt(n)
fig.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3)
plt.show()

# %% [markdown]
# **See.** The bound lies above the model's own curve everywhere; the model's curve crosses that of the data (it must, both
# densities integrate to 1: ten coarse steps fill the gaps between the clumps). And the two variances differ in an unexpected way: the
# two models (orange) are about equally far from the data, 0.19 and 0.21 nats. It is the *bound* (blue) that moves, from 0.97 to 0.21 above its model.
#
# ## 5. Every step is half a drop of SNR times an error
#
# Take $\sigma_t^2 = \tilde\beta_t$. The bracket vanishes and $L_{t-1} = c_t^2(x_0-\hat x_0)^2/(2\tilde\beta_t)$. With
# $\tilde\beta_t = \beta_t(1-\bar\alpha_{t-1})/(1-\bar\alpha_t)$ and $\beta_t = 1-\bar\alpha_t/\bar\alpha_{t-1}$,
#
# $$\frac{c_t^2}{\tilde\beta_t} = \frac{\bar\alpha_{t-1}\beta_t}{(1-\bar\alpha_t)(1-\bar\alpha_{t-1})}
# = \frac{\bar\alpha_{t-1}-\bar\alpha_t}{(1-\bar\alpha_t)(1-\bar\alpha_{t-1})}
# = \frac{\bar\alpha_{t-1}}{1-\bar\alpha_{t-1}} - \frac{\bar\alpha_t}{1-\bar\alpha_t},$$
#
# $$\boxed{\;L_{t-1} = \tfrac12\,\big[\mathrm{SNR}(t-1)-\mathrm{SNR}(t)\big]\;\mathbb{E}\,(x_0-\hat x_0(x_t))^2\;}$$
#
# The best $\hat x_0$ is $\mathbb{E}[x_0\mid x_t]$; its error is the *minimal mean squared error*, $\mathrm{mmse}_t = \mathbb{E}\,\mathrm{Var}(x_0\mid x_t)$.

# %%
def mmse_of(mixture, schedule):
    """E Var(x_0 | x_t) for t = 0..T, by quadrature over x_t."""
    out = np.zeros(schedule.T + 1)
    for t in range(1, schedule.T + 1):
        signal, noise = schedule.scales(t)
        p_t = np.exp(mixture.push(signal, noise**2).log_prob(grid))
        out[t] = (p_t * mixture.posterior(grid, signal, noise**2)[1][:, 0, 0]).sum() * h
    return out

tables = {(kind, T): getattr(Schedule, kind)(T) for kind in ("linear", "cosine") for T in (10, 20, 100, 1000)}
mmse = {key: mmse_of(data, table) for key, table in tables.items()}
for (kind, T), table in tables.items():
    t = np.arange(2, T + 1)
    half_drop = 0.5 * (table.snr(t - 1) - table.snr(t)) * mmse[kind, T][2:]
    kl_form = posterior_weights(table, t - 1, t)[0] ** 2 / (2 * posterior_variance(table, t - 1, t)) * mmse[kind, T][2:]
    np.testing.assert_allclose(half_drop, kl_form, rtol=1e-8)
print("the two forms agree to 1e-8 for", sum(T - 1 for _, T in tables), "steps of", len(tables), "schedules")

# %% [markdown]
# So the bound is a staircase over the curve mmse(SNR), and the curve belongs to the *data*: no schedule can move it. A schedule
# only chooses where the steps of the staircase stand. On a logarithmic axis, $\mathrm{mmse}\,d\mathrm{SNR} = (\mathrm{SNR}\cdot\mathrm{mmse})\,d\log\mathrm{SNR}$.

# %% alt="Left: error of the best guess against log SNR; the mixture's falls below that of a Gaussian between about 2 and 6 and meets it again. Right: SNR times that error as a hilly area, and the terms of a chain of 20 as boxes that stand above it, widest and highest above it near the data."
long, coarse, t = tables["cosine", 1000], tables["cosine", 20], np.arange(1, 1001)
x, curve, snr = 2 * long.half_log_snr(t), mmse["cosine", 1000][1:], long.snr(t)
fig, (a, b) = plots.panel(2, width=4.8)
plots.curves(a, x, {"this mixture": curve, "a Gaussian of variance 1": 1 / (1 + snr)}, "log SNR", "mmse", "the curve that the data own", log="y")
a.set(xlim=(-6, 9), ylim=(1e-4, 2))
b.fill_between(x, snr * curve, alpha=0.3, label=r"$\mathrm{SNR}\cdot\mathrm{mmse}$")
b.plot(x, snr / (1 + snr), color="C1", linewidth=1, label="the Gaussian's")
for k in range(2, 21):
    lo, hi = 2 * coarse.half_log_snr(k), 2 * coarse.half_log_snr(k - 1)
    height = (coarse.snr(k - 1) - coarse.snr(k)) * mmse["cosine", 20][k] / (hi - lo)  # the same area as 2 L_{k-1}
    b.plot([lo, lo, hi, hi], [0, height, height, 0], color="C2", linewidth=1, label=r"$2 L_{t-1}$, T = 20" if k == 2 else None)
b.set(xlabel="log SNR", ylabel="per unit of log SNR", title=r"$2\sum L_{t-1}$ as an area", xlim=(-6, 6))
b.legend(fontsize=9)
plt.show()

# %% [markdown]
# **See.** Left: four clumps are easier to guess than one Gaussian of the same variance: once the noise is small enough to tell the clumps apart, the error drops. Right: each green
# box is one step of a cosine schedule with $T = 20$. A box takes the error at its *noisy* end (left edge), where it is larger, so
# every box has more area than the blue below it: $L_{t-1}$ with $\tilde\beta$ overpays. Note the boxes at the far right (near the data):
# they are the widest, and they overpay most. Keep that in mind for section 7.
#
# **What does a finer chain save?** Put a time $t'$ between $s<t$. The box from $t$ to $s$ is cut in two, and the part between $t'$ and $s$ now takes the smaller error of $t'$:
#
# $$L_{2T}-L_T=\tfrac12\sum\big[\mathrm{SNR}(s)-\mathrm{SNR}(t')\big]\big(\mathrm{mmse}_{t'}-\mathrm{mmse}_t\big)\;\le\;0 .$$
#
# Cut without end and the boxes become the area: the sum of the steps tends to $L_\infty=\frac12\int_{\mathrm{SNR}_T}^{\mathrm{SNR}_1}\mathrm{mmse}\,d\mathrm{SNR}$ (VDM, its Eq. 17-18, numbering unconfirmed), in which **no schedule is left**, only its two ends. Carry the ends to 0 and $\infty$, subtract the same area
# for a Gaussian of variance 1, and the curve gives the entropy itself (Guo, Shamai, Verdú): $H=\frac12\log2\pi e-\frac12\int_0^\infty\big[\frac1{1+g}-\mathrm{mmse}(g)\big]dg$.
#
# **Before you run:** two schedules between the same ends, one even in log SNR, one slow near the data. Will their sums agree at 128 steps? In the limit?

# %%
def mmse_at(snr):
    """E Var(x_0 | x_t) at one signal-to-noise ratio."""
    signal, noise = np.sqrt(snr / (1 + snr)), np.sqrt(1 / (1 + snr))
    return (np.exp(data.push(signal, noise**2).log_prob(grid)) * data.posterior(grid, signal, noise**2)[1][:, 0, 0]).sum() * h

limits = []
for name, warp in (("even in log SNR", lambda u: u), ("slow near the data", lambda u: u * (1 + u) / 2)):
    snr = np.exp(14 - 28 * warp(np.linspace(0, 1, 513)))  # from data to noise
    error = np.array([mmse_at(g) for g in snr])
    few, more, most = (-0.5 * (np.diff(snr[::k]) * error[k::k]).sum() for k in (4, 2, 1))  # 128, 256, 512 steps
    assert np.isclose(most - more, 0.5 * ((snr[:-2:2] - snr[1::2]) * (error[1::2] - error[2::2])).sum(), rtol=1e-9) and most < more
    limits.append((few - 6 * more + 8 * most) / 3)  # errors in 1/T and 1/T^2 cancel
    gauss = -0.5 * trapezoid(snr / (1 + snr) - snr * error, np.log(snr))  # the integral of g [1/(1+g) - mmse] over log g
    print(f"{name:18s} 128 steps {few:.3f}   512 steps {most:.3f}   limit {limits[-1]:.3f}   entropy from the curve {0.5 * np.log(2 * np.pi * np.e) - gauss:.3f}")
    assert abs(0.5 * np.log(2 * np.pi * np.e) - gauss - H) < 1e-4
assert abs(limits[0] - limits[1]) < 1e-3

# %% [markdown]
# Different sums, one limit, and the entropy of section 1 comes out of a curve of *errors*. (`minidiff verify --only vdm` has the same for networks that are wrong, and for schedules of the library.)
#
# ## 6. Beta or beta-tilde? The best variance
#
# For any $\sigma_t^2$, section 3 gives, averaged over the data,
#
# $$\mathbb{E}\,L_{t-1}(\sigma_t^2) = \tfrac12\Big[\log\frac{\sigma_t^2}{\tilde\beta_t} + \frac{\tilde\beta_t + c_t^2\,\mathrm{mmse}_t}{\sigma_t^2} - 1\Big].$$
#
# The derivative with respect to $\sigma_t^2$ vanishes at $\sigma_t^{*2} = \tilde\beta_t + c_t^2\,\mathrm{mmse}_t$: the posterior's own variance *plus* what
# remains unknown about $x_0$. ($\mathrm{mmse}_t = 0$, a single point as data, gives $\tilde\beta_t$; Gaussian data of variance 1 give $\beta_t$: DDPM section 3.2.)
# The first step has no posterior. $L_0 = \tfrac12[\log 2\pi\sigma_1^2 + \mathrm{mmse}_1/\sigma_1^2]$, best at $\sigma_1^{*2} = \mathrm{mmse}_1$.
#
# Four choices to compare: $\tilde\beta_t$ as in Ho et al.'s program (with $\tilde\beta_2$ lent to $t=1$, where $\tilde\beta_1 = 0$); $\beta_t$ as in that
# program (again $\tilde\beta_2$ at $t = 1$); $\beta_t$ everywhere; and $\sigma_t^{*2}$.
#
# **Before you run:** $T = 10, 100, 1000$. Which column goes to 0? Does any column *not*? Is any of them larger at 100 than at 10?

# %%
def exact_bound(schedule, mmse, second_moment=1.0):
    """(prior, steps, decoder) in nats for each of the four variances, from the mmse curve alone; and the optimal variances."""
    t, beta, left = np.arange(1, schedule.T + 1), schedule.beta[1:], schedule.alpha_bar[-1]
    tilde, c = posterior_variance(schedule, t - 1, t), posterior_weights(schedule, t - 1, t)[0]
    best = tilde + c**2 * mmse[1:]
    prior = 0.5 * (left * second_moment - left - np.log1p(-left))
    def terms(var):
        steps = 0.5 * (np.log(var[1:] / tilde[1:]) + best[1:] / var[1:] - 1)
        return prior, steps.sum(), 0.5 * (np.log(2 * np.pi * var[0]) + best[0] / var[0])
    choices = {"beta~": np.r_[tilde[1], tilde[1:]], "beta (b~ at 1)": np.r_[tilde[1], beta[1:]], "beta": beta, "optimal": best}
    return {name: terms(var) for name, var in choices.items()}, best

# %%
gap, second = {}, (p_0 * grid[:, 0] ** 2).sum() * h
print(f"{'L - H in nats':14s}" + "".join(f"{name:>16s}" for name in ("beta~", "beta (b~ at 1)", "beta", "optimal")))
for kind in ("linear", "cosine"):
    for T in (10, 100, 1000):
        table = tables[kind, T]
        terms, best = exact_bound(table, mmse[kind, T], second)
        gap[kind, T] = {name: sum(parts) - H for name, parts in terms.items()}
        print(f"{kind + ', ' + str(T):14s}" + "".join(f"{v:16.4f}" for v in gap[kind, T].values()))
        assert min(gap[kind, T].values()) == gap[kind, T]["optimal"] > 0
        assert np.all(best[1:] <= table.beta[2:] * (1 + 1e-9))  # beta is an upper bound because the data have variance 1
assert gap["cosine", 1000]["beta"] < 0.01 and gap["cosine", 1000]["beta~"] > 0.4

# %% [markdown]
# With $\beta_t$ or the optimal variance the gap goes to zero like $1/T$. With $\tilde\beta_t$ it does not: half a nat stays, although *nothing is
# wrong with this model*, whose denoiser is perfect. (`linear` with the usual betas and small $T$ is a different failure: $\bar\alpha_T = 0.90$
# at $T = 10$, and the prior is far from $q(x_T)$; notebook 02.)
#
# ## 7. Where half a nat comes from
#
# Take Gaussian data, $x_0\sim N(0,s^2)$, where all is closed form: $v_t = \bar\alpha_t s^2 + 1-\bar\alpha_t$, $\sigma_t^{*2} = \beta_t v_{t-1}/v_t$, and, with
# $r_t = \sigma_t^{*2}/\sigma_t^2$,
#
# $$L - H = \underbrace{\mathrm{KL}(q(x_T)\,\|\,p)}_{\text{prior}} + \sum_{t=1}^T \tfrac12\,[\,r_t - 1 - \log r_t\,].$$
#
# Each bracket is $\mathbb{E}\,\mathrm{KL}\big(q(x_{t-1}\mid x_t)\,\|\,p_\theta(x_{t-1}\mid x_t)\big)$, the *true* reverse step against the model's: for Gaussian data this is DDPM's Eq. 16, the bound with all that cannot be helped taken out as $H$.
#
# Near the data $1-\bar\alpha_t \approx t\beta$, hence $\tilde\beta_t \approx \beta\,(t-1)/t$ while $\sigma_t^{*2}\approx\beta$: the ratio is $r_t \approx t/(t-1)$. **The step size has cancelled.**
# However large $T$, the second step has $r_2 = 2$, the third $r_3 = 3/2$, and the first, which borrows $\tilde\beta_2$, $r_1 = 2$. Their sum is
#
# $$\tfrac12(1-\log 2) + \tfrac12\sum_{n=1}^\infty\Big[\frac1n-\log\frac{n+1}{n}\Big] = \tfrac12(1-\log2)+\tfrac12\gamma_{\rm Euler} = 0.15343+0.28861 = 0.44203\ \text{nats per dimension.}$$
#
# The bracket is the area between the boxes $1/n$ and the curve $1/x$, which is how Euler's constant is defined. These are the wide boxes at the right of the
# last figure: halving the steps gives more boxes, but the last ones are always a factor 2, 3/2, 4/3, ... wide.

# %%
def gaussian_gap(schedule, s2):
    t, beta = np.arange(1, schedule.T + 1), schedule.beta[1:]
    v = schedule.alpha_bar * s2 - np.expm1(schedule.log_alpha_bar)
    tilde, best = posterior_variance(schedule, t - 1, t), beta * v[:-1] / v[1:]
    choices = {"beta~": np.r_[tilde[1], tilde[1:]], "beta (b~ at 1)": np.r_[tilde[1], beta[1:]], "beta": beta, "optimal": best}
    waste = {name: 0.5 * (best / var - 1 - np.log(best / var)) for name, var in choices.items()}
    return 0.5 * (v[-1] - 1 - np.log(v[-1])), waste

n = np.arange(1, 10**6)
limit = 0.5 * (1 - np.log(2)) + 0.5 * np.euler_gamma
assert abs((1 / n - np.log1p(1 / n)).sum() - np.euler_gamma) < 1e-6
Ts = np.unique(np.geomspace(4, 30_000, 25).astype(int))
rows = {kind: [gaussian_gap(budget_schedule(kind, T), 0.25) for T in Ts] for kind in ("cosine", "rescaled")}

# %% alt="Left: gap of the bound over T. With beta it falls to zero in a straight line; with beta-tilde it first rises and then settles on the grey line; with beta-tilde at the first step only it settles lower. Right: nats wasted per step, large at steps 1 and 2, and fast to fall after."
fig, (a, b) = plots.panel(2, width=4.8)
for style, row in zip(("-", "--"), rows.values(), strict=True):
    for i, name in enumerate(("beta~", "beta (b~ at 1)", "beta")):
        a.plot(Ts, [prior + waste[name].sum() for prior, waste in row], style, color=f"C{i}", label=name if style == "-" else None)
    assert max(prior + waste["optimal"].sum() for prior, waste in row) < 1e-8  # far below the plot, at every T
a.axhline(limit, color="0.4", linewidth=1)
a.set(xscale="log", yscale="log", ylim=(1e-6, 3), xlabel="T", ylabel="L - H, nats", title="solid: cosine, dashed: rescaled linear")
a.legend(fontsize=9, loc="lower left")
waste = rows["cosine"][-1][1]["beta~"]
b.bar(np.arange(1, 13), waste[:12], label="measured, T = 30000")
b.plot(np.arange(2, 13), 0.5 * (1 / np.arange(1, 12) - np.log1p(1 / np.arange(1, 12))), "o", color="C1", label=r"$\frac{1}{2}[\frac{1}{t-1}-\log\frac{t}{t-1}]$")
b.set(xlabel="step t", ylabel="nats wasted", title="the first steps pay it all")
b.legend()
plt.show()
print(f"limit {limit:.5f} nats = {limit / np.log(2):.4f} bits per dimension; at T = {Ts[-1]}: {waste.sum():.3f}")
prior_4, waste_4 = gaussian_gap(Schedule.cosine(4), 0.25)
assert abs(waste_4["optimal"].sum()) < 1e-12 and abs(waste.sum() - limit) < 0.01 and abs(waste[1] - 0.5 * (1 - np.log(2))) < 0.01

# %% [markdown]
# **See.** Left: both schedules run into the grey line with $\tilde\beta$ (and *rise* on the way there: from $T=10$ to $T=30$ a finer chain has a
# worse bound!), into $\frac12(1-\log2)$ when only $\sigma_1^2$ is badly chosen, and to zero with $\beta$. With the optimal variance the prior's share is all
# there is, **already at $T = 4$**. Right: a dozen steps carry the loss.
#
# The ledger of the library holds the same limit for other data and schedules, by extrapolation in $T$:

# %%
show("gaussian", "B14")

# %% [markdown]
# ## 8. Which variance would you ship?
#
# A bound that is loose by half a nat, and nobody saw it in the samples? Section 4 has the answer: $L - H = (L - \mathrm{CE}) + (\mathrm{CE} - H)$, and samples show only the
# second part, how far $p_\theta$ is from the data. Let us look at samples, with a distance that comes with its floor: what *real against real* scores at
# the same $n$.
#
# **Before you run:** the gaps at cosine, $T = 100$, are in the table of section 6. Rank the four by how good their samples will be.

# %%
n, table = 4000, tables["cosine", 100]
exact, (_, best) = ExactDenoiser(data, table), exact_bound(table, mmse["cosine", 100], second)
real, spare, start = data.sample(n, rng), data.sample(8 * n, rng), rng.standard_normal((n, 1))
ship = {"beta~": "small", "beta (b~ at 1)": "large", "beta": table.beta, "optimal": np.r_[0.0, best]}
for name, variance in ship.items():
    x = last(ddpm(exact, start, table.times(100), normal(np.random.default_rng(0)), variance=variance))
    found = sliced_wasserstein(x, real, spare, np.random.default_rng(1))
    print(f"{name:15s} gap of the bound {gap['cosine', 100][name]:.3f} nats    distance {found}")
    assert found.value < 0.1

# %% [markdown]
# The distances are all at the floor, where no metric can tell them apart at this $n$; the gaps differ by a factor of sixteen. (Rows two and three are the *same* samples: Algorithm 2 adds no
# noise on its last step, so $\sigma_1^2$ enters the bound and never a sample.) Where the loss sits, in the first few steps, the noise is
# tiny: a wrong $\sigma_2^2$ blurs or sharpens a sample by a hair's breadth. A bound is relative, $\log(\sigma_t^{*2}/\sigma_t^2)$, and hears the factor 2; the eye hears $\sigma_2^2$
# itself.
#
# **So:** to *look at* samples, either will do (for few steps they do differ: exercise 3). To *report bits*, use the optimal variance, or learn it (Improved DDPM, notebook 09: its learned $\sigma_t$
# runs between $\tilde\beta_t$ and $\beta_t$ for exactly this reason), and never compare two models whose variances were chosen differently.
#
# ## 9. Rate and distortion
#
# Read the bound as a *code*: send $x_T$, then $x_{T-1}$, ... . After the message for $x_t$ the receiver has spent $\mathrm{rate}(t) = L_T + \sum_{u>t}L_{u-1}$ and can show $\hat x_0(x_t)$, with
# error $\mathrm{mmse}_t$. Shannon's theorem says that Gaussian data at distortion $D$ need $\frac12\log(s^2/D)$ nats, and no code can do better. **Before you run:** where will diffusion lie?

# %% alt="Rate in bits against distortion. The Gaussian's diffusion code lies on Shannon's bound all along. The mixture's lies on it at small distortion, bends away above it in the middle, and comes down to zero only at distortion 1, well to the right of its bound."
fig, ax = plots.panel(1, width=6, height=3.6)
table, t = tables["cosine", 1000], np.arange(2, 1001)
gauss_mmse, gauss_H = np.r_[0.0, 1 / (1 + table.snr(np.arange(1, 1001)))], 0.5 * np.log(2 * np.pi * np.e)
for name, curve, entropy, colour in (("Gaussian", gauss_mmse, gauss_H, "C0"), ("mixture", mmse["cosine", 1000], H, "C1")):
    best = posterior_variance(table, t - 1, t) + posterior_weights(table, t - 1, t)[0] ** 2 * curve[2:]
    steps = 0.5 * np.log(best / posterior_variance(table, t - 1, t))      # E L_{t-1} at the optimal variance
    rate = np.cumsum(steps[::-1])[::-1] - 0.5 * np.log1p(-table.alpha_bar[-1])  # everything sent until x_{t-1} is known
    D = curve[1:-1]
    plots.curves(ax, D, {f"{name}: diffusion code": rate / np.log(2)}, "distortion D (mean squared error)", "rate, bits", log="x")
    shannon = entropy - 0.5 * np.log(2 * np.pi * np.e * D)
    ax.plot(D, np.maximum(shannon, 0) / np.log(2), "--", color=colour, linewidth=4, alpha=0.35, label=f"{name}: Shannon's lower bound")
    print(f"{name}: on Shannon's curve to 1e-9 nats everywhere: {bool(np.abs(rate - shannon).max() < 1e-9)}")
    assert np.all(rate > shannon - 1e-9) and (name == "mixture" or np.abs(rate - shannon).max() < 1e-9)
ax.legend()
plt.show()

# %% [markdown]
# **See.** For Gaussian data the diffusion code lies *on* Shannon's curve, at every $t$. For the mixture it lies above the lower bound
# $H - \frac12\log 2\pi e D$ while it is being decided which clump it is, and joins it once only the position inside a clump is left.
#
# ## 10. Bits per dimension need bins
#
# A density is not a probability: $-\log_2$ of a density of continuous data can be any number, and for data on a *grid* a density model can reach $-\infty$ by
# putting ever narrower spikes on the grid points. Pixels are on a grid of 256 levels $k/127.5-1$. DDPM's last step (Eq. 13) therefore gives each level the Gaussian's
# *mass* between its neighbours' midpoints, $\pm\frac1{255}$, with the outermost bins open.

# %%
levels = (np.arange(256) / 127.5 - 1)[:, None]
for mean, var in ((0.1, 0.02), (0.999, 0.3), (-1.7, 0.01), (0.1, 1e-8)):
    mass = np.exp(discretised_log_prob(Gaussian(np.full((256, 1), mean), var), levels)).sum()
    print(f"mean {mean:6.3f}, variance {var:7.0e}: the 256 masses sum to {mass:.10f}")
    assert abs(mass - 1) < 1e-12
spike = Gaussian(levels, 1e-12)  # a model that knows the level exactly
print(f"-log2 density {-spike.log_prob(levels).mean() / np.log(2):.1f} 'bits', of a mass {abs(discretised_log_prob(spike, levels).mean()) / np.log(2):.1f} bits")
p_k = np.exp(discretised_log_prob(Gaussian(0 * levels, 0.2**2), levels))
discrete, smooth = -(p_k * np.log2(p_k)).sum(), 0.5 * np.log2(2 * np.pi * np.e * 0.2**2) + np.log2(127.5)
print(f"N(0, 0.2^2) in 256 levels: entropy {discrete:.5f} bits; density's entropy + log2(127.5) = {smooth:.5f}")
assert abs(discrete - smooth) < 1e-3

# %% [markdown]
# The first of the last two lines is the disease: a model that knows the levels "needs" $-18.6$ bits, and any number below that by a narrower spike. The second line is the cure for smooth data: where the density is smooth over a bin of width $2/255\approx 1/127.5$, mass $\approx$ density/127.5, so a density in $[-1,1]$ units is compared with 8-bit codes by adding
# $\log_2 127.5 = 6.99$ bits per dimension. (Forget it, and your model beats the entropy by 7 bits. People have published that.)
#
# The ledger checks single bins by quadrature too, and masses fifty standard deviations away, where a difference of two distribution functions is 0 - 0:

# %%
show("ddpm", "13")

# %% [markdown]
# Now the whole bound on 8-bit data. The ideal denoiser of data on 256 levels is that of a mixture of 256 *points*: `GaussianMixture` with variances 0. Prior and steps come
# from its mmse curve as before; only the decoder is new, and it is integrated over $q(x_1\mid x_0)$ for each of the 256 levels. **Before you run:** does the half nat
# (0.64 bits) survive the change from densities to bins?

# %%
pixels, table = GaussianMixture(p_k[:, 0] / p_k.sum(), levels, np.zeros(256)), tables["cosine", 100]
ideal = ExactDenoiser(pixels, table)
terms, best = exact_bound(table, mmse_of(pixels, table), second_moment=0.2**2)
reach = marginal(table, levels, 1)
weight = p_k * np.exp(Gaussian(reach.mean + 0 * grid.T, reach.var).log_prob(grid.T)) * h  # of each pair (x_0, x_1)
pairs, x_1 = np.repeat(levels, len(grid), 0), np.tile(grid, (256, 1))
guess = Prediction(np.tile(ideal(grid, 1).x_0, (256, 1)), None)
for name, variance in {"beta~": "small", "beta (b~ at 1)": "large", "beta": table.beta, "optimal": np.r_[0.0, best]}.items():
    decoder = (weight * decoder_term(table, guess, pairs, x_1, variance).reshape(weight.shape)).sum()
    prior, steps = terms[name][:2]
    total = bits_per_dim(prior + steps + decoder, 1)
    print(f"{name:15s} steps {steps / np.log(2):.3f} + decoder {decoder / np.log(2):.3f} = {total:.3f}   gap {total - discrete:.3f} bits/dim")
    assert total > discrete
bound = variational_bound(ideal, pixels.sample(500, rng), normal(rng), variance=np.r_[0.0, best]).total / np.log(2)
assert abs(bound.mean() - total) < 4 * bound.std() / np.sqrt(500)  # the library, by sampling

# %% [markdown]
# It does. Rows two to four differ by what happens at $t=1$ and by $\beta$ against the optimum; the decoder's bits hardly care, the steps' do.
#
# ## 11. The bit budget, live
#
# Gaussian data in 8-bit units ($\log_2 127.5$ added to every density), everything in closed form. Move $T$, the data's standard deviation, the schedule and the variance. Watch the orange area (the waste), and in
# the readout the difference between the gap and the part of it that samples could show.
#
# The last two knobs make the ideal denoiser err: `output` is the number that it gives a little too high, by `error` at every $t$. While `error` is 0 the output makes no difference, for each can be computed from each.
# **Before you run**: an error of 0.01 in $\epsilon$, in $x_0$, in $v$ or in the score: which of them costs most near $t=T$, which near $t=1$, and which of the four would you let a network give?

# %%
explorer = budget_explorer()
explorer

# %%
print(explorer.text)
controls = explorer.controls
for choice in ("large", "beta", "optimal"):
    controls.variance.value = choice  # what a hand on the drop-down list does
    print(choice, "->", explorer.text.splitlines()[1])
controls.T.value, controls.variance.value, controls.std.value = 1000, "small", 0.02
print("data of std 0.02, T = 1000:", explorer.text.splitlines()[1])
b = bit_budget(1000, 0.5, "cosine", "small")
prior, waste = gaussian_gap(Schedule.cosine(1000), 0.25)
assert abs((b["total"] - b["entropy"]) * np.log(2) - prior - waste["beta~"].sum()) < 1e-9

# %%
controls.variance.value, controls.std.value, controls.kind.value, controls.error.value = "beta", 0.25, "cosine", 0.01
ideal = bit_budget(1000, 0.25, "cosine", "beta")
cost = {}
for output in ("eps", "x_0", "v", "score"):
    controls.output.value = output
    b = bit_budget(**explorer.values())
    first, last, cost[output] = b["decoder"] - ideal["decoder"], b["erring"][-1], b["total"] - ideal["total"]
    print(f"{output:5s} off by 0.01: {cost[output]:9.4f} bits/dim, at t = 1 {first:.4f}, at t = T {last:.4f}; in the samples {b['misfit']:.4f}")
assert min(cost, key=cost.get) == "v" and max(cost, key=cost.get) == "x_0"
controls.error.value, controls.T.value, controls.kind.value, controls.variance.value = 0.0, 100, "rescaled", "small"  # your turn

# %% [markdown]
# **See.** The same 0.01 costs 3,700 times as much in $x_0$ as in $v$. Near $t=1$ a step is only $\sqrt{\beta_t}$ wide, and $x_0$ must be known finely: $t=1$ alone takes 1.75 bits, while an error of $\epsilon$ arrives there
# multiplied by $\sqrt{1-\bar\alpha_t}/\sqrt{\bar\alpha_t}$, which is small. At the other end that factor is huge: nearly all that $\epsilon$ and the score lose, they lose in the single step from $t=T$, because this schedule ends at $\bar\alpha_T\approx 0$
# (choose `rescaled`, which ends at $\bar\alpha_T = 4\cdot10^{-5}$, and it is gone). $v$ has no such end. In the *samples* none of the errors but that of $x_0$ shows.
#
# That is one half of the comparison. The other half is how large an error each network makes: at small $t$ the picture is nearly given, and a network that says $x_0$ is off by far less than 0.01 there. Notebook 05 trains them.

# %% [markdown]
# ## Exercises
#
# Replace the `...` and run both cells; the check says what is wrong, not only that something is. After a restart, first Run > Run All Above Selected Cell. A cell that ends in red has defined nothing: the check then still judges what was there before.
#
# ### Exercise 1: the weight of a step
# DDPM trains on $\|\epsilon-\epsilon_\theta\|^2$. Since $x_0-\hat x_0 = -\sqrt{(1-\bar\alpha_t)/\bar\alpha_t}\,(\epsilon-\epsilon_\theta)$, rewrite the boxed identity as
# $L_{t-1} = w_t\,\mathbb{E}(\epsilon-\epsilon_\theta)^2$ and return $w_t$ for $t = 2..T$ (an array of $T-1$ numbers), with `t = np.arange(2, schedule.T + 1)`, `schedule.snr(t - 1)` and `schedule.snr(t)`.

# %%
def my_weights(schedule):
    ### BEGIN SOLUTION
    # w_t = [SNR(t-1) - SNR(t)] / (2 SNR(t)). L_simple sets every w_t to 1; notebook 05 plots what that does.
    t = np.arange(2, schedule.T + 1)
    return 0.5 * (schedule.snr(t - 1) / schedule.snr(t) - 1)
    ### END SOLUTION

# %%
check("weight of a step", my_weights, Schedule.cosine(50))

# %% [markdown]
# ### Exercise 2: your own 256 masses
# Write the mass that $N(\text{mean}, \text{std}^2)$ gives to each of the 256 levels, with open end bins. (`scipy.special.ndtr` is the normal distribution function; the levels are `np.arange(256) / 127.5 - 1`.) Return 256 numbers.

# %%
def my_masses(mean, std):
    ### BEGIN SOLUTION
    # Fine for a check. The library works with logarithms of the distribution function and chooses the tail in which nothing
    # cancels, because ndtr of a mean nine standard deviations away on the right is exactly 1, and 1 - 1 = 0 has no logarithm.
    from scipy.special import ndtr

    edges = np.arange(255) / 127.5 - 1 + 1 / 255
    return np.diff(np.r_[0, ndtr((edges - mean) / std), 1])
    ### END SOLUTION

# %%
check("256 masses", my_masses, 0.9, 0.25)

# %% [markdown]
# ### Exercise 3: few steps
# Repeat section 8 with `Schedule.cosine(10)`. Now the samples differ. Which variance is closest, and which one would you expect from
# $V \leftarrow G^2V+\sigma^2$, the recursion of the samples' variance? (Compare `bit_budget(10, 0.5, "cosine", v)["misfit"]`.) Answer with the one of smallest misfit: `"beta~"` (the budget calls it `"small"`), `"beta"` or `"optimal"`.

# %%
closest = None
### BEGIN SOLUTION
# With ten steps the variance added per step is no longer small: beta-tilde leaves the samples too narrow (each step forgets the
# uncertainty c_t^2 mmse_t), beta makes those of a narrow Gaussian too wide, the optimal one is right for Gaussian data and nearly
# right for the mixture. The misfit in the bit budget is 0 (to rounding) only for "optimal" once alpha_bar_T -> 0. On the mixture of
# section 8, 4,000 samples: distance 0.099 with beta-tilde, 0.049 with beta, 0.047 with the optimal one; the last two cannot be told apart.
closest = "optimal"
### END SOLUTION

# %%
check("variance for few steps", closest)

# %% [markdown]
# ### Exercise 4: repair twelve numbers
# The waste sits in the first steps. Build an explicit variance table for `Schedule.cosine(1000)` that is $\tilde\beta_t$ *except* for $t\le k$, where it is $\beta_t$. With `exact_bound` as a model,
# find how the gap depends on $k$, and the smallest $k$ that brings it below 0.05 nats. Write a function of the schedule, of $\mathrm{mmse}_t$ for $t=0..T$ (an array of $T+1$ numbers) and of the entropy, for data of variance 1; it returns the smallest $k\ge1$.

# %%
def my_smallest_k(schedule, mmse, entropy):
    ### BEGIN SOLUTION
    # For Gaussian data the waste beyond step k is about 1/2 sum_{n >= k} [1/n - log(1 + 1/n)], or 1/2 sum_{n >= k} 1/(2 n^2), or
    # 1/(4k). Measured for the mixture: 0.508 with beta-tilde throughout, 0.20 at k = 2, 0.089 at k = 5, 0.047 at k = 10, 0.010 at
    # k = 100. Ten variances out of a thousand were the matter.
    t, left = np.arange(1, schedule.T + 1), schedule.alpha_bar
    tilde = (1 - left[:-1]) / (1 - left[1:]) * schedule.beta[1:]
    best = tilde + left[:-1] * (schedule.beta[1:] / (1 - left[1:])) ** 2 * mmse[1:]
    for k in range(1, schedule.T + 1):
        var = np.where(t <= k, schedule.beta[1:], tilde)
        steps = 0.5 * (np.log(var[1:] / tilde[1:]) + best[1:] / var[1:] - 1).sum()
        decoder = 0.5 * (np.log(2 * np.pi * var[0]) + best[0] / var[0])
        if -0.5 * np.log1p(-left[-1]) + steps + decoder - entropy < 0.05:
            return k
    ### END SOLUTION

# %%
check("how many variances to repair", my_smallest_k, tables["cosine", 1000], mmse["cosine", 1000], H)

# %% [markdown]
# ### Exercise 5: clipping
# Wrap the exact denoiser of section 2 in `Clipped(denoiser, -1, 1)` (`from minidiff import Clipped`) and evaluate the bound. Better or worse? And for data inside $[-1, 1]$, such as the pixels of section 10? Answer both with `"better"`, `"worse"` or `"the same"`.

# %%
section_2, section_10 = None, None
### BEGIN SOLUTION
# Worse in section 2: the data reach to +-2 and the clipped guess cannot follow. For data inside the box, clipping is a projection
# onto a convex set that contains x_0, so the error can only fall, and for the ideal denoiser it changes nothing: a conditional
# mean never leaves the box. A network's bound may thus improve. It is then the bound of the clipped model, and honest only if the
# sampler clips too.
section_2 = "worse"
section_10 = "the same"
### END SOLUTION

# %%
check("clipping data that leave the box", section_2)
check("clipping data inside the box", section_10)

# %% [markdown]
# ## What to try next
#
# * Give the mixture components of standard deviation 0.01 and watch at which $T$ the gap of $\beta$ becomes small. Why so late? (Where on the log-SNR axis does the mmse curve fall now?)
# * Place the ten steps of a $T=10$ schedule yourself, to make the boxes of section 5 fit the curve of *this* mixture. How much of the gap of $\sigma^{*2}$ can you win?
# * Notebook 05 reads the same boxes as *weights* of the training loss; notebook 07 trains a network and spends its bits; notebook 09 learns the variance.
#
# ## References
#
# * Ho, Jain, Abbeel 2020, *Denoising Diffusion Probabilistic Models*: Eq. 3 and 5 (the bound), 8 (the constant $C$), 13 (decoder), section 3.2 ($\beta$ or $\tilde\beta$), section 4.3 (rate and distortion).
# * Kingma, Salimans, Poole, Ho 2021, *Variational Diffusion Models*: the SNR form, Eq. 13-14 (numbering unconfirmed).
# * Nichol, Dhariwal 2021, *Improved DDPM*: Eq. 15, learned variances. Bao et al. 2022, *Analytic-DPM*: the optimal variance.
# * In the ledger: `ddpm 1`, `ddpm 3`, `ddpm 5`, `ddpm 8`, `ddpm 13`, `ddpm 16`, `ddpm L_T`, `ddpm section 3.2`, `ddpm section 4.3`, `ddpm bits/dim`, `ddpm bound of a pixel`, `vdm 13`, `vdm 17-18`, `vdm doubling`, `vdm invariance`,
#   `gaussian B08`, `gaussian B09`, `gaussian B10`, `gaussian B11`, `gaussian B12`, `gaussian B13`, `gaussian B14`, `mixture B15`, `mixture B16`, `mixture B18`, `mixture B21`.
# * Guo, Shamai, Verdú 2005: mutual information and the minimal mean squared error. Shannon 1959: rate and distortion.
