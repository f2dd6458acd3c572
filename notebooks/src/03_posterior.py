# %% [markdown]
# # 03 · You know where a particle started and where it is now: where was it one step ago?
#
# To generate, we must walk the forward process backwards. The honest reverse law $q(x_{t-1}\mid x_t)$ needs the unknown data.
# But as soon as $x_0$ is given too, the answer is a Gaussian that fits on one line, and the whole of DDPM's loss is built from
# it.
#
# After this notebook you can
# 1. derive $q(x_{t-1}\mid x_t,x_0)$, its mean $\tilde\mu_t$ and variance $\tilde\beta_t$, by Bayes' rule, and find a wrong one
#    by its numbers;
# 2. say what the reverse step really looks like when $x_0$ is *not* given, and why a network may predict
#    $\mathbb E[x_0\mid x_t]$ and nothing else;
# 3. say how fast the truth becomes Gaussian as $\beta\to0$: you will measure the rate, and it is faster than most people guess.
#
# Needed: 01 (`given`) and 02 (`marginal`). All densities speak of a pair $s<t$; the textbook case is $s=t-1$.

# %%
from minidiff.notebook import plots, setup, suspects

rng = setup(seed=1)

# %%
import matplotlib.pyplot as plt
import numpy as np
from scipy.integrate import trapezoid

from minidiff import ExactDenoiser, Gaussian, GaussianMixture, Schedule, marginal, posterior, reverse_transition, transition
from minidiff.course import check
from minidiff.verify import show

# %% [markdown]
# ## 1. Bayes' rule with three Gaussians
#
# Fix $x_0$. Then
#
# $$q(x_{t-1}\mid x_t,x_0)=\frac{q(x_t\mid x_{t-1},x_0)\;q(x_{t-1}\mid x_0)}{q(x_t\mid x_0)} .$$
#
# *Step 1 (Markov).* Given $x_{t-1}$, the new $x_t$ does not care about $x_0$: $q(x_t\mid x_{t-1},x_0)=q(x_t\mid x_{t-1})$. Now
# all three laws are known (02).
#
# *Step 2 (name the parts, in the words of 01).* Prior:
# $x_{t-1}\sim\mathcal N(\sqrt{\bar\alpha_{t-1}}x_0,\;1-\bar\alpha_{t-1})$. A noisy copy is seen:
# $x_t=\sqrt{1-\beta_t}\,x_{t-1}+\mathcal N(0,\beta_t)$.
#
# *Step 3 (precisions add).*
#
# $$\frac1{\tilde\beta_t}=\frac1{1-\bar\alpha_{t-1}}+\frac{1-\beta_t}{\beta_t}
#   =\frac{\beta_t+(1-\beta_t)(1-\bar\alpha_{t-1})}{\beta_t(1-\bar\alpha_{t-1})}=\frac{1-\bar\alpha_t}{\beta_t(1-\bar\alpha_{t-1})},$$
#
# where the numerator is $\beta_t+(1-\beta_t)-(1-\beta_t)\bar\alpha_{t-1}=1-\bar\alpha_t$.
#
# *Step 4 (mean = variance times the sum of precision-weighted evidence).*
#
# $$\tilde\mu_t=\tilde\beta_t\Big(\frac{\sqrt{\bar\alpha_{t-1}}\,x_0}{1-\bar\alpha_{t-1}}+\frac{\sqrt{1-\beta_t}\,x_t}{\beta_t}\Big)
#  =\frac{\sqrt{\bar\alpha_{t-1}}\,\beta_t}{1-\bar\alpha_t}\,x_0+\frac{\sqrt{1-\beta_t}\,(1-\bar\alpha_{t-1})}{1-\bar\alpha_t}\,x_t,
#  \qquad \tilde\beta_t=\frac{1-\bar\alpha_{t-1}}{1-\bar\alpha_t}\,\beta_t .$$
#
# These are Eq. 6-7 of Ho et al. Three routes to the same table: our algebra, `given`, and the library.

