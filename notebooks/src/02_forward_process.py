# %% [markdown]
# # 02 · How much noise is enough to forget a picture?
#
# The forward process of a diffusion model learns nothing. It takes a picture and, a thousand times, shrinks it a little and
# adds a little noise. Still, most failed trainings are decided here, before any network is built.
#
# After this notebook you can
# 1. derive $q(x_t\mid x_0)$ from $q(x_t\mid x_{t-1})$, and check it against a simulated chain and against an integral on a
#    grid;
# 2. compare schedules (linear, cosine, sigmoid) by what matters, the signal-to-noise ratio at each step;
# 3. tell from one number, $L_T$, whether a schedule is long enough, and say why $T=50$ with the usual betas is not.
#
# Needed: notebook 01 (`push` and `kl`). In code, `t` is the paper's $t$: $t=0$ is data, $t=T$ is noise, tables have $T+1$
# entries.

# %%
from minidiff.notebook import budget, plots, setup, widgets

rng = setup(seed=1)

# %%
import matplotlib.pyplot as plt
import numpy as np
from scipy.integrate import trapezoid

from minidiff import ExactDenoiser, Gaussian, GaussianMixture, Schedule, bits_per_dim, ddpm, last, marginal, prior_term, transition
from minidiff.arrays import normal
from minidiff.course import check
from minidiff.run import mnist
from minidiff.toy import swirl
from minidiff.verify import show

# %% [markdown]
# ## 1. One step
#
# $$q(x_t\mid x_{t-1}) = \mathcal N\big(x_t;\ \sqrt{1-\beta_t}\,x_{t-1},\ \beta_t I\big)
# \qquad\text{that is}\qquad x_t = \sqrt{1-\beta_t}\,x_{t-1} + \sqrt{\beta_t}\,\varepsilon_t .$$
#
# Why the odd factor $\sqrt{1-\beta_t}$? Take data of variance $s^2$. One step makes it $(1-\beta)s^2+\beta$ (variances take the
# square of a scale, and independent ones add). If $s^2=1$ it stays 1, whatever $\beta$; if not, it moves towards 1:
#
# $$\operatorname{Var}x_t - 1 = (1-\beta_t)(\operatorname{Var}x_{t-1}-1).$$
#
# The process *preserves* unit variance, so the network always sees inputs of about the same size. Without the factor the
# variance would grow without end; with $1-\beta$ in its place it would settle near one half.
#
# Ho et al. let $\beta_t$ rise linearly from $10^{-4}$ to $0.02$ over $T=1000$ steps.

# %%
schedule = Schedule.linear(T=1000, beta_1=1e-4, beta_T=0.02)
assert len(schedule.beta) == 1001 and np.allclose(schedule.beta[[1, 1000]], [1e-4, 0.02])

one = transition(schedule, np.array([2.0]), s=299, t=300)
beta = schedule.beta[300]
assert np.allclose(one.mean, np.sqrt(1 - beta) * 2.0) and np.isclose(one.var, beta)
print(f"beta_300 = {beta:.5f}: a pixel of value 2 becomes {one.mean[0]:.4f} plus noise of std {np.sqrt(one.var):.4f}")

# %% [markdown]
# ## 2. Two steps, and then all
#
# Insert one step into the next:
#
# $$x_2 = \sqrt{1-\beta_2}\,\big(\sqrt{1-\beta_1}\,x_0+\sqrt{\beta_1}\,\varepsilon_1\big)+\sqrt{\beta_2}\,\varepsilon_2
#       = \sqrt{(1-\beta_1)(1-\beta_2)}\;x_0 + \underbrace{\sqrt{(1-\beta_2)\beta_1}\,\varepsilon_1+\sqrt{\beta_2}\,\varepsilon_2}_{\text{one Gaussian}}.$$
#
# Two independent Gaussian noises are one (01, section 2), of variance $(1-\beta_2)\beta_1+\beta_2 = 1-(1-\beta_1)(1-\beta_2)$:
# multiply out and see. So with $\bar\alpha_t=\prod_{i\le t}(1-\beta_i)$ we have the pattern for $t=2$. *Induction:* if
# $\operatorname{Var}=1-\bar\alpha_{t-1}$ before, then after the step
# $(1-\beta_t)(1-\bar\alpha_{t-1})+\beta_t = 1-(1-\beta_t)\bar\alpha_{t-1}=1-\bar\alpha_t$. Hence
#
# $$\boxed{\,q(x_t\mid x_0)=\mathcal N\big(\sqrt{\bar\alpha_t}\,x_0,\ (1-\bar\alpha_t)I\big),\qquad \bar\alpha_t=(1-\beta_t)\,\bar\alpha_{t-1},\quad \bar\alpha_0=1.}$$
#
# We can jump to any $t$ without walking. That is what makes training cheap: every training step picks one $t$ and one noise.

