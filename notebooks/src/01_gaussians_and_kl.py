# %% [markdown]
# # 01 · Which three facts about Gaussians is a diffusion model made of?
#
# Everything in DDPM, the forward process, its posterior, every term of its loss, is a Gaussian that came from another Gaussian.
# There are only three ways this happens: noise is **added**, a noisy copy is **seen**, two laws are **compared**.
#
# After this notebook you can
# 1. derive the law of $aX + \text{noise}$, and the law of $X$ once $aX + \text{noise}$ has been seen, by hand;
# 2. derive the KL divergence of two Gaussians and check it by two routes that know nothing of your algebra;
# 3. say which direction of the KL covers modes, which one seeks them, and which one DDPM minimises.
#
# Needed: densities, expectations, a little NumPy. Logarithms are natural, so information is in *nats*; $1$ nat is
# $1/\ln 2 = 1.44$ bits.

# %%
from minidiff.notebook import budget, plots, setup, widgets

rng = setup(seed=1)

# %%
import matplotlib.pyplot as plt
import numpy as np
from scipy.integrate import trapezoid
from scipy.optimize import minimize

from minidiff import Gaussian
from minidiff.course import check

# %% [markdown]
# ## 1. One Gaussian
#
# We write $\mathcal N(m, v)$ with the **variance** $v$, never the standard deviation. Its log-density is
#
# $$\log \mathcal N(x; m, v) = -\frac{(x-m)^2}{2v} - \frac12\log(2\pi v),$$
#
# and a sample is made from standard noise $\varepsilon\sim\mathcal N(0,1)$ by $x = m + \sqrt v\,\varepsilon$: note the square
# root. In minidiff a `Gaussian` owns no random numbers; you hand it the noise. That keeps every result reproducible, and it is
# also how gradients pass through a sample later.

# %%
p = Gaussian(mean=np.array([0.7]), var=0.25)
x = np.linspace(-4.3, 5.7, 4001)  # ten standard deviations either way
by_hand = -((x - 0.7) ** 2) / (2 * 0.25) - 0.5 * np.log(2 * np.pi * 0.25)

assert np.allclose(p.log_prob(x), by_hand, atol=1e-12)
assert abs(trapezoid(np.exp(by_hand), x) - 1) < 1e-12  # it is a density

# %% [markdown]
# **How sure is a Monte Carlo number?** We will often check a formula against samples, so we need to know when a difference
# means something. The mean of $n$ draws has a *standard error* $\mathrm{SE} = \text{std}/\sqrt n$. A correct formula lands
# within $4\,\mathrm{SE}$ all but once in 16,000 times; a difference of 40 SE is a bug, however small it looks.

# %%
n = budget(quick=200_000, full=2_000_000)
draws = Gaussian(np.full(n, 0.7), 0.25).sample(rng.standard_normal(n))
z_mean = (draws.mean() - 0.7) / np.sqrt(0.25 / n)
z_var = (draws.var() - 0.25) / (0.25 * np.sqrt(2 / n))  # the variance of a sample variance is 2 v^2 / n

assert abs(z_mean) < 4 and abs(z_var) < 4
print(f"mean {draws.mean():.2f}, variance {draws.var():.2f}; both within 4 standard errors: {abs(z_mean) < 4 and abs(z_var) < 4}")

# %% [markdown]
# ## 2. Noise is added: `push`
#
# Let $X\sim\mathcal N(m,v)$ and $Y = aX + \sqrt w\,\varepsilon$ with fresh noise. What is the law of $Y$?
#
# *Step 1 (definition).* The moment generating function of a Gaussian is $\mathbb E\,e^{kX} = \exp(km + \tfrac12 k^2 v)$.
#
# *Step 2 (independence).*
# $\mathbb E\,e^{kY} = \mathbb E\,e^{(ka)X}\cdot\mathbb E\,e^{k\sqrt w\varepsilon} = \exp(k\,am + \tfrac12k^2a^2v)\cdot\exp(\tfrac12k^2w).$
#
# *Step 3 (read off).* The exponent is $k\,(am) + \tfrac12k^2(a^2v + w)$: again that of a Gaussian, and this function determines
# the law. So
#
# $$Y \sim \mathcal N(a\,m,\; a^2 v + w).$$
#
# Scales multiply means once and variances twice; independent noises add their variances. With $a=\sqrt{1-\beta}$ and $w=\beta$
# this one line is the whole forward process of notebook 02.
#
# The check integrates over $x$ on an even grid. For smooth densities that vanish at both ends this plainest of rules converges
# faster than any power of the spacing, so $10^{-10}$ is not asking much.

