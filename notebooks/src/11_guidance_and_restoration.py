# %% [markdown]
# # 11 · Can a model of whole pictures fill in a hole, and is what it fills in right?
#
# A diffusion model has learned whole pictures. Now a part of the picture is given and the rest is wanted: a scratch is to be repaired, a small picture made large, a sketch made a painting. The wonderful claim is that *the same model* does it,
# with no further training, by a change of five lines in the sampler. Look at the results and you believe it. In this notebook we compute before we look: the data are Gaussian at first, so the right answer is known, and the famous five lines turn out to miss it,
# in one case by half.
#
# **When you have worked through it you can**
# * derive the right answer, $p(\text{unknown}\mid\text{known})$, for a Gaussian and for a mixture,
# * write inpainting by replacement yourself, and say *exactly* what law it draws from and why,
# * say why more steps do not repair it, why resampling (RePaint) does, what that costs and where to spend a budget of calls,
# * judge super-resolution and repair of a signal by a mean and a band, not by eye,
# * predict how much of a picture survives image-to-image at a given strength,
# * draw the curve of accuracy against diversity of guidance, and say which point on it is the class.
#
# You need notebooks 03, 07 and 08. Nothing is trained here. In sections 1 to 7 the denoiser is exact, so no error there can be blamed on a network; section 8 then asks trained networks for digits.

# %%
from minidiff.notebook import budget, plots, setup

rng = setup(seed=11)
from functools import partial
import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.integrate import quad
from minidiff import ClassDenoiser, Clipped, ExactDenoiser, GaussianMixture, Guided, Label, Prediction, Schedule, inpaint, start_from
from minidiff.arrays import normal
from minidiff.course import check
from minidiff.metrics import sliced_wasserstein
from minidiff.notebook.card import card
from minidiff.process import posterior_variance

# %%
from minidiff.run import load_classifier, mnist, pretrained, scale
from minidiff.run.conditions import coarse, label, low_resolution, partly
from minidiff.sample import ddim, ddpm, dpm_solver, heun, last
from minidiff.toy import ring
from minidiff.verify import show

# %% [markdown]
# ## 1. The right answer
#
# A "picture" of two pixels $(a, b)$, mean 0, variance 1, correlation $\rho$. The pixel $a$ is seen. What is $b$? Subtract from $b$ what $a$ explains: $b-\rho a$ has covariance $\rho-\rho=0$ with $a$, so it is independent of $a$ (they are jointly Gaussian), and its variance is $1-\rho^2$. Hence
#
# $$p(b\mid a)=\mathcal N(\rho a,\ 1-\rho^2);\qquad\text{in general}\quad \mathcal N\big(m_b+C_{ba}C_{aa}^{-1}(a-m_a),\ C_{bb}-C_{ba}C_{aa}^{-1}C_{ab}\big).$$
#
# A mixture is a Gaussian whose component $k$ was drawn first. Given $a$, each component gives its own Gaussian for $b$, and Bayes' rule gives the weights: $w_k\,\mathcal N(a;m_{a,k},C_{aa,k})$, normalised. So the answer is a mixture again. `GaussianMixture.conditional(known, value)` is these two sentences.
#
# **Before you run:** two tilted clouds, $a=0.4$ is seen. Bayes' rule on a grid knows nothing of these formulas: cut the joint density along $a=0.4$ and normalise. Will the cut have as many modes as there are clouds? Can the seen value change the *weights* of the clouds?

# %%
large = partial(ddpm, variance="large")  # ancestral sampling with sigma^2 = beta; section 3 says why
rho, a = 0.8, 1.3
pair = GaussianMixture([1.0], [[0.0, 0.0]], [[[1.0, rho], [rho, 1.0]]])
answer = pair.conditional([0], [a])
assert np.allclose([answer.mean()[0], answer.covs[0, 0, 0]], [rho * a, 1 - rho**2], atol=1e-12)
print(f"two pixels, a = {a}: the right answer is N({rho * a:.3f}, {1 - rho**2:.3f})")

clouds = GaussianMixture([0.6, 0.4], [[-0.3, -0.8], [0.5, 0.9]], [[[0.30, 0.22], [0.22, 0.30]], [[0.20, -0.12], [-0.12, 0.15]]])
b = np.linspace(-6, 6, 4001)[:, None]
cut = np.exp(clouds.log_prob(np.concatenate([0 * b + 0.4, b], 1)))
cut /= cut.sum() * 0.003  # Bayes on a grid of width 0.003
exact_b = clouds.conditional([0], [0.4])
print("largest difference between the cut and `conditional` below 1e-9:", bool(np.abs(cut - np.exp(exact_b.log_prob(b))).max() < 1e-9))
print(f"weights of the clouds: {clouds.weights.round(3)} before, {exact_b.weights.round(3)} after a was seen")
assert np.abs(cut - np.exp(exact_b.log_prob(b))).max() < 1e-9

# %% [markdown]
# The cut has two modes here, and the seen value has turned the odds of the two clouds around. `conditional` and the grid agree to nine digits: this is the oracle for the rest of the notebook.
#
# ## 2. Inpainting by replacement
#
# The idea is in Song et al. 2021 and in Lugmayr et al. 2022 (Eq. 8). Sample as usual. After every step to level $s$ overwrite the known pixels with what they *should* look like there: the known values, noised to level $s$,
#
# $$x_s = \texttt{mask}\cdot\big(\sqrt{\bar\alpha_s}\,x_0^{\rm known}+\sqrt{1-\bar\alpha_s}\,z\big)+(1-\texttt{mask})\cdot\big(\text{one reverse step from }x_t\big).$$
#
# At $s=0$ there is no noise and the known pixels stand there exactly. The unknown ones, so the story goes, "see" the known ones in every step and fall into harmony with them. Mind the level: the known part is noised to $s$, where the step *arrives*. (Exercise 2 is the usual slip.)
#
# **Before you run:** the denoiser is exact, the known pixel is exact, there are 50 steps and 20,000 draws. Will they follow $\mathcal N(1.04, 0.36)$?

# %%
schedule, n = Schedule.cosine(50, max_beta=0.5), budget(quick=20_000, full=200_000)
denoiser, draw = ExactDenoiser(pair, schedule), normal(rng)
known, mask = np.tile([a, np.nan], (n, 1)), np.tile([True, False], (n, 1))  # NaN: nobody may look at what is not known

def by_hand(x, draw):  # Algorithm 2 of DDPM, with the known part overwritten at every level
    for t in range(schedule.T, -1, -1):
        signal, noise = schedule.scales(t)
        x = np.where(mask, signal * known + noise * draw(x), x)
        if t > 0:
            x = (x - schedule.beta[t] / noise * denoiser(x, t).eps) / np.sqrt(1 - schedule.beta[t])
            x = x + np.sqrt(schedule.beta[t]) * draw(x) if t > 1 else x
    return x

start, noises = draw(np.zeros((n, 2))), [normal(np.random.default_rng(1)) for _ in range(2)]
filled = last(inpaint(denoiser, start, schedule.times(50), noises[0], known, mask, sampler=large))
assert np.abs(by_hand(start, noises[1]) - filled).max() < 1e-12 and np.all(filled[:, 0] == a)
print("by hand and minidiff.inpaint agree to 1e-12, and all", n, "known pixels are exact")
print(f"the other pixel: mean {filled[:, 1].mean():.2f}, variance {filled[:, 1].var():.2f}")