# %%
x_0 = np.array([2.0, -0.5])
walked, alpha_bar, worst = Gaussian(x_0, 0.0), 1.0, 0.0
for t in range(1, schedule.T + 1):
    beta = schedule.beta[t]
    walked = walked.push(np.sqrt(1 - beta), beta)  # one step, exactly
    alpha_bar = (1 - beta) * alpha_bar  # the recursion
    jumped = marginal(schedule, x_0, t)  # the library, in one go
    worst = max(worst, np.abs(walked.mean - jumped.mean).max(), abs(walked.var - jumped.var), abs(alpha_bar - schedule.alpha_bar[t]))

assert worst < 1e-12
print(f"walk and jump agree at all {schedule.T} times: {worst < 1e-12}")

# %% [markdown]
# ## 3. Ask a chain that knows no algebra
#
# A random walk does not know our derivation. Start many walkers at $x_0=2$, follow the definition, and compare mean and
# variance with the box.
#
# **Before you run:** at which $t$ will the crowd have half forgotten where it started, so that $\bar\alpha_t = \tfrac12$? At
# 500?

# %%
n = budget(quick=20_000, full=200_000)
walkers, paths, seen = np.full(n, 2.0), [np.full(40, 2.0)], {}
for t in range(1, schedule.T + 1):
    walkers = np.sqrt(1 - schedule.beta[t]) * walkers + np.sqrt(schedule.beta[t]) * rng.standard_normal(n)
    paths.append(walkers[:40])
    if t in (1, 10, 100, 260, 500, 1000):
        q = marginal(schedule, np.array([2.0]), t)
        seen[t] = ((walkers.mean() - q.mean[0]) / np.sqrt(q.var / n), (walkers.var() - q.var) / (q.var * np.sqrt(2 / n)))

z = np.array(list(seen.values()))
assert np.abs(z).max() < 4  # all twelve numbers within 4 standard errors
half = int(np.argmax(schedule.alpha_bar < 0.5))
print(f"means and variances at t = {list(seen)} within 4 standard errors: {np.abs(z).max() < 4}")
print(f"half of the signal power is gone at t = {half}")

# %% alt="Forty random walks that start together at 2. They drift towards 0 and fan out until they fill the band of two standard deviations around the mean, which falls to 0. Half of the signal power is gone at t = 260, a quarter of the way."
t = np.arange(schedule.T + 1)
signal, noise = schedule.scales(t)
fig, ax = plots.panel(width=7)
ax.plot(t, np.array(paths), color="0.6", linewidth=0.5, alpha=0.6)
ax.plot(t, 2 * signal, color="C1", label=r"$\sqrt{\bar\alpha_t}\,x_0$")
ax.fill_between(t, 2 * signal - 2 * noise, 2 * signal + 2 * noise, alpha=0.2, color="C0", label=r"$\pm 2\sqrt{1-\bar\alpha_t}$")
ax.vlines(half, -3.6, 4.2, color="C3", linestyle=":", label=rf"$\bar\alpha_t = 1/2$ at t = {half}")
ax.set(xlabel="t", ylabel="$x_t$", ylim=(-3.6, 5.4), title="40 walkers from $x_0 = 2$, and the law we derived")
ax.legend(ncols=3, loc="upper center")
plt.show()