# %%
a, w = 0.8, 0.3
pushed = p.push(a, w)

y = np.linspace(-3, 4, 15)[:, None]  # (15, 1), against the grid x (4001,)
joint = np.exp(p.log_prob(x) - (y - a * x) ** 2 / (2 * w)) / np.sqrt(2 * np.pi * w)  # p(x) N(y; a x, w)
integral = trapezoid(joint, x)  # over every x that could have led to y

assert np.allclose(pushed.mean, a * 0.7) and np.isclose(pushed.var, a**2 * 0.25 + w)
assert np.abs(np.exp(pushed.log_prob(y[:, 0])) - integral).max() < 1e-10
print(f"Y ~ N({pushed.mean[0]:.2f}, {pushed.var:.2f})")

# %% [markdown]
# ## 3. A noisy copy is seen: `given`
#
# Now $Y=y$ has been observed. What do we believe about $X$? Bayes: $p(x\mid y)\propto p(x)\,p(y\mid x)$, and in logarithms
#
# $$-2\log p(x\mid y) = \frac{(x-m)^2}{v} + \frac{(y-ax)^2}{w} + \text{const}
#   = x^2\underbrace{\Big(\frac1v+\frac{a^2}{w}\Big)}_{1/v'} - 2x\underbrace{\Big(\frac mv+\frac{ay}{w}\Big)}_{m'/v'} + \text{const}.$$
#
# We only sorted by powers of $x$. A quadratic in $x$ is the logarithm of a Gaussian, $(x-m')^2/v'$ (completing the square; the
# constant is fixed by normalisation). Hence
#
# $$\frac1{v'} = \frac1v+\frac{a^2}{w},\qquad m' = v'\Big(\frac mv+\frac{ay}{w}\Big).$$
#
# **Precisions add.** A noisy look can only sharpen what you know, and the mean is a compromise weighted by precision.
#
# **Before you run:** for which observed $y$ does the posterior come out narrowest: a typical one, or a surprising one?

# %% alt="Prior, likelihood and posterior for a typical observation y = 0.5 and a surprising one, 2.5. The posterior lies between the two others, is narrower and higher than both, and has the same width in both panels: only its mean has moved."
prior, a, w = Gaussian(np.array([0.0]), 1.0), 1.0, 0.4
x = np.linspace(-4, 4, 801)
fig, axes = plots.panel(2)
for ax, y in zip(axes, (0.5, 2.5), strict=True):
    seen = prior.given(a, w, np.array([y]))
    ax.plot(x, np.exp(prior.log_prob(x)), label="prior p(x)")
    ax.plot(x, np.exp(Gaussian(a * x, w).log_prob(y)), label="likelihood p(y | x)")
    ax.fill_between(x, np.exp(seen.log_prob(x)), alpha=0.4, color="C2", label="posterior p(x | y)")
    ax.axvline(y, color="0.5", linestyle=":")
    ax.set(xlabel="x", ylabel="density", ylim=(0, 1.0), title=f"seen: y = {y}")
axes[0].legend(fontsize=9, loc="upper left")
plt.show()
print(f"posterior variance, whatever y is: {seen.var:.4f}; by hand {1 / (1 / 1.0 + a**2 / w):.4f}")

# %% [markdown]
# **See.** The green posterior has the same width in both panels. $y$ does not occur in $v'$: the surprise moves the mean
# and nothing else. This is special to Gaussians, and it is why DDPM's posterior variance can be a table in $t$ instead of a
# function of the picture.
#
# The library writes the same law with a *Kalman gain*, $m' = m + g\,(y-am)$, $g = av/(a^2v+w)$, which stays finite when $v=0$
# or $w=0$. Two spellings, one law: assert it, and then check both against Bayes' rule by brute force.