# %%
schedule = Schedule.linear(T=1000)
x_0, x_t = np.array([0.8, -0.3]), np.array([-0.5, 1.1])
alpha_bar, beta, worst = schedule.alpha_bar, schedule.beta, 0.0
for t in range(2, 1001):
    gone, gone_before = 1 - alpha_bar[t], 1 - alpha_bar[t - 1]
    mean = (np.sqrt(alpha_bar[t - 1]) * beta[t] * x_0 + np.sqrt(1 - beta[t]) * gone_before * x_t) / gone
    var = gone_before / gone * beta[t]
    seen = marginal(schedule, x_0, t - 1).given(np.sqrt(1 - beta[t]), beta[t], x_t)
    q = posterior(schedule, x_0, x_t, t - 1, t)
    worst = max(worst, *(np.abs(m - q.mean).max() for m in (mean, seen.mean)), *(abs(v / q.var - 1) for v in (var, seen.var)))

assert worst < 1e-9  # the subtraction 1 - alpha_bar costs our hand version a few digits near t = 1; the library avoids it
end = posterior(schedule, x_0, x_t, 0, 1)
assert np.array_equal(end.mean, x_0) and end.var == 0  # t = 1: x_0 was given, nothing is left to be uncertain about
print(f"three routes agree at t = 2..1000: {worst < 1e-9};   beta-tilde_1 = {end.var}")

# %% [markdown]
# Two algebra routes could share a wrong idea. So ask Bayes' rule itself: multiply the densities on a grid, normalise by a sum,
# read off mean and variance. At **every** $t$ of a small schedule.

# %%
short = Schedule.linear(T=8, beta_1=0.1, beta_T=0.4)
grid = np.linspace(-9, 9, 4001)


def by_bayes(schedule, x_0, x_t, s, t):
    """Normaliser, mean and variance of q(x_s | x_t, x_0) by brute force, from the one-step densities alone."""
    prior = np.exp(marginal(schedule, np.array([x_0]), s).log_prob(grid))
    likelihood = np.exp(transition(schedule, grid, s, t).log_prob(x_t))
    joint = prior * likelihood
    total = trapezoid(joint, grid)
    mean = trapezoid(grid * joint, grid) / total
    return total, mean, trapezoid((grid - mean) ** 2 * joint, grid) / total


# %%
errors = []
for t in range(2, short.T + 1):
    total, mean, var = by_bayes(short, 0.8, -0.5, t - 1, t)
    q = posterior(short, np.array([0.8]), np.array([-0.5]), t - 1, t)
    evidence = np.exp(marginal(short, np.array([0.8]), t).log_prob(np.array([-0.5])))[0]
    errors += [abs(mean - q.mean[0]), abs(var - q.var), abs(total - evidence)]
assert max(errors) < 1e-8
print(f"Bayes on a grid at t = 2..{short.T}: mean, variance and normaliser within 1e-8: {max(errors) < 1e-8}")

# %% [markdown]
# The normaliser came out as $q(x_t\mid x_0)$, the denominator of Bayes' rule, which we never used. The package keeps this check
# too, among others, in its ledger:

# %%
show("ddpm", "6-7")

# %% [markdown]
# **Before you run:** for a middle $t$ of the usual schedule, is $\tilde\mu_t$ closer to $x_0$ or to $x_t$? And where is
# $\tilde\beta_t$ very different from $\beta_t$?