# %% [markdown]
# **See.** The band holds the walkers from first to last, and half is forgotten after a quarter of the time. Since
# $\log\bar\alpha_t\approx-\sum\beta_i$, the linear betas give $\log\bar\alpha_t\approx-\tfrac12\cdot0.02\,t^2/T$: a Gaussian in
# $t$, not a line.
#
# Moments could agree for a wrong law. The stronger test is the **Chapman-Kolmogorov** integral
# $q(x_t\mid x_0)=\int q(x_t\mid x_{t-1})\,q(x_{t-1}\mid x_0)\,dx_{t-1}$, done on a grid with nothing but the one-step density.

# %%
short = Schedule.linear(T=8, beta_1=0.1, beta_T=0.4)
x = np.linspace(-9, 9, 1201)
density = np.exp(transition(short, np.array([1.3]), 0, 1).log_prob(x))  # q(x_1 | x_0 = 1.3)
errors = []
for t in range(2, short.T + 1):
    kernel = np.exp(transition(short, x, t - 1, t).log_prob(x[:, None]))  # row: x_t, column: x_{t-1}
    density = trapezoid(kernel * density, x)
    errors.append(np.abs(density - np.exp(marginal(short, np.array([1.3]), t).log_prob(x))).max())

assert max(errors) < 1e-10
print(f"{len(errors)} convolutions on a grid, largest error below 1e-10: {max(errors) < 1e-10}")

# %% [markdown]
# Every equation of this course has such a check in the package, by two routes that share no code. `minidiff verify` runs them
# all; `show` runs one, now, and sets the formula beside the two numbers.

# %%
show("ddpm", "4")

# %% [markdown]
# ## 4. Watching data dissolve
#
# Real data are not one point but a law $p(x_0)$. Then $p(x_t)=\int q(x_t\mid x_0)\,p(x_0)\,dx_0$: shrink the law and blur it.
# For a mixture of Gaussians that is `push` on every component, so even here everything is exact.
#
# **Before you run:** which goes first, the fine spiral arm or the overall shape?

# %% alt="Six scatter plots of a swirl as noise grows. At t = 20 the arm is thick, at 60 only a disc with a faint trace of it is left, at 150 and 300 a round cloud, and at 1000 a wide one without any structure."
data = swirl()
points = data.sample(1500, rng)
eps = rng.standard_normal(points.shape)  # the same noise at every t: only the mixture changes
shown = (0, 20, 60, 150, 300, 1000)
plots.points({f"t = {t}": marginal(schedule, points, t).sample(eps) for t in shown}, limit=2.2, size=2.0, width=1.9)
plt.show()

signal, noise = schedule.scales(60)
blurred = data.push(signal, noise**2)
x_60 = marginal(schedule, points, 60).sample(eps)
assert np.allclose(x_60, signal * points + noise * eps)
z = (x_60.mean(0) - blurred.mean()) / (x_60.std(0) / np.sqrt(len(x_60)))
assert np.abs(z).max() < 4

# %% [markdown]
# **See.** Detail goes first. Structure of size $\ell$ is lost when
# $\sqrt{1-\bar\alpha_t}\approx\sqrt{\bar\alpha_t}\,\ell$: the arm by $t\approx60$, the outline by $300$. Backwards in time, a
# diffusion model therefore decides the outline first and the detail last.
#
# The same with real handwritten digits, for two schedules. **Before you run:** in which row is the second half of the time
# spent on pure noise?

# %% alt="A handwritten seven at nine times, linear betas above, cosine below. In the upper row it can no longer be seen from about t = 600 on; below it fades more slowly and the last trace is there at 750."
digits = mnist("train", source="embedded", quiet=True).images[:10] / 127.5 - 1  # pixels 0..255 -> -1..1
seven, eps = digits[7:8], rng.standard_normal((1, 28, 28))
cosine, fractions = Schedule.cosine(1000), (0, 0.05, 0.15, 0.3, 0.45, 0.6, 0.75, 0.9, 1)
rows = [marginal(s, seven, int(1000 * f)).sample(eps)[0] / 2.0 for s in (schedule, cosine) for f in fractions]  # / 2: keep the tails grey
labels = [f"t = {int(1000 * f)}" for f in fractions] + [""] * len(fractions)
plots.images(np.array(rows), columns=len(fractions), scale=1.05, labels=labels, title="linear betas (above), cosine (below)")
plt.show()