# %% [markdown]
# No. The mean is 0.65 instead of 1.04 and the variance 0.50 instead of 0.36, and with 20,000 draws that is no accident. Nothing in a picture would tell you. Let us find out what law this *is*. Everything is linear, so it is Gaussian, and we can follow its mean $m$ and variance $v$ step by step.
#
# At level $t$ the pair has covariance $V=\begin{pmatrix}1&c\\c&1\end{pmatrix}$ with $c=\rho\bar\alpha_t$ (the noise is independent in both pixels), and $\epsilon=\sqrt{1-\bar\alpha_t}\,V^{-1}x_t$. Put this in the mean of DDPM, $(x_t-\beta_t V^{-1}x_t)/\sqrt{\alpha_t}$, and read its second row:
#
# $$b_{t-1}=k_a a_t+k_b b_t+\sigma_t z,\qquad k_a=\frac{\beta_t}{\sqrt{\alpha_t}}\,\frac{c}{1-c^2},\qquad k_b=\frac1{\sqrt{\alpha_t}}\Big(1-\frac{\beta_t}{1-c^2}\Big).$$
#
# Now the decisive line. The $a_t$ that stands there was made *fresh*, $a_t=\sqrt{\bar\alpha_t}\,a+\sqrt{1-\bar\alpha_t}\,z'$, so it is independent of $b_t$, and
#
# $$m\leftarrow k_a\sqrt{\bar\alpha_t}\,a+k_b m,\qquad v\leftarrow k_a^2(1-\bar\alpha_t)+k_b^2 v+\sigma_t^2,\qquad m=0,\ v=1\ \text{at the start}.$$
#
# With small steps this becomes an equation over $z=\bar\alpha$ from 0 to 1: $z\,m'=\frac m2-\frac{m}{1-\rho^2z^2}+\frac{\rho z^{3/2}a}{1-\rho^2z^2}$. Without the last term $m\propto z^{-1/2}\sqrt{1-\rho^2z^2}$. Write $m$ as that times $u$; then $u'=\rho a\,z\,(1-\rho^2z^2)^{-3/2}$, which integrates by sight, and at $z=1$
#
# $$\boxed{\;b\sim\mathcal N\Big(\frac{1-\sqrt{1-\rho^2}}{\rho}\,a,\ \ (1-\rho^2)\,\frac{\operatorname{artanh}\rho}{\rho}\Big)\quad\text{instead of}\quad\mathcal N(\rho a,\ 1-\rho^2)\;}$$
#
# (the variance in the same way). **Before you run:** what happens to the error with 100, 200, 400, 800 steps?

# %%
def recursion(schedule, U=1, variance="large", repeat_last=False):  # U: how often each step is made (section 3)
    m, v = 0.0, 1.0
    for t in range(schedule.T, 0, -1):
        beta, c = schedule.beta[t], rho * schedule.alpha_bar[t]
        k_a, k_b = beta * c / (1 - c**2) / np.sqrt(1 - beta), (1 - beta / (1 - c**2)) / np.sqrt(1 - beta)
        noise = (beta if variance == "large" else posterior_variance(schedule, t - 1, t)) if t > 1 else 0.0
        for again in range(U if t > 1 or repeat_last else 1):
            if again:  # noised from t - 1 back to t
                m, v = np.sqrt(1 - beta) * m, (1 - beta) * v + beta
            m, v = k_a * np.sqrt(schedule.alpha_bar[t]) * a + k_b * m, k_a**2 * (1 - schedule.alpha_bar[t]) + k_b**2 * v + noise
    return m, v

def off(x, law):
    """How many standard errors the mean and the variance of a sample lie from those of a Gaussian law, the worse of the two."""
    return max(abs(x.mean() - law[0]) / np.sqrt(law[1] / len(x)), abs(x.var() - law[1]) / (law[1] * np.sqrt(2 / len(x))))

def W2(law):  # the distance of two Gaussians on a line, here from the right one: by mean and by standard deviation
    return np.hypot(law[0] - rho * a, np.sqrt(law[1]) - np.sqrt(1 - rho**2))

# %%
here, there = off(filled[:, 1], recursion(schedule)), off(filled[:, 1], (rho * a, 1 - rho**2))
print(f"the draws are within 4 standard errors of the recursion: {here < 4}; from the right answer they are {there:.0f} away")
assert here < 4 and there > 20
limit = a * (1 - np.sqrt(1 - rho**2)) / rho, (1 - rho**2) * np.arctanh(rho) / rho
for T in (50, 100, 200, 400, 800):
    m, v = recursion(Schedule.cosine(T, max_beta=0.5))
    print(f"T = {T:3d}: mean {m:.4f}, variance {v:.4f}")
print(f"T = inf: mean {limit[0]:.4f}, variance {limit[1]:.4f}      right: mean {rho * a:.4f}, variance {1 - rho**2:.4f}")
assert np.allclose((m, v), limit, atol=2e-3) and W2((m, v)) > 0.4

# %% [markdown]
# The sampler converges nicely. To something else. **More steps do not help**, because nothing here is a discretisation error.
#
# So what is wrong? It is not that the known part is badly noised: given $a$, the true $a_t$ and $b_t$ *are* independent, just as here. It is the **question**. What the step needs is $\mathbb{E}[b\mid a, b_t]$: we know $a$! What the network answers is $\mathbb{E}[b\mid a_t, b_t]$, for an $a$ that it knows only through noise.
# It trusts $a_t$ as little as a noisy pixel deserves. Asking again one step later does not add up the evidence: each answer assumes that $a_t$ and $b_t$ come from one and the same history, in which $b_t$ has already taken in all that earlier $a$'s had to say, and it has not: those were other noisings. Only at low noise does the model believe what it sees; by then $b$ is nearly finished.
#
# For small $\rho$ this is one line. Averaged over the noise of $a_t$, at $b_t=0$: right is $\rho a(1-\bar\alpha_t)$, the network says $\bar\alpha_t\cdot\rho a(1-\bar\alpha_t)$. The pull towards the known pixel is **$\bar\alpha_t$ times too weak**. In $u'$ above that is the factor $z$: right would be $\int_0^1\rho a\,dz=\rho a$, we get $\int_0^1\rho a\,z\,dz=\frac12\rho a$. Half.
#
# **Before you run:** for $\rho=0.8$, where is the ratio of the pulls furthest below 1: near noise or near data? And for which $\rho$ is the mean most wrong, relative to $\rho a$: small or large?

# %%
print("alpha_bar_t   pull on b: asked / needed, rho = 0.01   rho = 0.8")
for t in (45, 35, 25, 15, 5):
    ratios = []
    for r in (0.01, 0.8):
        two = GaussianMixture([1.0], [[0, 0]], [[[1, r], [r, 1]]])
        asked = ExactDenoiser(two, schedule)(np.array([[schedule.scales(t)[0] * a, 0.0]]), t).x_0[0, 1]  # linear: the mean over a_t
        needed = ExactDenoiser(two.conditional([0], [a]), schedule)(np.zeros((1, 1)), t).x_0[0, 0]
        ratios.append(asked / needed)
    z = schedule.alpha_bar[t]
    print(f"{z:11.3f}   {ratios[0]:38.3f}   {ratios[1]:9.3f}")
    assert abs(ratios[0] - z) < 1e-4 and abs(ratios[1] - z * (1 - 0.64 * z) / (1 - 0.64 * z**2)) < 1e-12