# %%
m, v, a, w, y = 0.7, 0.25, 0.8, 0.3, 1.4
posterior = Gaussian(np.array([m]), v).given(a, w, np.array([y]))
v_hand = 1 / (1 / v + a**2 / w)
m_hand = v_hand * (m / v + a * y / w)
assert np.allclose(posterior.mean, m_hand, rtol=1e-14) and np.isclose(posterior.var, v_hand, rtol=1e-14)

grid = np.linspace(-6, 7, 4001)
joint = np.exp(Gaussian(grid * 0 + m, v).log_prob(grid) + Gaussian(a * grid, w).log_prob(y))  # p(x) p(y | x)
evidence = trapezoid(joint, grid)
brute = joint / evidence
assert np.abs(brute - np.exp(posterior.log_prob(grid))).max() < 1e-10
assert np.isclose(np.log(evidence), Gaussian(np.array([m]), v).push(a, w).log_prob(y)[0], atol=1e-10)
print(f"p(x | y) = N({posterior.mean[0]:.4f}, {posterior.var:.4f}), log evidence log p(y) = {np.log(evidence):.4f} nats")

# %% [markdown]
# The last assertion is worth a second look. The **product of two Gaussian densities** in $x$ is a Gaussian in $x$ *times a
# number*, and that number is $p(y)$, the law `push` gives: $p(x)\,p(y\mid x) = p(x\mid y)\,p(y)$. `push` and `given` are the
# two factors of one joint density.
#
# ## 4. Two laws are compared: the KL divergence
#
# $$\mathrm{KL}(p\,\|\,q) = \mathbb E_{x\sim p}\big[\log p(x)-\log q(x)\big]$$
#
# is the number of extra nats you pay per symbol when the data follow $p$ and your code was made for $q$. It is never negative:
# by Jensen's inequality $\mathbb E_p\log(q/p) \le \log\mathbb E_p(q/p) = \log 1 = 0$. It is not symmetric: the average runs
# over $p$.
#
# For $p=\mathcal N(m,v)$ and $q=\mathcal N(m',v')$:
#
# *Step 1 (insert the densities; $2\pi$ cancels).*
# $\log p-\log q = \tfrac12\big[\log\tfrac{v'}{v} - \tfrac{(x-m)^2}{v} + \tfrac{(x-m')^2}{v'}\big]$.
#
# *Step 2 (average over $p$).* $\mathbb E_p(x-m)^2 = v$. Write $x-m' = (x-m)+(m-m')$; the cross term averages to 0, so
# $\mathbb E_p(x-m')^2 = v+(m-m')^2$.
#
# *Step 3 (collect, with $r=v/v'$).*
#
# $$\mathrm{KL}(p\,\|\,q) = \underbrace{\tfrac12\,(r-1-\log r)}_{\text{wrong width}} + \underbrace{\frac{(m-m')^2}{2v'}}_{\text{wrong place}}.$$
#
# Three routes to one number: this formula, an integral, and samples. **Before you run:** the integral will agree to about
# $10^{-12}$. To how many digits will 200,000 samples agree? And how many samples would be needed for $10^{-10}$?

# %%
p, q = Gaussian(np.array([0.7]), 0.25), Gaussian(np.array([-0.2]), 0.6)
r = 0.25 / 0.6
by_hand = 0.5 * (r - 1 - np.log(r)) + 0.9**2 / (2 * 0.6)
closed = p.kl(q)[0]
x = np.linspace(-4.3, 5.7, 4001)
integral = trapezoid(np.exp(p.log_prob(x)) * (p.log_prob(x) - q.log_prob(x)), x)
draws = Gaussian(np.full(n, 0.7), 0.25).sample(rng.standard_normal(n))
excess = p.log_prob(draws) - q.log_prob(draws)
se = excess.std() / np.sqrt(n)

assert np.isclose(closed, by_hand, rtol=1e-14) and abs(closed - integral) < 1e-10
assert abs(excess.mean() - closed) < 4 * se
print(f"closed form {closed:.10f}\nintegral    {integral:.10f}\nsamples     {excess.mean():.2f}  (standard error {se:.4f})")
print(f"samples needed for a standard error of 1e-10: {excess.var() / 1e-20:.0e}")