# %% alt="Left: prior, likelihood and posterior of x_3; the posterior lies between the others and is the narrowest. Middle: over t the weight of x_t climbs from 0 to nearly 1, that of x_0 falls from 1 to 0. Right: the ratio of the two variances climbs from 0 at t = 1 to 1."
t = np.arange(1, 1001)
one, zero = np.ones((1000, 1)), np.zeros((1000, 1))  # a thousand examples, each at its own t
weight_0 = posterior(schedule, one, zero, t - 1, t).mean[:, 0]
weight_t = posterior(schedule, zero, one, t - 1, t).mean[:, 0]
ratio = posterior(schedule, zero, zero, t - 1, t).var[:, 0] / schedule.beta[1:]
fig, axes = plots.panel(3, width=3.7)
axes[0].fill_between(grid, np.exp(marginal(short, np.array([0.8]), 3).log_prob(grid)), alpha=0.35, label="prior $q(x_3|x_0)$")
axes[0].plot(grid, np.exp(transition(short, grid, 3, 4).log_prob(-0.5)), color="C1", label="likelihood $q(x_4|x_3)$")
axes[0].plot(grid, np.exp(posterior(short, np.array([0.8]), np.array([-0.5]), 3, 4).log_prob(grid)), color="C2", label="posterior")
axes[0].set(xlim=(-3, 3), ylim=(0, 1.7), xlabel="$x_3$", title="$x_0 = 0.8$, $x_4 = -0.5$")
axes[0].legend(fontsize=8, loc="upper left")
plots.curves(axes[1], t, {"weight of $x_0$": weight_0, "weight of $x_t$": weight_t}, "t", "", r"$\tilde\mu_t$, usual schedule", log="x")
plots.curves(axes[2], t, {"ratio": ratio}, "t", r"$\tilde\beta_t\,/\,\beta_t$", "two variances", log="x")
plt.show()
assert np.all(weight_t[100:] > 0.97) and ratio[0] == 0 and abs(ratio[1] - 0.455) < 0.01 and np.all(ratio[100:] > 0.97)

# %% [markdown]
# **See.** After the first hundred steps or so $\tilde\mu_t$ is $x_t$ with a slight pull towards $x_0$ (weight 0.02 or
# less): the reverse process is patient. The pull takes over only at the end, and at $t=1$ it is all. Likewise
# $\tilde\beta_t\approx\beta_t$ except at the very start, where the ratio is near $(t-1)/t$: $0$, then $0.455$. The choice
# between them can matter nowhere else; notebook 04 shows how much it matters *there*.
#
# **Explore: the bridge.** On the left, Bayes' rule at one time, `back` steps before $t$: what $x_0$ says about $x_s$ (grey), what $x_t$
# says (orange), and both together (blue). On the right, every $s$ at once: mean and two standard deviations, with $x_t$ known and
# without. (`linear` takes Ho et al.'s betas times $1000/T$, so that the same road is cut into $T$ steps.)
#
# **Before you run:** one step back from $t=500$, $x_0$ has a weight of 0.003. How many steps must you go back until it counts for
# more than $x_t$? And if the same road is cut into 25 steps instead of 1000, what does $x_0$ weigh in *one* step?

# %%
from minidiff.notebook.posterior_widgets import posterior_explorer

explorer = posterior_explorer()
explorer

# %%
controls = explorer.controls
for T, t, back in ((1000, 500, 1), (1000, 500, 150), (1000, 500, 500), (1000, 1000, 300), (100, 50, 1), (25, 12, 1)):
    controls.T.value, controls.t.value, controls.back.value = T, t, back  # what a hand on the sliders does
    print(f"T = {T}\n{explorer.text}")
nearer, further = (posterior(schedule, np.array([1.0, 0.0]), np.array([0.0, 1.0]), 500 - back, 500).mean for back in (140, 150))
assert nearer[0] < nearer[1] and further[0] > further[1]  # weights of x_0 and of x_t: the order turns between 140 and 150 steps
controls.T.value, controls.t.value, controls.back.value = 1000, 500, 1  # back to the start: your turn