for r in (0.01, 0.3, 0.8, 0.99):
    print(f"rho = {r:4.2f}: share of the right mean {(1 - np.sqrt(1 - r**2)) / r**2:.3f}, variance / right variance {np.arctanh(r) / r:.3f}")

# %% [markdown]
# **See.** Weakly related pixels get half of what the known part says about them. Strongly related ones get most of it, but a spread that is far too large. Only for $\rho=0$, where there is nothing to say, is replacement right.
#
# ## 3. Resampling: make each step U times
#
# RePaint (Lugmayr et al. 2022) repairs it without a new model. After the step to $s$, noise the *whole* picture from $s$ back to $t$ (known and unknown together, one history) and make the step again with a fresh known part. Each try gives $b$ one more pull at this level, before the level is left. In the equation above the pull is taken $U$ times and the forward noise $U-1$ times, and the solution is
#
# $$\mathbb{E}\,b=U\rho a\,(1-\rho^2)^{U/2}\int_0^1\frac{z^U\,dz}{(1-\rho^2z^2)^{U/2+1}},\qquad\operatorname{Var}b=(2U-1)(1-\rho^2)^U\int_0^1\frac{z^{2U-2}\,dz}{(1-\rho^2z^2)^{U}}\qquad(T\to\infty).$$
#
# For small $\rho$ the mean is $\frac{U}{U+1}\rho a$: the error falls like $1/U$. The cost is $U$ times as many network calls.
#
# **Before you run:** to have 95% of the right mean at small $\rho$, how many tries?

# %% alt="Histograms of inpainted values and the right density. With U = 1 they lie clearly too far to the left; with U = 5 a little; with U = 20 they follow the right curve."
def closed(U, r=rho):
    mean = U * r * a * (1 - r**2) ** (U / 2) * quad(lambda z: z**U * (1 - r**2 * z**2) ** (-U / 2 - 1), 0, 1)[0]
    return mean, (2 * U - 1) * (1 - r**2) ** U * quad(lambda z: z ** (2 * U - 2) * (1 - r**2 * z**2) ** -U, 0, 1)[0]
assert np.allclose(closed(1), limit) and all(abs(closed(U, 1e-3)[0] / (1e-3 * a) - U / (U + 1)) < 1e-5 for U in (1, 4, 19))

def draw_b(n, draw, U):
    return last(inpaint(denoiser, draw(start[:n]), schedule.times(50), draw, known[:n], mask[:n], resample=U, sampler=large))[:, 1]

fig, ax = plots.panel(1, width=7, height=3)
print("  U  calls   T = inf: mean, variance   T = 50: mean, variance   3,000 draws: mean, variance")
for U in (1, 2, 5, 10, 20):
    x, law = draw_b(3000, draw, U), recursion(schedule, U)
    print(f"{U:3d}  {U * 49 + 1:5d}   {closed(U)[0]:13.3f} {closed(U)[1]:10.3f}   {law[0]:12.3f} {law[1]:10.3f}   {x.mean():17.2f} {x.var():10.2f}")
    assert off(x, law) < 4 and abs(draw_b(1, np.zeros_like, U)[0] - law[0]) < 1e-12  # linear: without noise it returns the mean
    ax.hist(x, bins=np.linspace(-2, 4, 41), density=True, histtype="step", linewidth=1.5, label=f"U = {U}") if U in (1, 5, 20) else None
plots.curves(ax, b[1333:3334], {"right": np.exp(answer.log_prob(b[1333:3334]))}, "b, when a = 1.3 is seen", "density", "what inpainting draws")
ax.legend()
plt.show()

# %% [markdown]
# (95% needs $U=19$.) You have a budget of 400 calls. **Before you run:** where do you spend it: 400 steps made once, 100 steps made four times, 25 steps made sixteen times, 5 steps made eighty times? And a second question, about the variance. We used `variance="large"`, $\sigma_t^2=\beta_t$. Does it matter?

# %%
print(f"right: mean {rho * a:.3f}, variance {1 - rho**2:.3f}")
assert W2(closed(20)) < 0.06 * W2(closed(1))
print("steps x tries   distance W2 to the right law:  large variance   small variance")
spent = {}
for T, U in ((400, 1), (200, 2), (100, 4), (50, 8), (25, 16), (10, 40), (5, 80)):
    spent[T] = [W2(recursion(Schedule.cosine(T, max_beta=0.5), U, kind)) for kind in ("large", "small")]
    print(f"{T:5d} x {U:2d}   {spent[T][0]:45.3f}   {spent[T][1]:14.3f}")
assert min(spent, key=lambda T: spent[T][0]) == 25 and spent[25][0] < spent[400][0] / 8

print("\nvariance of b (right: 0.360), T = 50    U = 1     20    100")
cases = {"large": {}, "large, last step repeated too": {"repeat_last": True}, "small": {"variance": "small"}}
for name, options in cases.items():
    print(f"{name:36s}", *(f"{recursion(schedule, U, **options)[1]:6.3f}" for U in (1, 20, 100)))
assert recursion(schedule, 100, "small")[1] < 0.27 and recursion(schedule, 100, repeat_last=True)[1] < 0.27

# %% [markdown]
# **See.** Sixteen tries of 25 coarse steps come nine times nearer than 400 fine steps made once. (Too coarse is bad again: five steps cannot follow the path.) An error of the *method* is not paid off with steps.
#
# Two details decide the variance, and you find neither in a picture:
# * **Small variance, many tries: too narrow.** One step's $\tilde\beta_t$ is the variance for *known* $x_0$. A little is missing at each step, and a level that is visited a hundred times settles where the missing variance balances. With $\beta_t$ the missing part is $O(\beta_t^2)$ for these data.
#   Hence `functools.partial(ddpm, variance="large")` as the `sampler` of `inpaint`.
# * **The last step is made once.** The step to $t=0$ returns a mean, without noise. Made again and again, each try pulls towards a mean and puts in too little noise: the law shrinks. `inpaint` makes it once, whatever `resample` says.
#
# ## 4. Where the mistake can be seen
#
# With one mode a wrong mean looks fine. So take the ring of eight clouds, hide the second coordinate of 1,500 true points and fill it in. **The right filling gives the ring back**: a true $a$ with a $b$ drawn from $p(b\mid a)$ is a true point. So no oracle is needed. We measure the distance of the filled points from real ones,
# and the share of *impossible* points, further than 3 standard deviations from every cloud. Of real points $e^{-9/2}=1.1\%$ are; of whole points drawn by the same sampler, whose steps are finite, a little more.
#
# **Before you run:** $b$ starts as noise and chooses its cloud early. The known $a$ is believed late. What will a point look like that chose wrongly?

# %% alt="Eight clumps with the horizontal coordinate given and the vertical filled in. With U = 1 many points sit in their right column but in the wrong row, between and beside the clumps; with 5 and 20 fewer do, but some are still left."
circle, few, n = ring(8), Schedule.cosine(100, max_beta=0.5), budget(quick=1500, full=10_000)
true, more, exact_ring = circle.sample(n, rng), circle.sample(6 * n, rng), ExactDenoiser(circle, few)

def impossible(x):  # the share of points further than 3 standard deviations from every cloud
    return np.mean(((x[:, None] - circle.means) ** 2).sum(-1).min(1) > (3 * 0.06) ** 2)

def restore(seen, U):
    return last(inpaint(exact_ring, draw(seen), few.times(100), draw, seen, ~np.isnan(seen), resample=U, sampler=large))