# %% [markdown]
# Monte Carlo buys a digit for a hundredfold of work. So wherever a KL has a closed form we will use it, not only for elegance:
# the bound of notebook 04 sums a thousand of them. In $d$ independent dimensions the log-densities add, hence so do the KLs.
# minidiff leaves the sum to you: `p.kl(q)` is elementwise, `p.kl(q).sum(-1)` is nats per example. *Sum, not mean: it is a
# statement about the whole picture.*
#
# **Before you run:** you have to give a standard deviation for $q$ and do not know the true one. Is it worse to say *half* of
# it or *twice* of it?

# %% alt="KL divergence against the ratio of true to claimed variance. It touches zero at 1 and is lopsided: claiming half the true std costs 0.81 nats, twice the true std 0.32. The parabola follows only near 1; to the right it is too high, to the left too low."
ratio = np.geomspace(1 / 16, 16, 401)  # true variance / claimed variance
width_cost = Gaussian(np.zeros(401), ratio).kl(Gaussian(np.zeros(401), 1.0))
fig, ax = plots.panel(width=6)
plots.curves(ax, ratio, {"exact": width_cost, r"near 1: $\frac{1}{4}(r-1)^2$": 0.25 * (ratio - 1) ** 2},
             "r = true variance / claimed variance", "KL (nats)", "The price of a wrong width", log="x")
for r, what, place in ((0.25, "claimed std twice the truth", (0.25, 1.0)), (4.0, "claimed std half the truth", (0.5, 1.35))):
    cost = 0.5 * (r - 1 - np.log(r))
    ax.annotate(f"{what}: {cost:.2f}", (r, cost), xytext=place, ha="center", fontsize=9, arrowprops={"arrowstyle": "->", "color": "0.4"})
    ax.plot(r, cost, "o", color="C3")
ax.set_ylim(0, 2)
plt.show()

small = np.array([0.01, 0.001])
exact = Gaussian(np.zeros(2), 1 + small).kl(Gaussian(np.zeros(2), 1.0))
assert np.allclose(exact / (0.25 * small**2), 1, atol=0.01)  # quadratic near r = 1
assert width_cost[np.argmin(abs(ratio - 4))] > 1.9 * width_cost[np.argmin(abs(ratio - 0.25))]

# %% [markdown]
# **See.** Claiming too little uncertainty costs more than twice as much as claiming too much (0.81 against 0.32 nats),
# and near the truth the price is quadratic: a variance wrong by 1 % costs $2.5\cdot10^{-5}$ nats. Keep this curve in mind: the
# question "$\beta$ or $\tilde\beta$?" of notebook 04 is answered by it.
#
# And when both variances are *fixed and equal*, only the second term is left: $\mathrm{KL} = (m-m')^2/2v$. **A KL between
# Gaussians of equal width is a squared error with a weight.** That is how a likelihood turns into "predict the noise, mean
# squared error".
#
# ## 5. Which way round? Covering and seeking
#
# Let $p$ have two modes and let $q$ be one Gaussian: it cannot fit. What is the best it can do?
#
# * $\min_q\mathrm{KL}(p\,\|\,q)$: only $-\mathbb E_p\log q = \tfrac12\log(2\pi v') + \tfrac1{2v'}\mathbb E_p(x-m')^2$ depends
#   on $q$. Setting the derivatives to zero: $\partial_{m'}$ gives $m'=\mathbb E_p x$, and $\partial_{v'}$ gives
#   $v'=\mathbb E_p(x-m')^2$. The best Gaussian **matches the moments**.
# * $\min_q\mathrm{KL}(q\,\|\,p)$: the average runs over $q$. Where $p\approx0$, $q$ must not go; where $q\approx0$, nothing is
#   asked of it.
#
# **Before you run:** sketch both answers for the density below.

# %%
fits, start = {}, {"left": (-1.5, 0.7), "right": (1.5, 0.7)}
p = widgets.two_modes(separation=4.0)  # bumps of std 0.5 at -2 and 2


def objective(direction):  # 0: KL(p || q), 1: KL(q || p), both as sums over a fine grid; log std keeps std > 0
    return lambda theta: widgets.both_kl(4.0, theta[0], np.exp(theta[1]))[direction]


fits["KL(p || q)"] = minimize(objective(0), (0.5, 0.0), method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-13})
for side, (mean, std) in start.items():
    fits[f"KL(q || p), {side}"] = minimize(objective(1), (mean, np.log(std)), method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-13})