# %% [markdown]
# **See.** With linear betas the seven is gone to the eye at about $t=500$, and the last four pictures teach nothing. The
# cosine schedule keeps a trace to 750: it spreads the loss of information more evenly; that was its point (Nichol & Dhariwal
# 2021).
#
# ## 5. Is it enough? One number
#
# Sampling starts from $\mathcal N(0,I)$, but the process ends in
# $q(x_T\mid x_0)=\mathcal N(\sqrt{\bar\alpha_T}x_0,\,1-\bar\alpha_T)$. The price of pretending is their KL, and by 01, section
# 4, with $r=1-\bar\alpha_T$ and the other mean 0, variance 1, it is for each pixel
#
# $$L_T=\mathrm{KL}\big(q(x_T\mid x_0)\,\|\,\mathcal N(0,1)\big)=\tfrac12\big[\bar\alpha_T\,x_0^2-\bar\alpha_T-\log(1-\bar\alpha_T)\big].$$
#
# It has no trainable part: it is the first term of the bound, and no network can reduce it.
#
# **Before you run:** a popular 2-D tutorial keeps $\beta$ from $10^{-4}$ to $0.02$ but takes $T=50$, "because the data are
# simple". Estimate $\bar\alpha_{50}$ in your head from $\log\bar\alpha_T\approx-T(\beta_1+\beta_T)/2$.

# %%
def row(T, beta_T=0.02):
    s = Schedule.linear(T, beta_T=beta_T)
    nats = prior_term(s, digits)  # (10,): one number for each digit
    left = s.alpha_bar[-1]
    assert np.allclose(nats, 0.5 * (left * digits**2 - left - np.log1p(-left)).sum((1, 2)), rtol=1e-9)
    return left, bits_per_dim(nats.mean(), 28 * 28), np.exp(-T * (1e-4 + beta_T) / 2)


print("   T  beta_T   alpha_bar_T   in your head   L_T (bits/dim)")
for T, beta_T in ((50, 0.02), (100, 0.02), (300, 0.02), (1000, 0.02), (50, 0.35)):
    left, bits, guess = row(T, beta_T)
    print(f"{T:4d}  {beta_T:6.2f}   {left:11.2g}   {guess:12.2g}   {bits:14.2g}")

assert np.isclose(row(50)[0], 0.60, atol=0.005) and row(50)[1] > 0.5
assert row(1000)[1] < 1e-4

# %% [markdown]
# $\bar\alpha_{50}=0.60$: **three fifths of the signal power are still there when sampling begins from pure noise.** More than
# half a bit per pixel is lost, and no amount of training gets it back. The betas have to grow when $T$ shrinks; the sum of the
# betas counts.
#
# What does it do to samples? Take data whose answer we know: 85 % of the mass at $-0.9$, 15 % at $+0.9$. And take a *perfect*
# denoiser (for mixtures it has a closed form), so that whatever goes wrong is the schedule's fault.
#
# **Before you run:** with $T=50$, will the rare mode be over- or under-represented?

# %% alt="Histograms of samples against the true density with two modes. Fifty steps with the usual betas give the small right mode 33 % instead of 15 %. A thousand steps, or fifty with the cosine schedule, give 14 %; in the last panel the tall mode is a little too narrow."
uneven = GaussianMixture(np.array([0.85, 0.15]), np.array([[-0.9], [0.9]]), np.array([0.01, 0.01]))
n = budget(quick=2000, full=40_000)
runs = {"T = 50, usual betas": Schedule.linear(50), "T = 1000, usual betas": Schedule.linear(1000), "T = 50, cosine": Schedule.cosine(50)}
fig, axes = plots.panel(3, width=3.4, height=2.7)
share = {}
for ax, (name, s) in zip(axes, runs.items(), strict=True):
    samples = last(ddpm(ExactDenoiser(uneven, s), rng.standard_normal((n, 1)), s.times(s.T), normal(rng)))[:, 0]
    share[name] = (samples > 0).mean()
    ax.hist(samples, bins=60, range=(-1.5, 1.5), density=True, alpha=0.5, label="samples")
    x = np.linspace(-1.5, 1.5, 301)
    ax.plot(x, np.exp(uneven.log_prob(x[:, None])), color="C1", linewidth=1, label="truth")
    ax.set(xlabel="$x_0$", ylabel="density", title=f"{name}\nright mode {share[name]:.0%} (truth 15%)", ylim=(0, 4.4))