restored = {f"filled, U = {U}": restore(np.where([True, False], true, np.nan), U) for U in (1, 5, 20)}
fig = plots.points({"true": true} | restored, limit=1.25, width=2.7, size=2)
plt.show()
restored |= {"drawn whole, nothing known": last(large(exact_ring, draw(true), few.times(100), draw)), "real points": circle.sample(n, rng)}
for name, x in restored.items():
    distance = sliced_wasserstein(x, more[:n], more[n:], rng, resamples=50)
    print(f"{name:27s} impossible {impossible(x):6.1%}   distance {distance.value:.3f}, real against real {distance.floor:.3f}")
shares = [impossible(x) for x in restored.values()]
assert shares[0] > 0.15 > shares[1] > shares[2] > 0.03 > shares[3] > shares[4] and abs(impossible(more) - np.exp(-4.5)) < 0.004

# %% [markdown]
# **See.** (Horizontal: $a$, known. Vertical: $b$, filled in.) Right columns in wrong rows. A point with $a=\pm0.8$ belongs to $b\approx0$; many have settled at $b=\pm0.57$, in the rows of the neighbours, *outside* the ring; and some with $a=\pm0.57$ at $b=0$, inside it. The model itself finds these places impossible. It is the *sampler* that put the points there. Resampling moves many of them home; twenty tries still leave some.
# And look at the distances. At $U=20$ 7% of the points are impossible, and the distance of the whole set is nearly that of real points: half of each point *is* right, and few have moved. Where a density is known, use it (notebook 07).
#
# Look where it is worst, at $a=0.8$, and ask the right question instead: a model of $b$ *given* $a$, here `ExactDenoiser(circle.conditional([0], [0.8]))`, sampled once, with no tricks. (A network for it gets $a$ as an input, clean. That is what super-resolution and inpainting models are trained to do.)

# %%
asked, at = ExactDenoiser(circle.conditional([0], [0.8]), few), np.tile([0.8, np.nan], (n, 1))
b = last(large(asked, draw(np.zeros((n, 1))), few.times(100), draw))
print("a = 0.8                       calls   impossible")
share = {U: impossible(restore(at, U)) for U in (1, 5, 20)}
for U in share:
    print(f"whole-picture model, U = {U:2d}  {99 * U + 1:6d}   {share[U]:10.1%}")
share["right"] = impossible(np.concatenate([0 * b + 0.8, b], 1))
print(f"model of b given a            {100:6d}   {share['right']:10.1%}")
assert share[1] > share[5] > share[20] > 5 * share["right"]

# %% [markdown]
# ## 5. A signal with a hole, and super-resolution
#
# Now 32 pixels in a row: a smooth signal plus a little grain, $C_{ij}=0.96\,e^{-(i-j)^2/50}+0.04\,\delta_{ij}$. That is *one* Gaussian in 32 dimensions, and `conditional` gives, for any set of known pixels, the exact mean and the exact band. A hole, a missing half, and super-resolution are the same thing with another mask. (Super-resolution here: every second or fourth pixel is given, not an average of pixels.)
#
# The denoiser of Gaussian data is a matrix, $\hat x_0=\sqrt{\bar\alpha_t}\,C\,(\bar\alpha_tC+(1-\bar\alpha_t)I)^{-1}x_t$ (Wiener's filter). We write it ourselves, because `ExactDenoiser` also computes a $32\times32$ covariance for every point, and check it.

# %%
D, place = 32, np.arange(32)
C = 0.96 * np.exp(-((place[:, None] - place) ** 2) / 50) + 0.04 * np.eye(D)
signals = GaussianMixture([1.0], np.zeros((1, D)), C[None])

class Wiener:
    """The ideal denoiser of N(0, C)."""
    schedule = Schedule.cosine(100, max_beta=0.5)
    def __call__(self, x_t, t, cond=None):
        signal, noise = self.schedule.scales(t)
        x_0 = x_t @ np.linalg.solve(signal**2 * C + noise**2 * np.eye(D), signal * C)
        return Prediction(x_0, (x_t - signal * x_0) / noise)

x = rng.standard_normal((3, D))
assert all(np.allclose(Wiener()(x, t).eps, ExactDenoiser(signals, Wiener.schedule)(x, t).eps, atol=1e-10) for t in (1, 50, 100))
masks = {"right half hidden": place < 16, "hole of 12": abs(place - 15.5) > 6, "every second known": place % 2 == 0, "every fourth known": place % 4 == 0}

# %% [markdown]
# Every row gets its own true signal, so one table speaks for all signals. **Before you run:** three numbers for each task. The share of the right mean that the fillings have (the slope of their mean against the exact one; right: 1. The sampler is linear: with 0 in the place of every noise it returns the mean of its fillings). Their distance from the exact mean in units of the exact standard deviation (root mean square; right: 1).
# And $\log p$ of the completed signal minus that of the true one, in nats (right: 0). Which task suffers most from $U=1$?

# %% tags=["nbval-ignore-output"]
n = budget(quick=300, full=4000)
truth = signals.sample(n, rng)

def fill(rows, given, U, draw=draw):
    return last(inpaint(Wiener(), draw(rows), Wiener.schedule.times(100), draw, rows, np.tile(given, (len(rows), 1)), resample=U, sampler=large))

print(f"{'':27s} share of the mean   distance / exact std   log p - true")
for task, given in masks.items():
    mean = truth[:, given] @ np.linalg.solve(C[given][:, given], C[given][:, ~given])
    law = signals.conditional(np.flatnonzero(given), truth[0, given])
    assert np.allclose(law.mean(), mean[0])
    for U in (1, 20):
        x = fill(truth, given, U)
        error, nats = (x[:, ~given] - mean) / np.sqrt(np.diagonal(law.covs[0])), signals.log_prob(x) - signals.log_prob(truth)
        filled_mean = fill(truth[:100], given, U, draw=np.zeros_like)[:, ~given]
        share = (filled_mean * mean[:100]).sum() / (mean[:100] ** 2).sum()
        print(f"{task if U == 1 else '':20s} U = {U:2d} {share:18.2f}   {np.sqrt(np.mean(error**2)):20.2f}   {nats.mean():12.1f}")
        assert np.all(x[:, given] == truth[:, given]) and (nats.mean() < -0.8 if U == 1 else abs(nats.mean()) < 1.5)