# %% [markdown]
# **See.** $x_0$ takes over some 145 steps back, a seventh of the whole road. The weights know only $\bar\alpha_s$ and
# $\bar\alpha_t$, so what counts is how *far apart* the two ends are and not into how many steps the road is cut: one of a
# thousand steps gives $x_0$ a weight of 0.003, one of twenty-five 0.137. A poor guess of $x_0$ does little harm in a small step
# and a lot in a large one; keep that in mind for notebook 08. Asked all the way back, $s=0$, the answer is $x_0$, with variance 0.
# And from $t=1000$ the bridge soon forgets its end: 300 steps back blue lies on grey, since pure noise says nothing about where
# it was.
#
# ## 2. The same mean, seen as "predict the noise"
#
# $x_0$ and $\varepsilon$ say the same thing once $x_t$ is known:
# $x_0=(x_t-\sqrt{1-\bar\alpha_t}\,\varepsilon)/\sqrt{\bar\alpha_t}$. Insert:
#
# $$\tilde\mu_t=\underbrace{\Big[\frac{\beta_t}{(1-\bar\alpha_t)\sqrt{1-\beta_t}}+\frac{\sqrt{1-\beta_t}(1-\bar\alpha_{t-1})}{1-\bar\alpha_t}\Big]}_{1/\sqrt{1-\beta_t}}x_t
#  -\frac{\beta_t}{\sqrt{1-\bar\alpha_t}\sqrt{1-\beta_t}}\,\varepsilon=\frac1{\sqrt{1-\beta_t}}\Big(x_t-\frac{\beta_t}{\sqrt{1-\bar\alpha_t}}\,\varepsilon\Big).$$
#
# We used $\sqrt{\bar\alpha_{t-1}/\bar\alpha_t}=1/\sqrt{1-\beta_t}$, and in the bracket
# $\beta_t+(1-\beta_t)(1-\bar\alpha_{t-1})=1-\bar\alpha_t$ again. This is the line that Algorithm 2 of Ho et al. executes: *take
# out a little of the noise, then undo the shrinking.*

# %%
eps, worst = rng.standard_normal(2), 0.0
for t in range(1, 1001):
    signal, noise = schedule.scales(t)
    x = signal * x_0 + noise * eps
    by_eps = (x - schedule.beta[t] / noise * eps) / np.sqrt(1 - schedule.beta[t])
    worst = max(worst, np.abs(by_eps - posterior(schedule, x_0, x, t - 1, t).mean).max())
assert worst < 1e-12
print(f"the mean through eps equals the mean through x_0 at every t: {worst < 1e-12}")

# %% [markdown]
# ## 3. Forward and backward must tell one story
#
# Walk forward to $x_t$, then one posterior step back, $x_0$ still given. We must land on $q(x_s\mid x_0)$ again:
# $\int q(x_s\mid x_t,x_0)\,q(x_t\mid x_0)\,dx_t=q(x_s\mid x_0)$. The mean is $c_0x_0+c_tx_t$, so this is one `push` of
# $q(x_t\mid x_0)$, shifted. It holds for any pair $s<t$, not only neighbours. Notebook 08 builds fast samplers on exactly this.

# %%
for s, t in ((1, 2), (3, 4), (2, 7), (1, 8)):
    c_0 = posterior(short, np.ones(1), np.zeros(1), s, t).mean[0]
    c_t = posterior(short, np.zeros(1), np.ones(1), s, t).mean[0]
    back = marginal(short, np.array([0.8]), t).push(c_t, posterior(short, np.ones(1), np.ones(1), s, t).var)
    there = marginal(short, np.array([0.8]), s)
    assert np.allclose(back.mean + c_0 * 0.8, there.mean, atol=1e-14) and np.isclose(back.var, there.var, rtol=1e-13)
print("one step forward to t and one back to s is where we were, for every pair")

# %% [markdown]
# ## 4. Without $x_0$: the true reverse step
#
# When we generate, nobody gives us $x_0$. The true reverse law averages the Gaussian over all $x_0$ that could have led to
# $x_t$:
#
# $$q(x_s\mid x_t)=\int q(x_s\mid x_t,x_0)\,q(x_0\mid x_t)\,dx_0 .$$
#
# A mean of Gaussians with different centres is *not* a Gaussian. Take data with two modes and check the formula against the
# other way to the same law, $q(x_s\mid x_t)=q(x_t\mid x_s)\,p(x_s)/p(x_t)$.