axes[0].legend(fontsize=9)
plt.show()
se = np.sqrt(0.15 * 0.85 / n)
assert abs(share["T = 50, cosine"] - 0.15) < 4 * se and share["T = 50, usual betas"] > 0.15 + 10 * se

# %% [markdown]
# **See.** At $T=50$ with the usual betas the shapes are right and the proportions are wrong: a start in the middle tells
# the denoiser that both sides are plausible, and it believes it. On images this shows as washed-out global brightness and
# colour. It is not the number of steps: 50 cosine steps get the proportions right, within the sampling error of 0.8 % (and the
# modes a little too narrow; that is the price of the small variance in large steps, a story for notebook 04).
#
# ## 6. Three schedules side by side
#
# What a denoiser sees at time $t$ depends on one number, $\mathrm{SNR}_t=\bar\alpha_t/(1-\bar\alpha_t)$. A schedule is nothing
# but a choice of how long to stay at each noise level.
#
# The cosine schedule writes $\bar\alpha$ down first and gets its betas from it (Nichol & Dhariwal 2021, Eq. 17):
# $\bar\alpha_t=f(t)/f(0)$ with $f(t)=\cos^2\!\big(\frac{t/T+s}{1+s}\cdot\frac\pi2\big)$, $s=0.008$, and
# $\beta_t=1-\bar\alpha_t/\bar\alpha_{t-1}$, cut at $0.999$ because $f(T)=0$.

# %%
u = (np.arange(1001) / 1000 + 0.008) / 1.008
by_hand = np.cos(u * np.pi / 2) ** 2 / np.cos(u[0] * np.pi / 2) ** 2
assert np.allclose(Schedule.cosine(1000).alpha_bar[:-1], by_hand[:-1], rtol=1e-12)  # all but the last, whose beta is cut
print(f"cosine: alpha_bar_999 = {by_hand[-2]:.2e}; the last beta, cut: {Schedule.cosine(1000).beta[-1]:.3f}")

# %% alt="Linear, cosine and sigmoid schedule over t. The linear signal power falls early and is near zero from 700 on, the other two fall almost alike and later. Their log SNR crosses zero in the middle and plunges at the end, where their noise per step shoots up."
named = {"linear": Schedule.linear(1000), "cosine": Schedule.cosine(1000), "sigmoid": Schedule.sigmoid(1000)}
t = np.arange(1, 1001)
fig, axes = plots.panel(3, width=3.7)
plots.curves(axes[0], t, {k: s.alpha_bar[1:] for k, s in named.items()}, "t", r"$\bar\alpha_t$", "signal power")
plots.curves(axes[1], t, {k: 2 * s.half_log_snr(t) for k, s in named.items()}, "t", "nats", "log SNR")
plots.curves(axes[2], t, {k: s.beta[1:] for k, s in named.items()}, "t", r"$\beta_t$", "noise per step", log="y")
axes[1].set_ylim(-16, 11)
plt.show()
for name, s in named.items():
    half, wasted = np.argmax(s.alpha_bar < 0.5), (s.snr(t) < 0.01).mean()
    print(f"{name:8s} half gone at t = {half:3d}; steps with SNR < 1/100: {wasted:4.0%}; alpha_bar_T = {s.alpha_bar[-1]:.1e}")
assert np.mean(named["linear"].snr(t) < 0.01) > 4 * np.mean(named["cosine"].snr(t) < 0.01)
assert all(np.isclose(s.alpha_bar[-1], np.prod(1 - s.beta[1:]), rtol=1e-9) for s in named.values())