# %% alt="Fillings of a signal over the exact band. With a hole and U = 1 they are a little wide. With every fourth pixel known and U = 1 they leave the band and bend towards 0, most at pixels 1 to 7. With U = 20 nearly all lie in the band."
picture = truth[np.abs(truth).max(1).argmax()]  # a signal with large swings
fig, axes = plots.panel(2, rows=2, width=5.2, height=2.6)
for i, ax in enumerate(axes):
    task, U = ("hole of 12", "every fourth known")[i % 2], (1, 20)[i // 2]
    given = masks[task]
    law = signals.conditional(np.flatnonzero(given), picture[given])
    mean, std = picture.copy(), np.zeros(D)
    mean[~given], std[~given] = law.mean(), np.sqrt(np.diagonal(law.covs[0]))
    ax.fill_between(place, mean - 2 * std, mean + 2 * std, color="0.85", label="exact: mean, 2 std")
    ax.plot(place, mean, color="0.4", linewidth=1)
    ax.plot(place, fill(np.tile(picture, (8, 1)), given, U).T, color="C0", linewidth=0.7, alpha=0.8)
    ax.plot(place[given], picture[given], ".", color="black", label="known")
    ax.set(title=f"{task}, U = {U}", xlabel="pixel" if i > 1 else "")
axes[0].legend(fontsize=8)
plt.show()

# %% [markdown]
# **See.** At $U=1$ the fillings are too wide and lean towards 0, the mean of all signals: look at pixels 1 to 7 in the upper right figure, where the neighbours stand at $-3$ and every filling bends away from them. Super-resolution suffers most in $\log p$: a new pixel between two known ones has almost no freedom, and takes it.
# Twenty tries make super-resolution nearly exact, and holes not quite: the pixels inside a hole hear of the known ones only through others that are unknown too, and each try carries the news a little further. A missing half still lacks a sixth of the right mean after twenty tries, though its distance and its $\log p$ look perfect:
# **a filling that the model finds probable need not have the right law.**
#
# ## 6. Image-to-image: how much of the picture survives?
#
# SDEdit (Meng et al. 2022) changes a picture instead of inventing one: noise $x_0$ to some level $t$ and sample from there. `start_from(schedule, x_0, times, strength, draw)` makes that start; strength is the share of the steps that are made. What comes out, $x_0'$?
#
# If the reverse process is exact, $x_0'$ is a draw of $q(x_0\mid x_t)$, **just like $x_0$ itself**. Given $x_t$ the two are independent and alike. So for Gaussian data with variance $s^2$, with $v_t=\bar\alpha_ts^2+1-\bar\alpha_t$,
#
# $$\operatorname{corr}(x_0,x_0')=\operatorname{corr}(x_0,x_t)^2=\frac{\bar\alpha_ts^2}{v_t}=\kappa\ \ \text{(ancestral)},\qquad\operatorname{corr}=\sqrt{\kappa}\ \ \text{(ODE: a line in }x_t\text{)},$$
#
# and for a mixture, the probability that $x_0'$ is in the same component as $x_0$ is $\mathbb{E}\sum_kr_k(x_t)^2$ with $r_k$ the posterior weights. Nothing to fit.
#
# **Before you run:** the ring again, cosine schedule. At which strength has half of the points changed cloud: 0.2, 0.5 or 0.8? Which keeps more at equal strength, DDPM or the ODE?

# %%
fine, n = Schedule.cosine(200, max_beta=0.5), budget(quick=2000, full=20_000)
line, strengths = GaussianMixture([1.0], [[0.4]], [0.5]), np.array([0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0])
x_0, points, kept = line.sample(n, rng), circle.sample(n, rng), []

def cloud(x):
    return ((x[:, None] - circle.means) ** 2).sum(-1).argmin(1)

for strength in strengths:
    row = []
    for law, begin in ((line, x_0), (circle, points)):
        exact = ExactDenoiser(law, fine)
        x_t, times = start_from(fine, begin, fine.times(fine.T), float(strength), draw)
        for end in (last(large(exact, x_t, times, draw)), last(heun(exact, x_t, times))):
            row.append(np.corrcoef(begin[:, 0], end[:, 0])[0, 1] if law is line else np.mean(cloud(end) == cloud(begin)))
    kept.append(row)
kept = np.array(kept)  # columns: Gaussian by ddpm, by heun; ring by ddpm, by heun

# %% alt="What is kept of a picture against strength. On one Gaussian the points of both samplers lie on their curves, from 1 down to 0, the ODE's above. On the ring of eight most is lost between strength 0.05 and 0.4, and the ODE keeps more than ddpm."
t = np.round(strengths * fine.T).astype(int)
kappa = 0.5 * fine.alpha_bar[t] / (0.5 * fine.alpha_bar[t] + 1 - fine.alpha_bar[t])
same = []
for level in t:
    signal, noise = fine.scales(level)
    d = -((((signal * more + noise * draw(more))[:, None] - signal * circle.means) ** 2).sum(-1)) / (2 * (signal**2 * 0.06**2 + noise**2))
    r = np.exp(d - d.max(1, keepdims=True))
    same.append(np.mean(((r / r.sum(1, keepdims=True)) ** 2).sum(1)))
for column, law in ((0, kappa), (1, np.sqrt(kappa))):
    assert np.all(np.abs(kept[:, column] - law) < 4 * (1 - law**2) / np.sqrt(n) + 0.005)  # 4 standard errors, and what 200 steps leave
assert np.all(np.abs(kept[:, 2] - same) < 4 * np.sqrt(0.25 / n)) and np.all(kept[1:6, 3] > kept[1:6, 2])
fig, (left, right) = plots.panel(2, width=4.6)
plots.curves(left, strengths, {r"$\kappa$": kappa, r"$\sqrt{\kappa}$": np.sqrt(kappa)}, "strength", "correlation with $x_0$", "one Gaussian")
plots.curves(right, strengths, {r"$\mathbb{E}\,\sum r_k^2$": same}, "strength", "share in the same cloud", "ring of eight")
for ax, column, style, name in ((left, 0, "oC0", "ddpm"), (left, 1, "sC1", "ODE (heun)"), (right, 2, "oC0", "ddpm"), (right, 3, "s--C1", "ODE (heun)")):
    ax.plot(strengths, kept[:, column], style, markersize=5, label=name)
    ax.legend()
plt.show()

# %% [markdown]
# **See.** On the ring everything happens between strength 0.05 and 0.4; beyond, "image-to-image" is little more than sampling (chance is 1/8). The useful range is where the noise is as wide as the distance between the things that could be confused, and that is a property of the *data and the schedule*: a strength carried over from another model means nothing. And the sampler matters:
# the ODE takes $x_t$ as it is and keeps more (it draws nothing new), ancestral sampling redraws.
# A picture is not *one* Gaussian of one variance: along a direction of large $s^2$ (the layout) $\kappa$ is near 1 when along one of small $s^2$ (the grain) it is near 0. That is why image-to-image keeps the composition and redraws the texture.
#
# ## 7. Guidance: accuracy against diversity
#
# The last way to tell a model what you want is a class. Classifier-free guidance is notebook 08, section 10; the two facts to remember are: at **one** $t$ the guided score is exactly that of $p(x_t\mid c)^{1+w}p(x_t)^{-w}$ (the ledger's check stands below), and the **samples** do not follow the tilted $p(x_0\mid c)^{1+w}p(x_0)^{-w}$; ODE and DDPM draw two further laws.

# Three classes in the plane, each of three clouds; the innermost cloud of each overlaps with those of the others. The true posterior $p(c\mid x)$ is known, so accuracy needs no classifier network: it is the mean of $p(c\mid x)$ over the samples drawn for $c$. Diversity: the effective number of clouds, $\exp(\text{entropy of their shares})$; the class itself has nearly 3.
#
# %%
def three_clouds(k):
    out = np.array([np.cos(np.pi / 2 + 2 * np.pi * k / 3), np.sin(np.pi / 2 + 2 * np.pi * k / 3)])
    side = np.array([-out[1], out[0]])
    return GaussianMixture([0.4, 0.3, 0.3], [out, 0.55 * out + 0.45 * side, 0.2 * out - 0.1 * side], [0.02] * 3)

classes, n, short = [three_clouds(k) for k in range(3)], budget(quick=1000, full=10_000), Schedule.cosine(100, max_beta=0.5)
labelled, real = ClassDenoiser(classes, [1 / 3] * 3, short), classes[0].sample(5 * n, rng)

def measures(x):  # accuracy, effective number of clouds, sliced Wasserstein distance to the class
    log_p = np.stack([c.log_prob(x) for c in classes], 1)
    counts = np.bincount(((x[:, None] - classes[0].means) ** 2).sum(-1).argmin(1), minlength=3) / len(x)
    entropy = -sum(p * np.log(p) for p in counts if p > 0)
    return np.mean(1 / np.exp(log_p - log_p[:, :1]).sum(1)), np.exp(entropy), sliced_wasserstein(x, real[:n], real[n:], rng, resamples=10).value

show("guidance", "6")

# %% [markdown]
# **Before you run:** scale 1 is the plain class (scale $=1+w$), 0 is no condition. Which scale has the best accuracy? Which the smallest distance to the class? Where does the *true* class lie in the plane of accuracy and diversity?

# %%
scales, begin, guided = (0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0), rng.standard_normal((n, 2)), {}
for s in scales:
    model = Guided(labelled, s)
    guided["DDPM", s] = last(large(model, begin, short.times(100), draw, Label(0)))
    guided["DDIM", s] = last(ddim(model, begin, short.times(100), cond=Label(0)))
found = {key: measures(x) for key, x in guided.items()}
itself = measures(classes[0].sample(n, rng))
print(f"the class itself   accuracy {itself[0]:.3f}   clouds {itself[1]:.2f}   distance {itself[2]:.3f}")
for name in ("DDPM", "DDIM"):
    print(f"\n{name}, scale  ", *(f"{s:6.1f}" for s in scales))
    for i, what in enumerate(("accuracy", "clouds", "distance")):
        print(f"{what:13s}", *(f"{found[name, s][i]:6.{2 if i == 1 else 3}f}" for s in scales))
    assert min(scales, key=lambda s: found[name, s][2]) == 1.0 and found[name, 8.0][0] > 0.99 > itself[0] and found[name, 8.0][1] < 2

# %% alt="Left: as guidance grows, accuracy rises from 0.65 to 1 at the price of diversity, which shrinks from three clouds to one; DDPM and DDIM walk along the same curve, past the class itself at scale 1. Middle, scale 1: three clouds. Right, scale 3: nearly all points in the outermost."
fig, axes = plots.panel(3, width=3.7, height=3.4)
for name in ("DDPM", "DDIM"):
    axes[0].plot([found[name, s][1] for s in scales], [found[name, s][0] for s in scales], "o-", markersize=4, label=name)
for s in (0.5, 1.0, 2.0, 8.0):
    axes[0].annotate(f"{s:g}", (found["DDIM", s][1], found["DDIM", s][0]), textcoords="offset points", xytext=(-20, -11), fontsize=9, color="C1")
axes[0].plot(itself[1], itself[0], "*", color="black", markersize=11, label="the class itself")
axes[0].set(xlabel="diversity: effective clouds", ylabel="accuracy", xlim=(0.75, 3.15), title="each point: one scale")
axes[0].legend(loc="lower left", fontsize=9)
for ax, key in zip(axes[1:], (("DDIM", 1.0), ("DDIM", 3.0)), strict=True):
    for k in (1, 2):
        ax.plot(*classes[k].sample(300, rng).T, ".", color="0.8", markersize=3)
    ax.plot(*guided[key][:500].T, ".", color="C1", markersize=3)
    ax.set(title=f"{key[0]}, scale {key[1]:g}; grey: other classes")
    plots.square(ax, 1.6)
plt.show()

# %% [markdown]
# **See.** The accuracy of the true class is not 1: some of its members look like others. Whoever scores higher has thrown those members away, first the inner cloud, then all but the outermost. At scale 8 the accuracy is perfect, and with DDIM so is the collapse: one cloud of three is left. The distance to the class has its minimum at scale 1, with *both* samplers, and both samplers walk along the same curve here, DDIM faster: the same scale means less diversity with DDIM than with DDPM. People like scales of 3 to 8
# because they like typical pictures (and because a trained network's plain class is not as good as this one), not because the samples are nearer to the class.
#
# ## 8. Digits: does it carry over?
#
# Now the same four tools with trained U-Nets and handwritten digits, where nobody knows the right answer. What can still be measured? A classifier that has never seen a generated digit says *which* digit it reads (notebook 10); pixels that were given must come back; and one identity about errors needs no truth at all.
#
# Three networks, shipped with the course: `mnist-label` is told one of ten classes, and in a tenth of its training nothing, so that one network gives both halves of guidance; `mnist-inpaint` is told a mask and the pixels outside it, `mnist-superres` a coarse picture, each **by concatenation**: what is told
# is laid beside $x_t$ as further input channels. The digits below are the 500 kept in the package. The networks have met them in training (all 5,000 are in MNIST's training set), so the pictures flatter a little; the numbers in the model cards are from the 10,000 test digits.
#
# **Guidance. Before you run:** 80 digits at each scale, 8 of each class. Where will the reader agree most often with the label? And how far apart will the eight lie, compared with eight real ones?

# %% alt="Digits asked for from 0 to 9, two rows each at scales 1, 2 and 4. At scale 1 several are broken or no digit, such as one of the fours; at 2 nearly all can be read; at 4 the strokes are clean and bold." tags=["nbval-ignore-output"]
told, judge = pretrained("mnist-label"), load_classifier()
digits = mnist("test", "embedded", quiet=True)
x_test, y_test = scale(digits.images), torch.tensor(digits.labels.astype(np.int64))
asked, z, grid = torch.arange(10).repeat_interleave(8), torch.randn((80, 1, 28, 28), generator=torch.Generator().manual_seed(0)), told.schedule.times(15)

def spread(x, labels):  # mean distance of two digits of one class, in the classifier's features
    f = judge.features(x)
    return float(np.mean([torch.pdist(f[labels == k]).mean() for k in range(10)]))
agree, apart, shown = {}, {}, []
for s in (0.0, 1.0, 2.0, 4.0):
    x = last(dpm_solver(Clipped(Guided(told, s)), z, grid, label(asked)))
    agree[s], apart[s] = (judge(x).argmax(1) == asked).float().mean().item(), spread(x, asked)
    print(f"scale {s:.0f}: read as asked {agree[s]:.2f}, spread {apart[s] / spread(x_test, y_test):.2f} of that of real digits")
    shown += [x[::8], x[1::8]] if s else []
plots.images(torch.cat(shown), columns=10, scale=0.75, labels=[f"asked: {k}" for k in range(10)] + [""] * 50, title="two rows each: scale 1, 2, 4")
plt.show()
assert agree[0.0] < 0.3 < 0.8 < agree[1.0] <= agree[4.0] and apart[4.0] < apart[1.0]
print("\n" + card("mnist-label", "label_accuracy", "precision", "recall", "frechet"))

# %% [markdown]
# **See.** Scale 0 never looks at the label: chance. From 1 upward the accuracy rises and the spread falls, the curve of section 7 once more. What the toy could not show: here the plain class (scale 1) has *errors of the network* in it, digits that are no digits, one in fourteen, and guidance repairs those as well. The card has the price list, from 1000 digits
# at each scale: at 1.5 the accuracy is that of real digits, the distance to them is no larger than at 1, and a little diversity (recall) is gone; from 2 on the samples leave the data, while the judge is ever surer of them. That is why a scale a little above 1 is worth its price, and one far above is not. (Scale 0 is bad for another reason: the half that is told nothing had a tenth of the training.)
#
# **Explore: the scale, digit by digit.** Real digits; digits at scale 1; and, column by column from *the same noise*, digits at the scale that you choose. Above each stands what the reader reads. Eight digits measure no accuracy, but they let you look.
#
# **Before you run:** the digits of scale 1 that are good already, will they stay as they are at scale 4? And with 2 steps in place of 8, can a large scale make up for the missing steps? What will the reader make of it?

# %%
from minidiff.notebook.guidance_widgets import digit_explorer

explorer = digit_explorer(told, judge, x_test, y_test)
explorer

# %% tags=["nbval-ignore-output"]
controls, counted = explorer.controls, {}
for digit, s, steps in ((7, 4.0, 8), (7, 0.0, 8), (8, 8.0, 2)):
    controls.label.value, controls.scale.value, controls.steps.value = digit, s, steps  # what a hand on the sliders does
    print(f"asked for {digit}, {steps} steps\n{explorer.text}")
    counted[digit, s, steps] = int(explorer.text.splitlines()[-1].split()[2])
assert counted[7, 0.0, 8] <= 3 and counted[7, 4.0, 8] >= 7 and counted[8, 8.0, 2] >= 7
controls.label.value, controls.scale.value, controls.steps.value = 7, 4.0, 8  # back to the start: your turn

# %% [markdown]
# **See.** Three of the eight sevens of scale 1 are read as something else, and one sees why. At scale 4 all are sevens; but the good ones have changed as well, and have come to look like one another: the spread is below that of real digits, where that of scale 1 was above it (errors scatter, too). Steps are another matter. With two of them the picture is full of speckle at any scale, and now look at what is said about it: eight of
# eight, read as 8 with full assurance. Ask for a 7 instead, at scale 1: the reader sees an 8 in every one of them. It was never shown speckle, so it says what speckle resembles most. **A classifier measures whether the digit is the one asked for, not whether it is a digit.** That is why the card has a Fréchet distance beside the accuracy.
#
# **A hole.** The lower half of the digit is hidden, a box 14 pixels high and 20 wide. Replacement and resampling use the unconditional half of `mnist-label` (told nothing); `mnist-inpaint` was trained for the task. **Before you run:** sections 2 and 3 make a prediction for the first two. Which?

# %% alt="Twelve digits of which only the upper half is given, and four ways to complete them. Replacement often adds a lower half that does not fit, as a 2 under the arch of the 8; resampling mends many; concatenation is mostly right with specks and broken strokes; last the originals." tags=["nbval-ignore-output"]
x, y, z = x_test[:50], y_test[:50], torch.randn((50, 1, 28, 28), generator=torch.Generator().manual_seed(1))
known, empty = torch.ones_like(x, dtype=torch.bool), label(y).null()
known[:, :, 14:, 4:24] = False
g, filled = torch.Generator().manual_seed(1), {"given": torch.where(known, x, -torch.ones_like(x))}
for name, U in (("replacement", 1), ("resampled 5 times", 5)):
    filled[name] = last(inpaint(Clipped(told), z, told.schedule.times(30), normal(g), x, known, cond=empty, resample=U, sampler=large))
    assert torch.equal(filled[name][known], x[known])
by_mask = pretrained("mnist-inpaint")
filled["concatenation"] = last(dpm_solver(Clipped(by_mask), z, by_mask.schedule.times(15), partly(x, known)))
filled["original"] = x
for name, f in list(filled.items())[1:]:
    seam = (f - x.roll(1, 2))[:, :, 14, 4:24].abs().mean() / (x - x.roll(1, 2))[:, :, 14, 4:24].abs().mean()
    print(f"{name:18s} read as the original {(judge(f).argmax(1) == y).float().mean():.2f}   step across the upper edge, relative to real digits {seam:.2f}")
print(f"concatenation, largest change of a known pixel: {(filled['concatenation'] - x)[known].abs().max():.2f}")
plots.images(torch.cat([f[:12] for f in filled.values()]), columns=12, scale=0.75, title="given, replacement, resampled, concatenation, original")
plt.show()

# %% [markdown]
# **See.** As predicted: replacement draws a lower half that suits digits in general and the upper half too little (look at the edge: strokes that meet nothing), and reads as the original half of the time. Five tries of each step bring the two halves together. Concatenation is the surprise for whoever holds that the network trained
# for a task must win: `mnist-inpaint` is right *in principle*, with no bias to repair, and needs 15 calls in place of 146; but it is a small network, trained for three quarters of an hour, and its errors (grey specks, broken strokes) cost more than the bias of the method. The card has the test of the next paragraph for it: 1.71 (1.65 to 1.77) where 1.60 would be right: its draws scatter
# more than the law has it. A third of that training had made fewer digits that read as the original (88.5 % instead of 92.9 %, holes as in training) and the same 1.71. A method without bias is worth as much as its network. And "read as the original" would not reach 1 even with a perfect sampler: some upper halves belong to several digits.
#
# **Super-resolution.** $28\times28$ pixels from $7\times7$. There are many digits with the same coarse picture, and a good sampler draws one of *them*, not their mean. How can you tell, without knowing the posterior? Let $m=\mathbb{E}[x_0\mid y]$. The truth $x_0$ and a draw $x$ are, given $y$, independent draws of the *same* law. So
#
# $$\mathbb{E}\|x-x_0\|^2=\mathbb{E}\|x-m\|^2+\mathbb{E}\|x_0-m\|^2=2\,\mathbb{E}\|x_0-m\|^2,\qquad \mathbb{E}\|\bar x_K-x_0\|^2=\big(1+\tfrac1K\big)\mathbb{E}\|x_0-m\|^2$$
#
# for the mean $\bar x_K$ of $K$ draws. The ratio of the two errors must be $2K/(K+1)$: a test of any posterior sampler that needs no posterior. **Before you run:** what would the ratio be for a network that always answers the blurred mean? And for one that answers with a random *other* digit?

# %% alt="Twelve digits from 7 by 7 pixels: three draws each are sharp, and differ in small things such as the waist of the 8; the mean of eight draws is a little blurred and close to the original in the last row." tags=["nbval-ignore-output"]
sharpen, K, x = pretrained("mnist-superres"), 8, x_test[:24]
for factor in (2, 4):
    z = torch.randn((K * 24, 1, 28, 28), generator=torch.Generator().manual_seed(factor))
    draws = last(dpm_solver(Clipped(sharpen), z, sharpen.schedule.times(12), coarse(x.repeat(K, 1, 1, 1), factor))).reshape(K, 24, 1, 28, 28)
    one, mean, tiles = (((y - x) ** 2).mean().item() for y in (draws, draws.mean(0), low_resolution(x, factor)))
    kept = (low_resolution(draws[0], factor) - low_resolution(x, factor)).abs().mean()
    psnr = [10 * np.log10(4 / e) for e in (tiles, one, mean)]
    print(f"x {factor}: PSNR of the tiles {psnr[0]:.1f} dB, a draw {psnr[1]:.1f}, the mean of {K} draws {psnr[2]:.1f};  error of a draw / of the mean {one / mean:.2f} (right: {2 * K / (K + 1):.2f})")
    print(f"     read as the original: {(judge(draws[0]).argmax(1) == y_test[:24]).float().mean():.2f};  coarse picture of a draw off by {kept:.3f} (pixels run from -1 to 1)")
    assert psnr[1] > psnr[0] and psnr[2] > psnr[1]
rows = [low_resolution(x, 4)[:12], draws[0, :12], draws[1, :12], draws[2, :12], draws.mean(0)[:12], x[:12]]
plots.images(torch.cat(rows), columns=12, scale=0.75, title="7 x 7 pixels, three draws, mean of eight, original")
plt.show()

# %% [markdown]
# **See.** Draws differ where the coarse picture leaves it open (the waist of the 8, the lower end of the 9) and agree where it does not; averaged back, they give the coarse picture they were told, to within about a hundredth of the range, though nothing forced them to. The mean of eight has the better PSNR *and* is no digit from MNIST: it is blurred. Whoever ranks
# methods of super-resolution by PSNR ranks the blurred mean first. The ratio is near $2K/(K+1)=1.78$; with 24 digits it may be off by a tenth or two. On 1000 unseen digits with $K=4$, where 1.60 would be right, the card says 1.63 (1.60 to 1.67) for factor 2 and 1.65 (1.61 to 1.69) for factor 4: nearly the posterior, with a little too much noise in it.
#
# **From picture to picture, and from noise to noise.** A 4 is noised up to a strength and sampled back, told "9". And two starts $x_T$ are joined by a path: a straight line, or one that keeps the length, $\cos\phi\,z_1+\sin\phi\,z_2$. **Before you run:** which of the two paths will lead through digits all the way? (How long is the mean of two independent normal vectors?)

# %% alt=["Ten fours, told to become nines. At strength 0.3 and 0.5 they are still fours, at 0.7 most have closed into nines, at 0.9 all are nines, which keep little more than the slant of the four they came from.", "Two rows of ten threes, from one 3 to another. On the straight path the threes in the middle have thinner strokes; at constant length the weight of the stroke is kept from end to end."] tags=["nbval-ignore-output"]
fours, rows = x_test[y_test == 4][:24], [x_test[y_test == 4][:10]]
for strength in (0.3, 0.5, 0.7, 0.9):
    start, rest = start_from(told.schedule, fours, told.schedule.times(20), strength, normal(torch.Generator().manual_seed(2)))
    x = last(dpm_solver(Clipped(Guided(told, 2.0)), start, rest, label(torch.full((24,), 9))))
    same = np.corrcoef(x.flatten(), fours.flatten())[0, 1]
    print(f"strength {strength}: read as 9 {(judge(x).argmax(1) == 9).float().mean():.2f}, correlation with the 4 it came from {same:.2f}")
    rows.append(x[:10])
plots.images(torch.cat(rows), columns=10, scale=0.75, title="fours, told 9 from strength 0.3, 0.5, 0.7, 0.9")
phi, (z1, z2) = torch.linspace(0, np.pi / 2, 10).reshape(-1, 1, 1, 1), torch.randn((2, 1, 28, 28), generator=torch.Generator().manual_seed(4))
share = phi / (np.pi / 2)
paths = torch.cat([(1 - share) * z1 + share * z2, phi.cos() * z1 + phi.sin() * z2])
plots.images(last(dpm_solver(Clipped(told), paths, grid, label(torch.full((20,), 3)))), columns=10, scale=0.75, title="from one 3 to another: straight, and at constant length")
plt.show()
print(f"length of the middle, relative to a start: straight {paths[4].norm() / z1.norm():.2f}, the other {paths[14].norm() / z1.norm():.2f}")

# %% [markdown]
# **See.** Strength is a dial between "still this picture" and "surely a 9", and between 0.5 and 0.7 it tips, late, because a digit is decided early in sampling (notebook 10: around $t=700$). What survives until then is the slant and the weight of the stroke. Of the two paths the straight one has 0.7 of the right length in its middle: less noise than any start
# that the network met in training, and the answer is a thinner, paler 3. The other keeps the length and the stroke. (Its middle is at 0.95, not at 1: two starts of 784 numbers are orthogonal only nearly.)
#
# ## Exercises
#
# Replace the `...` and run both cells; the check says what is wrong, not only that something is. After a restart, first Run > Run All Above Selected Cell. A cell that ends in red has defined nothing: the check then still judges what was there before.
#
# ### Exercise 1: the right answer, in general
# $(a,b)$ has means $m_a=1$, $m_b=-2$, standard deviations $2$ and $0.5$, correlation $0.6$. Return the mean and the variance of $b$ given $a=3$.

# %%
def my_conditional(m_a, m_b, s_a, s_b, rho, a):
    ### BEGIN SOLUTION
    # -2 + 0.15 * 2 = -1.7 and 0.25 * 0.64 = 0.16. The variance does not depend on the value of a. (For a mixture it does:
    # the weights change.)
    return m_b + rho * s_b / s_a * (a - m_a), s_b**2 * (1 - rho**2)
    ### END SOLUTION

# %%
check("pair, one part given", my_conditional, 1.0, -2.0, 2.0, 0.5, 0.6, 3.0)

# %% [markdown]
# ### Exercise 2: the known part, at the right level
# The step went from $t$ to $s<t$. Return the known part for the picture that has just arrived, given noise `z`; `schedule.scales` is all you need.

# %%
def my_known(schedule, known, z, s, t):
    ### BEGIN SOLUTION
    # With level t the known pixels come out noisy at the very end (t = 1 instead of 0). That is seen at once if you assert
    # that they are exact, and hardly ever if you look at pictures.
    signal, noise = schedule.scales(s)
    return signal * known + noise * z
    ### END SOLUTION

# %%
check("known part after a step", my_known, schedule, np.array([0.5, -1.0]), np.array([0.3, 0.7]), 20, 25)

# %% [markdown]
# ### Exercise 3: the bill
# `inpaint` over $n$ steps with `resample=U`: how many calls of the network? Return it for $n=250$, $U=10$ and for $n=50$, $U=1$; `n` and `U` are arrays of these pairs. (The check runs `inpaint` and counts.)

# %%
def my_calls(n, U):
    ### BEGIN SOLUTION
    # 2491 and 50. Noising back costs no call. RePaint's own setting is 250 steps and U = 10 (with jumps of ten steps instead
    # of one), so one picture costs 2.5 ordinary pictures of a thousand steps.
    return U * (n - 1) + 1
    ### END SOLUTION

# %%
check("calls of inpainting", my_calls, np.array([250, 50]), np.array([10, 1]))

# %% [markdown]
# ## What to try next
#
# * Put `partial(ddim, eta=1.0)` as the `sampler` of `inpaint` in section 3. Is that the large or the small variance? And `eta=0`, many tries?
# * Resample only while $0.3<\bar\alpha_t<0.95$, where $b$ is decided. Does `recursion` say that calls are saved?
# * Super-resolution from *averages* of pixels is not a mask. Rotate the signal of section 5 so that the averages become coordinates, inpaint there, rotate back. Why may you do that? (White noise does not care.)
# * Correct the question itself: add the gradient of $\log p(a\mid x_t)$ to the score ("diffusion posterior sampling"). For the pair of section 1 that gradient is known exactly. Which of the two errors of section 2 does it remove?
#
# ## References
#
# * Song et al. 2021, *Score-Based Generative Modeling through SDEs*: conditional generation by replacement.
# * Lugmayr et al. 2022, *RePaint*: Eq. 8 (replacement), Algorithm 1 (resampling). Rout et al. 2023, arXiv:2302.01217: a theory of RePaint.
# * In the ledger: `guidance 6`, `inpainting exact`, `inpainting replacement`, `inpainting resampling`, `inpainting last step`, `inpainting independent`, `inpainting sdedit`.
# * Meng et al. 2022, *SDEdit*: section 3. Ho, Salimans 2022, *Classifier-Free Diffusion Guidance*: Eq. 6.
# * Bishop 2006, *Pattern Recognition and Machine Learning*, section 2.3: conditional Gaussians. The closed forms for replacement (derived above) and resampling are checked by `minidiff verify --only inpainting`.