# %%
data = GaussianMixture(np.array([0.6, 0.4]), np.array([[-1.0], [1.0]]), np.array([0.09, 0.09]))
s, t, x_t = 3, 4, 0.1
u = np.linspace(-6, 6, 1501)  # grid for x_s and for x_0
signal_s, noise_s = short.scales(s)
signal_t, noise_t = short.scales(t)

direct = np.exp(transition(short, u, s, t).log_prob(x_t) + data.push(signal_s, noise_s**2).log_prob(u[:, None]))
direct /= trapezoid(direct, u)
belief = np.exp(marginal(short, u, t).log_prob(x_t) + data.log_prob(u[:, None]))  # q(x_0 | x_t), up to its normaliser
belief /= trapezoid(belief, u)
q = posterior(short, u, np.full_like(u, x_t), s, t)  # one Gaussian for each x_0
averaged = trapezoid(np.exp(-((u[:, None] - q.mean) ** 2) / (2 * q.var)) / np.sqrt(2 * np.pi * q.var) * belief, u)

assert np.abs(averaged - direct).max() < 1e-8
print(f"averaging over x_0 gives the true reverse law: {np.abs(averaged - direct).max() < 1e-8}")

# %% [markdown]
# **Which Gaussian should the model use instead?** By 01, section 5, the best one in
# $\mathrm{KL}(\text{truth}\,\|\,\text{Gaussian})$ matches the first two moments. The law of total expectation and of total
# variance give them without any integral over $x_s$, since $\tilde\mu=c_0x_0+c_tx_t$ is *linear in $x_0$*:
#
# $$\mathbb E[x_s\mid x_t]=c_0\,\mathbb E[x_0\mid x_t]+c_t\,x_t=\tilde\mu\big(x_t,\ \mathbb E[x_0\mid x_t]\big),\qquad
#   \operatorname{Var}[x_s\mid x_t]=\tilde\beta+c_0^2\operatorname{Var}[x_0\mid x_t].$$
#
# This is why a network that outputs a single guess of $x_0$ is enough, and which guess it must be: **the conditional mean**.
# And it shows where $\tilde\beta$ falls short: it forgets that $x_0$ is a guess.

# %%
mean = trapezoid(u * direct, u)
var = trapezoid((u - mean) ** 2 * direct, u)
point = np.array([[x_t]])
ideal = ExactDenoiser(data, short)(point, t)  # E[x_0 | x_t], in closed form
model = reverse_transition(short, ideal, point, s, t)
spread = data.posterior(point, signal_t, noise_t**2)[1][0, 0, 0]  # Var[x_0 | x_t]
c_0 = posterior(short, np.ones(1), np.zeros(1), s, t).mean[0]

assert np.isclose(model.mean[0, 0], mean, atol=1e-8)
assert np.isclose(model.var + c_0**2 * spread, var, atol=1e-8)
print(f"E[x_0 | x_t] = {ideal.x_0[0, 0]:.4f};  mean of the reverse step: model {model.mean[0, 0]:.6f}, truth {mean:.6f}")
print(f"variance: beta-tilde {model.var:.4f} + spread of the guess {c_0**2 * spread:.4f} = {model.var + c_0**2 * spread:.4f}; truth {var:.4f}")

# %% [markdown]
# ## 5. How Gaussian is the truth?
#
# DDPM bets that $q(x_{t-1}\mid x_t)$ is Gaussian if $\beta$ is small. Let us see the bet. One step from the two-mode data, with
# four sizes of $\beta$, at the $x_t$ in the middle where both modes are possible.
#
# **Before you run:** at which $\beta$ will the true law visibly have one hump: 0.5, 0.2, 0.05?

# %%
def reverse_law(beta, x_t):
    """q(x_0 | x_1 = x_t) on the grid u after one step of size beta; one row for each x_t."""
    one = Schedule.from_betas([beta])
    log_joint = transition(one, u, 0, 1).log_prob(np.atleast_1d(x_t)[:, None]) + data.log_prob(u[:, None])
    law = np.exp(log_joint - log_joint.max(1, keepdims=True))
    return law / trapezoid(law, u)[:, None]