# %% [markdown]
# **See.** A third of the linear schedule's steps go to a signal a hundred times weaker than the noise. Cosine and sigmoid
# run almost straight through $\log\mathrm{SNR}=0$, where the interesting decisions fall. Their last betas are cut at 0.999:
# without the cut $\bar\alpha_T$ would be 0 up to rounding, and the $1/\sqrt{\bar\alpha_T}$ of sampling astronomical.
#
# Now explore: `T`, `beta_T` (linear), `offset` (cosine), `kind`. Try to make $T=50$ safe with linear betas.

# %%
explorer = widgets.schedule_explorer()
explorer

# %%
print(f"T = 50, beta_T = 0.02: {explorer.text}")
explorer.controls.beta_T.value = 0.35
print(f"T = 50, beta_T = 0.35: {explorer.text}")
assert "fine" in explorer.text
explorer.controls.kind.value = "cosine"
print(f"T = 50, cosine:        {explorer.text}")
assert "fine" in explorer.text
explorer.controls.kind.value, explorer.controls.beta_T.value = "linear", 0.02  # back to the start: your turn

# %% [markdown]
# ## 7. A published mistake, measured
#
# A notebook that many people copied adds $\beta_t u$ with $u$ *uniform on* $[0,1)$ where $\sqrt{\beta_t}\,\varepsilon$ belongs.
# The pictures still turn grey, so it looks right. Its first two moments follow an exact recursion: mean
# $\sqrt{1-\beta}\,m+\beta/2$, variance $(1-\beta)v+\beta^2/12$. A second, frequent one keeps the Gaussian and forgets only the
# root: $\beta_t\varepsilon$.
#
# **Before you run:** which end state is further from $\mathcal N(0,1)$, and by how many nats per pixel?

# %%
end = ("right: sqrt(beta) * normal", "forgotten root: beta * normal", "published: beta * uniform")
m, v = dict.fromkeys(end, 0.5), dict.fromkeys(end, 0.0)  # every chain starts at x_0 = 0.5
added = dict(zip(end, (lambda b: (0, b), lambda b: (0, b**2), lambda b: (b / 2, b**2 / 12)), strict=True))
for beta in schedule.beta[1:]:
    for name in end:
        shift, spread = added[name](beta)
        m[name], v[name] = np.sqrt(1 - beta) * m[name] + shift, (1 - beta) * v[name] + spread
cost = {name: Gaussian(np.array([m[name]]), v[name]).kl(Gaussian(np.array([0.0]), 1.0))[0] for name in end}
for name in end:
    print(f"{name:30s} mean {m[name]:6.3f}, std {np.sqrt(v[name]):.3f}, {cost[name]:8.5f} nats from N(0, 1)")

walkers = np.full(4000, 0.5)
for beta in schedule.beta[1:]:
    walkers = np.sqrt(1 - beta) * walkers + beta * rng.random(4000)
assert abs(walkers.mean() - m["published: beta * uniform"]) < 4 * walkers.std() / np.sqrt(4000)
assert cost["right: sqrt(beta) * normal"] < 1e-4 and min(cost["forgotten root: beta * normal"], cost["published: beta * uniform"]) > 1

# %% [markdown]
# Both collapse to nearly a point: a thousand steps of noise of size $\beta$ instead of $\sqrt\beta$ add almost none, and the
# uniform's mean of one half drags everything to 1. No picture shows it as clearly as the one number does. *Rule:* after writing
# a forward process, print the mean, the variance and $L_T$ at $T$.
#
# ## Exercises
#
# Replace the `...` and run both cells; the check says what is wrong, not only that something is. After a restart, first Run > Run All Above Selected Cell. A cell that ends in red has defined nothing: the check then still judges what was there before.
#
# ### Exercise 1: the table
#
# From the betas of $t=1..T$ make the table `alpha_bar` of length $T+1$ (entry 0 is data).

# %%
def alpha_bar_table(betas):
    ### BEGIN SOLUTION
    return np.concatenate([[1.0], np.cumprod(1 - betas)])
    ### END SOLUTION

# %%
check("table of alpha_bar", alpha_bar_table, np.array([0.1, 0.2, 0.3, 0.4]))