for name, fit in fits.items():
    print(f"min of {name:18s}: mean {fit.x[0] + 0.0:6.2f}, std {np.exp(fit.x[1]):.3f}, {fit.fun:.4f} nats")

cover, left, right = fits.values()
assert abs(cover.x[0]) < 1e-5 and np.isclose(np.exp(cover.x[1]), np.sqrt(4.0 + 0.25), atol=1e-5)  # the moments of p
assert np.isclose(left.x[0], -right.x[0], atol=1e-4) and np.isclose(left.fun, np.log(2), atol=0.01)

# %% alt="Left, two humps at -2 and 2: the best Gaussian for KL(p || q) is wide and flat over both, those for KL(q || p) are narrow and sit each on one hump. Right, over the mean of q: KL(p || q) has one valley at 0, KL(q || p) two valleys and a high ridge between them."
x = np.linspace(-6, 6, 601)
fig, axes = plots.panel(2, width=4.6)
axes[0].fill_between(x, np.exp(p.log_prob(x[:, None])), color="0.75", label="p")
for (name, fit), style in zip(fits.items(), ("C0-", "C1-", "C1--"), strict=True):
    axes[0].plot(x, np.exp(Gaussian(x * 0 + fit.x[0], np.exp(2 * fit.x[1])).log_prob(x)), style, label=f"best {name}")
axes[0].set(xlabel="x", ylabel="density", ylim=(0, 1.15), title="The best Gaussian, both ways")
axes[0].legend(fontsize=8, loc="upper center", ncols=2)
means = np.linspace(-4, 4, 81)
plots.curves(axes[1], means, {name: [widgets.both_kl(4.0, m, s)[d] for m in means] for name, d, s in
             (("KL(p || q), std 2.06", 0, 2.06), ("KL(q || p), std 0.5", 1, 0.5))}, "mean of q", "nats", "One valley or two")
axes[1].set_ylim(0, 8)
plt.show()

# %% [markdown]
# **See.** $\mathrm{KL}(p\|q)$ has one valley and puts its mass in the empty middle rather than miss a mode: **mode
# covering**. $\mathrm{KL}(q\|p)$ has a valley at each mode and a ridge between (at this std; exercise 4 looks at others):
# **mode seeking**, at the price of $\ln 2 = 0.69$ nats for the half it ignores.
#
# Maximum likelihood, and the variational bound of DDPM, average over the *data side*:
# $\mathrm{KL}(q(x_{t-1}\mid x_t,x_0)\,\|\,p_\theta(x_{t-1}\mid x_t))$, with $q$ the true process and $p_\theta$ the model. So a
# diffusion model covers. It escapes the blur of the left panel only because each single step is so small that the truth itself
# is nearly one Gaussian (notebook 03 measures how nearly).
#
# Minimise both by hand: move `mean` and `std`.

# %%
explorer = widgets.kl_explorer()
explorer

# %%
for mean, std in ((0.0, 2.05), (2.0, 0.5), (0.0, 0.5)):
    explorer.controls.mean.value, explorer.controls.std.value = mean, std
    print(f"mean {mean:3.1f}, std {std:4.2f}:  {explorer.text}")
assert explorer.text.startswith("KL(p || q) = ")

# %% [markdown]
# The last line is the trap of an over-confident model: the narrow Gaussian between the modes is bad in *both* directions.
#
# ## Exercises
#
# Replace the `...` and run both cells; the check says what is wrong, not only that something is. After a restart, first Run > Run All Above Selected Cell. A cell that ends in red has defined nothing: the check then still judges what was there before.
#
# ### Exercise 1: the KL of a batch
#
# Means of shape `(B, D)`, variances of shape `(D,)`. Derive the KL of diagonal Gaussians and return nats **per example**, shape
# `(B,)`.

# %%
def kl_diagonal(m_p, v_p, m_q, v_q):
    ### BEGIN SOLUTION
    # log-densities of independent coordinates add, so the KLs add
    r = v_p / v_q
    return (0.5 * (r - 1 - np.log(r)) + (m_p - m_q) ** 2 / (2 * v_q)).sum(-1)
    ### END SOLUTION