def best_gaussian(law):
    mean = trapezoid(u * law, u)[:, None]
    return mean, trapezoid((u - mean) ** 2 * law, u)[:, None]


# %% alt="The true reverse law and the best Gaussian at four step sizes. At beta 0.5 and 0.2 the truth has two humps and the Gaussian bridges them; at 0.05 a second small hump is left; at 0.01 the truth is one hump and the Gaussian nearly covers it."
fig, axes = plots.panel(4, width=2.8, height=2.8)
for ax, beta in zip(axes, (0.5, 0.2, 0.05, 0.01), strict=True):
    law = reverse_law(beta, 0.15)
    mean, var = best_gaussian(law)
    ax.fill_between(u, law[0], color="0.75", label="truth")
    ax.plot(u, np.exp(Gaussian(u * 0 + mean[0], var[0]).log_prob(u)), color="C1", label="best Gaussian")
    width = 5 * var[0, 0] ** 0.5
    ax.set(xlim=(mean[0, 0] - width, mean[0, 0] + width), ylim=(0, 1.35 * law.max()), xlabel="$x_{t-1}$", title=rf"$\beta$ = {beta}")
axes[0].legend(fontsize=8, loc="upper left")
plt.show()

# %% [markdown]
# **See.** None of the three: even at 0.05 a second hump is left. With a large step the past is a choice between two
# modes, and no Gaussian can say so. With a small step ($\beta=0.01$, the size of the usual betas) the factor
# $q(x_t\mid x_{t-1})$ is so narrow that $\log p(x_{t-1})$ is almost a straight line across it: a straight line in the exponent
# shifts a Gaussian and leaves it one.
#
# **How fast?** Near $x_t$ expand $h=\log p$: the linear term shifts, $h''$ changes the width, and the first thing a Gaussian
# cannot absorb is $h'''$. It gives the reverse law the third cumulant $\kappa_3\approx\beta^3h'''$, in standard units
# $\beta^3h'''/\beta^{3/2}$. A law with small standardised third cumulant $\gamma$ is $\gamma^2/12$ nats away from the best
# Gaussian (Edgeworth), so
#
# $$\mathbb E\,\mathrm{KL}\big(q(x_{t-1}\mid x_t)\,\|\,\text{best Gaussian}\big)\approx\frac{\beta^3}{12}\,\mathbb E\,h'''(x)^2 .$$
#
# The best Gaussian may choose a width for each $x_t$. DDPM's may not: one $\sigma^2$ for all. Then $h''$ is not absorbed
# either: the true variance is $\approx\beta(1+\beta h''(x_t))$, off by a relative $\beta\,(h''-\overline{h''})$, and by the
# quarter rule of 01 that costs $\tfrac{\beta^2}4\operatorname{Var}h''$.
#
# **Before you run:** the slopes in a log-log plot are then 3 and 2. There are about $1/\beta$ steps: what is left of the total
# as $\beta\to0$?

# %%
betas, x_grid = np.geomspace(3e-4, 0.5, 14), np.linspace(-3.2, 3.2, 201)
u = np.linspace(-4, 4, 2001)
free, shared = [], []
for beta in betas:
    law = reverse_law(beta, x_grid)
    weight = np.exp(data.push(np.sqrt(1 - beta), beta).log_prob(x_grid[:, None]))
    weight /= weight.sum()  # p(x_t) on the grid
    mean, var = best_gaussian(law)
    fixed = (weight * var[:, 0]).sum()  # the best single sigma^2 is the average variance
    log_law = np.log(np.maximum(law, 1e-300))
    for found, v in ((free, var), (shared, fixed)):
        gap = trapezoid(law * (log_law + 0.5 * (u - mean) ** 2 / v + 0.5 * np.log(2 * np.pi * v)), u)
        found.append((weight * gap).sum())
free, shared = np.array(free), np.array(shared)