# %% [markdown]
# ### Exercise 2: data that are not standardised
#
# The variance of $x_t$ when the data have variance $s^2$ and mean 0. For which $s^2$ does it not depend on $t$?

# %%
def variance_at(s2, alpha_bar):
    ### BEGIN SOLUTION
    # Constant for s2 = 1 only. Data of another scale meet another schedule: that is why latents are rescaled in notebook 12.
    return alpha_bar * s2 + 1 - alpha_bar
    ### END SOLUTION

# %%
table = schedule.alpha_bar[[0, 1, 250, 500, 1000]]
check("data of another scale", variance_at, 4.0, table)
exact = [GaussianMixture(np.ones(1), np.zeros((1, 1)), np.array([4.0])).push(np.sqrt(a), 1 - a).covs[0, 0, 0] for a in table]
assert (np.diff(exact) < 0).all()  # 4 is too much: it falls towards 1

# %% [markdown]
# ### Exercise 3: the smallest safe beta
#
# Linear betas from $10^{-4}$, $T=50$, data with $x_0^2=1$ in every pixel. Find the smallest `beta_T` (to three digits) for
# which $L_T<10^{-3}$ bits per pixel.

# %%
def smallest_beta_T():
    ### BEGIN SOLUTION
    # for x_0^2 = 1, L_T = -1/2 log2(1 - alpha_bar_T), so alpha_bar_T must fall below 1 - 2^-0.002 = 1.4e-3
    grid = np.arange(0.02, 0.9, 0.0005)
    left = np.array([np.prod(1 - np.linspace(1e-4, b, 50)) for b in grid])
    return grid[np.argmax(left < 1 - 2**-0.002)]
    ### END SOLUTION

# %%
check("smallest safe beta", smallest_beta_T)

# %% [markdown]
# ### Exercise 4: the same end in a tenth of the steps
#
# A schedule with *constant* $\beta$ and $T=100$ that ends at the same $\bar\alpha_T$ as the usual one. Which $\beta$?

# %%
def constant_beta(alpha_bar_T, T):
    ### BEGIN SOLUTION
    return 1 - alpha_bar_T ** (1 / T)
    ### END SOLUTION

# %%
target = schedule.alpha_bar[-1]
check("one beta for all steps", constant_beta, target, 100)
assert np.isclose(Schedule.from_betas(np.full(100, 1 - target ** (1 / 100))).alpha_bar[-1], target, rtol=1e-9)

# %% [markdown]
# ## What to try next
#
# * Replace the digits by your own 28 × 28 picture with large flat areas. Which schedule erases it later, and why? (Think of
#   averaging over pixels.)
# * Data at twice the resolution survive more noise: average 2 × 2 blocks of $x_t$ and compute the SNR of the result.
# * Go on: [03 · the posterior](03_posterior.ipynb) walks one of these steps backwards.
#
# ## References
#
# * J. Ho, A. Jain, P. Abbeel, *Denoising Diffusion Probabilistic Models*, 2020 (arXiv 2006.11239): Eq. 2 (one step), Eq. 4 (the
#   jump), Eq. 5 ($L_T$), section 4 (linear betas).
# * A. Nichol, P. Dhariwal, *Improved Denoising Diffusion Probabilistic Models*, 2021 (arXiv 2102.09672): Eq. 17 (cosine).
# * D. Kingma, T. Salimans, B. Poole, J. Ho, *Variational Diffusion Models*, 2021 (arXiv 2107.00630): Eq. 1-2 (SNR).
# * In the ledger: `ddpm 2`, `ddpm 4`, `ddpm L_T`, `improved_ddpm 17`, `vdm 1-2`, `mixture B01`.
# * A. Jabri, D. Fleet, T. Chen, *Scalable Adaptive Computation for Iterative Generation*, 2022 (arXiv 2212.11972): the sigmoid
#   schedule (numbering unconfirmed).
# * S. Lin et al., *Common Diffusion Noise Schedules and Sample Steps are Flawed*, 2023 (arXiv 2305.08891): what a terminal SNR
#   above 0 does to images.