# %%
m_p, m_q = np.array([[0.3, -1.0, 2.0], [0.0, 0.5, -0.5]]), np.array([[0.0, -0.4, 1.0], [1.0, 0.5, 0.25]])
v_p, v_q = np.array([0.5, 1.0, 2.0]), np.array([1.0, 1.5, 0.5])
check("KL of a batch", kl_diagonal, m_p, v_p, m_q, v_q)
assert Gaussian(m_p, v_p).kl(Gaussian(m_q, v_q)).shape == (2, 3)  # the library's is elementwise

# %% [markdown]
# ### Exercise 2: two looks
#
# $X\sim\mathcal N(0,1)$ is seen twice: $y_1 = X+\mathcal N(0,w_1)$ and $y_2 = X+\mathcal N(0,w_2)$. What is the variance of $X$
# given both? Does the order matter?

# %%
def variance_after_two_looks(w_1, w_2):
    ### BEGIN SOLUTION
    # precisions add, and addition knows no order
    return 1 / (1 + 1 / w_1 + 1 / w_2)
    ### END SOLUTION

# %%
check("two looks", variance_after_two_looks, 0.5, 0.2)
once = Gaussian(np.array([0.0]), 1.0)
looks = [once.given(1.0, a, np.array([0.3])).given(1.0, b, np.array([0.9])).var for a, b in ((0.5, 0.2), (0.2, 0.5))]
assert np.isclose(*looks)

# %% [markdown]
# ### Exercise 3: noise twice is noise once
#
# `push` by $(a,\,w)$ and then by $(b,\,u)$ equals one `push` by $(ab,\,?)$. Find the second number. (This is the step that
# notebook 02 repeats a thousand times.)

# %%
def variance_of_both(a, w, b, u):
    ### BEGIN SOLUTION
    # b (a X + sqrt(w) eps) + sqrt(u) eps' = a b X + b sqrt(w) eps + sqrt(u) eps', and the two noises are independent
    return b**2 * w + u
    ### END SOLUTION

# %%
check("noise twice", variance_of_both, 0.9, 0.19, 0.6, 0.64)
twice = Gaussian(np.array([0.0]), 0.0).push(0.9, 0.19).push(0.6, 0.64)
assert np.isclose(twice.var, 1 - (0.9 * 0.6) ** 2)  # with w = 1 - a^2 and u = 1 - b^2, both noises make 1 - (ab)^2

# %% [markdown]
# ### Exercise 4: the third valley
#
# At `std` 0.5 the middle is a ridge for $\mathrm{KL}(q\,\|\,p)$. But `std` can move too. Use the explorer with `separation` 4
# and `mean` 0: there is a `std` at which no small step, of mean or of std, lowers $\mathrm{KL}(q\,\|\,p)$. Find it to two
# digits. An optimiser that starts wide ends there.

# %%
std_of_third_valley = None
### BEGIN SOLUTION
# Scan std at mean 0. The value there is 1.87 nats against 0.69 at a mode: mode seeking is a statement
# about the best minimum, not about what an optimiser finds.
std_of_third_valley = 1.74
### END SOLUTION

# %%
third = minimize(objective(1), (0.05, 0.6), method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-13})
check("third valley", std_of_third_valley, np.exp(third.x[1]))
assert abs(third.x[0]) < 1e-3 and third.fun > left.fun + 1  # a real minimum, but more than one nat worse

# %% [markdown]
# ## What to try next
#
# * Replace $p$ by a heavy-tailed law (a mixture with one very wide component) and watch $\mathrm{KL}(p\|q)$ follow the tail.
# * Estimate the KL from 1,000 samples a hundred times. Is the scatter what SE promises? Is any estimate negative, and why is
#   this no contradiction to Jensen?
# * Go on: [02 · the forward process](02_forward_process.ipynb) uses `push`, [03 · the posterior](03_posterior.ipynb) uses
#   `given`, notebook 04 uses `kl`.
#
# ## References
#
# * J. Ho, A. Jain, P. Abbeel, *Denoising Diffusion Probabilistic Models*, 2020 (arXiv 2006.11239): Eq. 2 and 4 are `push`, Eq.
#   6-7 `given`, Eq. 5 and 8 `kl`.
# * C. Bishop, *Pattern Recognition and Machine Learning*, 2006: section 2.3 (Gaussians), 10.1.2 (covering and seeking).
# * In the ledger: `ledger power`.
# * S. Kullback, R. Leibler, *On Information and Sufficiency*, 1951.