# %% alt="Loss of one reverse step against beta, on logarithmic axes. Both curves fall in straight lines as beta shrinks, the best Gaussian at each x_t more steeply than one shared variance, as the dotted theories say. At large beta they bend and meet."
p, fine = np.exp(data.log_prob(u[:, None])), u[1] - u[0]
h2 = np.gradient(np.gradient(data.log_prob(u[:, None]), fine), fine)
h3 = np.gradient(h2, fine)
mean_h2 = trapezoid(p * h2, u)
theory_3, theory_2 = trapezoid(p * h3**2, u) / 12, trapezoid(p * (h2 - mean_h2) ** 2, u) / 4
slope_3, slope_2 = (np.polyfit(np.log(betas[:3]), np.log(y[:3]), 1)[0] for y in (free, shared))
fig, ax = plots.panel(width=6.4, height=3.6)
ax.loglog(betas, shared, "o-", label=r"one $\sigma^2$ for all $x_t$ (DDPM)")
ax.loglog(betas, free, "s-", label="best Gaussian at each $x_t$")
ax.loglog(betas, theory_2 * betas**2, "C0:", label=r"$\beta^2\,\mathrm{Var}\,h''/4$")
ax.loglog(betas, theory_3 * betas**3, "C1:", label=r"$\beta^3\,\mathrm{E}\,h'''^2/12$")
ax.set(xlabel=r"$\beta$", ylabel="E KL(truth || Gaussian), nats", ylim=(1e-10, 10), title="What one reverse step loses")
ax.legend()
plt.show()
print(f"measured slopes: {slope_3:.2f} and {slope_2:.2f}")
print(f"measured / theory at the smallest beta: {free[0] / (theory_3 * betas[0] ** 3):.2f} and {shared[0] / (theory_2 * betas[0] ** 2):.2f}")
assert abs(slope_3 - 3) < 0.1 and abs(slope_2 - 2) < 0.1
assert np.all(np.diff(free) > 0) and np.all(free <= shared * (1 + 1e-9))

# %% [markdown]
# **See.** The loss of one step falls like $\beta^3$ at best and like $\beta^2$ with DDPM's shared variance. Over
# $\sim1/\beta$ steps the total goes to zero like $\beta^2$, or like $\beta$: **the bet is won by taking many small steps**, and
# that is the reason why plain DDPM is slow (the open problem of notebook 08). To the right, where steps are large, the curves
# bend: there the truth has two humps, and there is nothing to expand.
#
# ## Exercises
#
# Replace the `...` and run both cells; the check says what is wrong, not only that something is. After a restart, first Run > Run All Above Selected Cell. A cell that ends in red has defined nothing: the check then still judges what was there before.
#
# ### Exercise 1: a longer step back
#
# Derive the variance of $q(x_s\mid x_t,x_0)$ for any $s<t$ and return it for the pairs $(t-2,\,t)$. (A sampler that skips steps
# needs it.)

# %%
def skip_variance(alpha_bar, s, t):
    ### BEGIN SOLUTION
    # the same four steps with 1 - beta_t -> alpha_bar_t / alpha_bar_s: nothing else changes
    return (1 - alpha_bar[s]) / (1 - alpha_bar[t]) * (1 - alpha_bar[t] / alpha_bar[s])
    ### END SOLUTION

# %%
t = np.arange(3, 9)
check("variance of a longer step", skip_variance, short.alpha_bar, t - 2, t)
right = posterior(short, np.ones(1), np.ones(1), 2, 4).var
assert np.isclose(by_bayes(short, 0.8, -0.5, 2, 4)[2], right, atol=1e-8)

# %% [markdown]
# ### Exercise 2: two suspects
#
# `suspect_a` and `suspect_b` both claim to be $q(x_s\mid x_t,x_0)$. Each carries a mistake that has been published. Do not read
# their code; the table below compares them with Bayes' rule on the grid. Choose from: `"beta_t for beta-tilde_t"`,
# `"sqrt(alpha_bar_t) for sqrt(1 - beta_t)"`, `"beta_t for sqrt(beta_t)"`, `"index of alpha_bar off by one"`.

# %%
print(" t     mean: truth   suspect a   suspect b      variance: truth   suspect a   suspect b")
for t in (2, 3, 5, 8):
    args = (np.array([0.8]), np.array([-0.5]), t - 1, t)
    a, b = suspects.suspect_a(short, *args), suspects.suspect_b(short, *args)
    _, mean, var = by_bayes(short, 0.8, -0.5, t - 1, t)
    print(f"{t:2d}  {mean:14.4f}  {a.mean[0]:10.4f}  {b.mean[0]:10.4f}  {var:19.4f}  {a.var:10.4f}  {b.var:10.4f}")
    assert abs(a.mean[0] - mean) > 1e-3 or abs(a.var - var) > 1e-3

# %%
bug_a, bug_b = None, None
### BEGIN SOLUTION
# Suspect a has the right variance and a mean whose error grows with t: the weight of x_t carries the whole way sqrt(alpha_bar_t) where
# the last step sqrt(1 - beta_t) belongs. Put x_0 = 0, x_t = 1 to isolate it. Suspect b has the right mean, and its variance is beta_t; the
# ratio to beta-tilde_t is 2.29 at t = 2, 1.63 at t = 3, 1.07 at t = 8: it fades with t.
bug_a = "sqrt(alpha_bar_t) for sqrt(1 - beta_t)"
bug_b = "beta_t for beta-tilde_t"
### END SOLUTION

# %%
check("suspect a", bug_a)
check("suspect b", bug_b)

# %% [markdown]
# ### Exercise 3: the ratio near the data
#
# For constant $\beta\ll1$ show that $\tilde\beta_t/\beta\to(t-1)/t$ and give the ratio at $t=2,3,4$. (No schedule can avoid it:
# near the data every schedule is constant.)

# %%
ratios = None
### BEGIN SOLUTION
# 1 - alpha_bar_t = 1 - (1 - beta)^t is about t beta, so beta-tilde_t / beta is about (t - 1) / t
ratios = [1 / 2, 2 / 3, 3 / 4]
### END SOLUTION

# %%
check("ratio near the data", ratios)
tiny = Schedule.from_betas(np.full(4, 1e-9))
assert np.all(np.diff([posterior(tiny, np.ones(1), np.ones(1), k - 1, k).var for k in (2, 3, 4)]) > 0)

# %% [markdown]
# ## What to try next
#
# * Replace the data of section 5 by one Gaussian. What do both curves do, and why?
# * Start section 5 from a later time: push `data` by $t=300$ of the usual schedule first. Smoother data, smaller $h'''$: by how
#   much may $\beta$ grow at equal loss? You have just found why betas may rise with $t$.
# * Go on: notebook 04 adds up the KLs between this posterior and the model, one per step: that is the training loss.
#
# ## References
#
# * J. Ho, A. Jain, P. Abbeel, *Denoising Diffusion Probabilistic Models*, 2020 (arXiv 2006.11239): Eq. 6-7 (posterior), Eq.
#   10-11 (through the noise), section 3.2 (both variances).
# * J. Sohl-Dickstein et al., *Deep Unsupervised Learning using Nonequilibrium Thermodynamics*, 2015 (arXiv 1503.03585): the
#   reversal for small steps.
# * W. Feller, *On the Theory of Stochastic Processes, with Particular Reference to Applications*, 1949: why small diffusion
#   steps reverse to the same form.
# * J. Song, C. Meng, S. Ermon, *Denoising Diffusion Implicit Models*, 2021 (arXiv 2010.02502): Lemma 1, section 3 here for any
#   pair.
# * F. Bao et al., *Analytic-DPM*, 2022 (arXiv 2201.06503): the optimal shared variance.
# * In the ledger: `ddpm 6-7`, `ddpm 9-10`, `ddpm 11`, `mixture B07`.
