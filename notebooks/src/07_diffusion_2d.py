# %% [markdown]
# # 07 · How close does a trained network come to the truth, when we know the truth?
#
# In this notebook a network learns to denoise points in the plane. Everybody does this experiment, and everybody looks at the samples
# and says "good". We will not have to look: our data have an exact density, so the best possible denoiser, the lowest possible loss and the
# lowest possible number of bits are all known *before* training starts.
#
# **When you have worked through it you can**
# * train a diffusion model with `Training` and `fit`, and say at once whether its loss is good (it does not go to 0),
# * measure the network's error at every $t$ against the exact $\mathbb{E}[\epsilon\mid x_t]$, as a number,
# * put samples beside data with a distance that has a floor and an interval,
# * spend the model's bits, term by term, and split the gap to the entropy into *what the method costs* and *what the network costs*,
# * explain why the *ideal* denoiser of a training set is a catastrophe,
# * diagnose a broken diffusion model when its samples look fine.
#
# You need notebooks 02 to 04. From here on the arrays are torch tensors; the mathematics is the same functions.

# %%
from minidiff.notebook import budget, plots, setup

rng = setup(seed=7)

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch

from minidiff import ExactDenoiser, GaussianMixture, Schedule, bits_per_dim, ddpm, last, marginal, prior_term, toy, variational_bound
from minidiff.arrays import normal
from minidiff.course import check
from minidiff.learn import NetworkDenoiser, Training, fit
from minidiff.metrics import mmd, sliced_wasserstein
from minidiff.nn import MLP
from minidiff.notebook.patients import DIAGNOSES, PATIENTS, examine
from minidiff.process import posterior_variance, posterior_weights

torch.set_num_threads(1)  # so small a network only waits for a second thread, on a busy machine for minutes

# %% [markdown]
# ## 1. Three data sets, one of them in 8 bits
#
# `ring` and `swirl` are mixtures of narrow Gaussians, so their density, score and $\mathbb{E}[x_0\mid x_t]$ are exact at every $t$. `moons` is not: it
# stands for the usual situation. The swirl we also round to the 256 levels $k/127.5-1$, as if it were a picture of two pixels. Then "bits per dimension" means something
# (notebook 04, section 10), and its entropy is a finite sum over $256^2$ cells.

# %% alt="Three data sets in the plane: five round clumps on a ring, a spiral arm called the swirl, and two moons that reach into each other."
ring, swirl, n = toy.ring(5), toy.swirl(), budget(quick=20_000, full=100_000)
data = {"ring": ring.sample(n, rng), "swirl, 8 bits": toy.quantise(swirl.sample(n, rng)), "moons": toy.moons(n, rng)}
plots.points({name: x[:3000] for name, x in data.items()}, limit=1.15)
plt.show()
H = bits_per_dim(toy.quantised_entropy(swirl), 2)
x = swirl.sample(100_000, rng)
as_density = bits_per_dim(-swirl.log_prob(x), 2) + np.log2(127.5)  # a density's bits, made comparable with 8-bit codes
print(f"entropy of the 8-bit swirl: {H:.4f} bits/dim, summed over all cells")
print("the density's entropy + log2(127.5) agrees within 4 standard errors:", bool(abs(as_density.mean() - H) < 4 * as_density.std() / np.sqrt(len(x))))
assert abs(as_density.mean() - H) < 4 * as_density.std() / np.sqrt(len(x))

# %% [markdown]
# ## 2. A schedule for a short chain
#
# A hundred steps instead of a thousand: a small network in the plane needs no more, and everything runs ten times faster. **Before you run:** Ho et al.'s betas go from $10^{-4}$ to $0.02$ in 1000
# steps. What happens to $\bar\alpha_T = \prod(1-\beta_t)$ if you keep the betas and take only 100 of them? What would you multiply the betas by?

# %%
T = budget(quick=100, full=200)
candidates = {"linear, betas kept": Schedule.linear(T), "linear, betas x 1000/T": Schedule.linear(T, 0.1 / T, 20 / T),
              "cosine": Schedule.cosine(T), "cosine, beta <= 0.5": Schedule.cosine(T, max_beta=0.5)}
x_0 = torch.tensor(data["swirl, 8 bits"], dtype=torch.float32)
for name, schedule in candidates.items():
    left, cost = schedule.alpha_bar[-1], float(bits_per_dim(prior_term(schedule, x_0).mean(), 2))
    first, weight_T = schedule.scales(1)[1], 0.5 * (schedule.snr(T - 1) / schedule.snr(T) - 1)
    print(f"{name:23s} alpha_bar_T {left:.0e}   L_T {cost:.4f} bits/dim   noise at t = 1: {first:.3f}   weight of the error at t = T: {weight_T:.2f}")
schedule = candidates["cosine, beta <= 0.5"]
assert float(prior_term(candidates["linear, betas kept"], x_0).mean()) > 2e-3 > float(prior_term(schedule, x_0).mean())

# %% [markdown]
# Kept betas leave a signal of $\sqrt{0.36}=0.6$ in $x_T$, and the sampler would start from the wrong law. Betas belong to a *step*: ten times fewer steps, ten times the betas. The cosine schedule is
# written in $t/T$ and does this by itself. Look also at the two ends. The noise at $t=1$ must be below the finest structure (here 0.035). And the last column is the weight $\frac12[\mathrm{SNR}(T-1)/\mathrm{SNR}(T)-1]$ of notebook 04
# at the last step: the plain cosine falls by a factor 1000 in one step, so an $\epsilon$ error of $10^{-4}$, invisible in any loss, is multiplied by 500 in the bound, and in the sampler it throws $\hat x_0$ far outside. (Programs for pictures clip $\hat x_0$ there and
# rarely say why.) Cutting beta at 0.5 instead of 0.999 removes the problem at its root. Section 7 shows what happens without.
#
# ## 3. Training, and the loss that cannot go to zero
#
# The network is told $x_t$ and $t$ and must say $\epsilon$. Its loss splits, for any network, into two parts (the cross term is zero because $\epsilon - \mathbb{E}[\epsilon\mid x_t]$
# averages to 0 for every $x_t$):
#
# $$\mathbb{E}\|\epsilon-\epsilon_\theta(x_t)\|^2 = \underbrace{\mathbb{E}\|\epsilon-\mathbb{E}[\epsilon\mid x_t]\|^2}_{\text{floor: the data's}} + \underbrace{\mathbb{E}\|\epsilon_\theta(x_t)-\mathbb{E}[\epsilon\mid x_t]\|^2}_{\text{excess: the network's}} .$$
#
# **Before you run:** the loss per dimension starts near 1 (a network that says 0). Where will it stop: 0.5, 0.25, 0.05, 0? Think of the floor at $t=T$ and at $t=1$.

# %%
usual = budget(quick=2000, full=30_000)

def learn(points, schedule, width=128, steps=usual, seed=0):
    """An averaged denoiser trained on points (n, 2), and its losses."""
    points = torch.tensor(points, dtype=torch.float32)
    _ = torch.manual_seed(seed)
    run = Training(NetworkDenoiser(MLP(2, 2, width=width, depth=2), schedule), steps=steps, lr=0.01, warmup=100, seed=seed)
    losses = [step.loss for step in fit(run, lambda g: (points[torch.randint(len(points), (256,), generator=g)], None))]
    return run.averaged(), np.array(losses)

net, losses = learn(data["swirl, 8 bits"], schedule)

# %%
exact = ExactDenoiser(swirl, schedule)
held_out, draw = torch.tensor(toy.quantise(swirl.sample(2000, rng)), dtype=torch.float32), normal(torch.Generator().manual_seed(1))
ts, rows = np.arange(1, T + 1), []
with torch.no_grad():
    for t in ts:
        eps = draw(held_out)
        x_t = marginal(schedule, held_out, int(t)).sample(eps)
        said, right = net(x_t, int(t)).eps, exact(x_t, int(t)).eps
        rows.append([(d**2).mean(1) for d in (eps - said, eps - right, said - right)])
loss, floor, excess = (np.array([r[i].mean().item() for r in rows]) for i in range(3))

# %% alt="Training loss on the swirl over 2,000 steps. It drops in the first few steps, and from then on the mean of 100 creeps down to the dashed Bayes floor a little below 0.25 and lies on it at the end, while single batches jitter around."
fig, ax = plots.panel(1, width=6.5, height=3.2)
ax.plot(losses, color="C0", alpha=0.25, linewidth=0.6, label="each batch")
ax.plot(np.convolve(losses, np.ones(100) / 100, "valid"), color="C0", label="mean of 100")
ax.axhline(floor.mean(), color="C1", linestyle="--", label="Bayes floor: the exact denoiser")
ax.set(xlabel="step", ylabel="L_simple per dimension", ylim=(0, 1), title=f"swirl, {sum(p.numel() for p in net.network.parameters())} parameters")
ax.legend()
plt.show()
print(f"floor {floor.mean():.2f}, network {loss.mean():.2f}; ratio {loss.mean() / floor.mean():.2f}")
assert floor.mean() < loss.mean() < 1.3 * floor.mean()

# %% [markdown]
# **See.** The curve falls for a few hundred steps and then lies flat just above 0.2, and a beginner concludes "it does not learn any more". It has learned: the dashed line is all that *anybody* can reach, and the network is a few percent above it.
# What is still being learned is the thin strip between the curve and the dashed line, invisible under the noise of the batches. So let us measure that strip alone.
#
# ## 4. Learned against exact, at every $t$
#
# For each $t$: the network's loss, the floor, and, on the same points, the squared distance between the two *answers*. **Before you run:** at which $t$ will the network be worst: near the data, in the middle, or near noise?

# %% alt="Left: loss and floor lie on each other and fall by several powers of ten over t; the excess between them is largest below t = 10, and at the very end it lifts the loss off the floor. Right: read as score the same error is largest at small t, read as x_0 at t = 100." tags=["nbval-ignore-output"]
signal, noise = schedule.scales(ts)
score_error, x_0_error = np.sqrt(excess) / noise, np.sqrt(excess) * noise / signal
print("   t   loss  floor  excess  score error  x_0 error")
for t in (1, 2, 5, 10, 20, 50, T):
    print(f"{t:4d}  {loss[t - 1]:5.2f}  {floor[t - 1]:5.2f}  {excess[t - 1]:6.3f}  {score_error[t - 1]:11.2g}  {x_0_error[t - 1]:9.2g}")
assert score_error[0] > 10 * score_error[T // 2]
cross = np.array([(r[0] - r[1] - r[2]).numpy() for r in rows])  # (T, points): 0 on average
assert np.mean(np.abs(cross.mean(1)) < 4 * cross.std(1) / np.sqrt(len(held_out))) > 0.9  # loss = floor + excess, at (nearly) every t
fig, (a, b) = plots.panel(2, width=4.8)
plots.curves(a, ts, {"loss": loss, "floor": floor, "excess": excess}, "t", "per dimension", "error of eps", log="y")
plots.curves(b, ts, {"score": score_error, "x_0": x_0_error}, "t", "root mean square", "the same excess, read as another quantity", log="y")
a.set_ylim(1e-5, 3)
plt.show()

# %% [markdown]
# **See.** Left: the excess sits at small $t$, where the finest structure has to be known (the swirl's arm is 0.035 wide) and where the floor itself is high: there $\epsilon$ is nearly unguessable. Right:
# the *same* error, divided by $\sqrt{1-\bar\alpha_t}$, is the error of the score, and multiplied by $\sqrt{(1-\bar\alpha_t)/\bar\alpha_t}$ that of $\hat x_0$: at $t=T$, where the $\epsilon$ error is a thousandth, $\hat x_0$ is off by more than the data are wide. Neither is a
# mistake. "The error" of a denoiser has no meaning without the quantity and the $t$.
#
# The table also shows the decomposition at work: loss = floor + excess, checked for every $t$ within four standard errors. (The exact denoiser is that of the *unrounded* swirl; rounding by 0.004 moves the floor by little.)
#
# ## 5. Samples beside data
#
# Two more networks, and then 2,000 samples of each. The distance is the sliced Wasserstein distance; its floor is what 2,000 *real* points score against 2,000 other real points. **Before you run:** will the samples of the network reach the floor?

# %% alt="Samples of three trained networks. The five clumps are right, with few points between; the swirl's arm is right with a fringe of stray points in the inner turn; the moons are recognisable, but many points lie between them."
nets = {"swirl, 8 bits": net, **{name: learn(data[name], schedule, steps=budget(quick=1500, full=30_000))[0] for name in ("ring", "moons")}}
n, samples = 2000, {}
for name in data:
    start = torch.randn(n, 2, generator=torch.Generator().manual_seed(2))
    samples[name] = last(ddpm(nets[name], start, schedule.times(T), draw, variance="large"))
plots.points({f"{name}: samples": x for name, x in samples.items()}, limit=1.15)
plt.show()

# %% tags=["nbval-ignore-output"]
more = {"ring": ring.sample(9 * n, rng), "swirl, 8 bits": swirl.sample(9 * n, rng), "moons": toy.moons(9 * n, rng)}
for name, x in samples.items():
    found = sliced_wasserstein(x, more[name][:n], more[name][n:], rng)
    print(f"{name:14s} sliced Wasserstein {found}")
    print(f"{'':14s} MMD, width 0.1     {mmd(x, more[name][:n], more[name][n:], rng, width=0.1)}")
    assert found.value < 4 * found.floor
    if name != "moons":  # the exact density knows which places only 1% of the data visit
        exact_law = ring if name == "ring" else swirl
        rare = np.quantile(exact_law.log_prob(more[name][n:]), 0.01)
        print(f"{'':14s} samples where only 1% of the data lie: {np.mean(exact_law.log_prob(x.double().numpy()) < rare):.0%}")
nothing = sliced_wasserstein(0.5 * rng.standard_normal((n, 2)), more["ring"][:n], more["ring"][n:], rng)
print(f"{'(a mere blob':14s} {nothing}, against the ring)")
assert nothing.low > 4 * nothing.floor

# %% [markdown]
# The MMD is an unbiased estimate of a squared distance, so its floor scatters around 0 and may be negative: there the interval speaks.
#
# Read the first and the last number of the swirl together. By the *distance*, its samples are about as good as real points. By the *density*, several times too many of them lie where the data hardly ever go (the fraying that you can see along the arm and between its turns). That is a
# statement about the metric: with $n$ points it sees differences of about $1/\sqrt n = 0.02$ in *position*, and the fraying moves few points by little. Where a density is known, use it. Where it is not, a number at its floor means "not seen", never "not there". Bits see more.
#
# ## 6. Bits: what the method costs and what the network costs
#
# The bound of notebook 04, on 2,000 held-out points of the 8-bit swirl: for the network with small and with large variance, for the network with the *optimal* variance
# $\tilde\beta_t + c_t^2\,\mathbb{E}\|x_0-\hat x_0\|^2/2$, in which the network's own error at each $t$ is put (measured on **training** points, or it would be cheating), and the exact denoiser in the network's place.
#
# **Before you run:** order the rows. How far above the entropy will the network be, given that its loss is only a few percent above the floor?

# %%
def own_variance(denoiser, points):
    """sigma_t^2 = beta-tilde + c_t^2 mse_t per dimension, from the denoiser's own error of x_0."""
    table, draw = np.zeros(denoiser.schedule.T + 1), normal(torch.Generator().manual_seed(3))
    for t in range(1, denoiser.schedule.T + 1):
        with torch.no_grad():
            error = denoiser(marginal(denoiser.schedule, points, t).sample(draw(points)), t).x_0 - points
        c = posterior_weights(denoiser.schedule, t - 1, t)[0]
        table[t] = posterior_variance(denoiser.schedule, t - 1, t) + c**2 * float((error**2).mean()) + 1e-9  # never exactly 0
    return table

def bits(denoiser, points, variance):
    bound = variational_bound(denoiser, points, normal(torch.Generator().manual_seed(4)), variance=variance)
    return {k: bits_per_dim(v, 2).mean(-1).double().numpy() for k, v in
            {"prior": bound.prior, "steps": bound.steps, "decoder": bound.decoder, "total": bound.total}.items()}

# %% tags=["nbval-ignore-output"]
train_x = torch.tensor(data["swirl, 8 bits"][:2000], dtype=torch.float32)
cases = {"network, small": (net, "small"), "network, large": (net, "large"), "network, optimal": (net, own_variance(net, train_x)),
         "exact, small": (exact, "small"), "exact, optimal": (exact, own_variance(exact, train_x))}
spent = {name: bits(model, held_out, variance) for name, (model, variance) in cases.items()}
print(f"{'bits/dim':17s} prior   steps  decoder  total   above the entropy {H:.2f}")
for name, b in spent.items():
    print(f"{name:17s} {b['prior']:5.2f}  {b['steps'].sum():6.2f}  {b['decoder']:7.2f}  {b['total']:5.2f}  {b['total'] - H:5.2f}")
    assert b["total"] > H
assert spent["network, small"]["total"] > spent["network, large"]["total"] > spent["network, optimal"]["total"]
assert spent["network, optimal"]["total"] > spent["exact, optimal"]["total"]

# %% alt="Bits of one step against t, logarithmic axes, for network and exact denoiser with small and optimal variance. All four fall and run together from about t = 10 on. At the first steps the small variance costs clearly more than the optimal, network and exact one alike."
fig, ax = plots.panel(1, width=6.5, height=3.4)
t = np.arange(T, 1, -1)
named = {f"{who}, {v}": spent[f"{who}, {v}"]["steps"] for who in ("network", "exact") for v in ("small", "optimal")}
plots.curves(ax, t, named, "t", "bits/dim of one step", "where the bits go", log="xy")
ax.set_ylim(1e-3, 1)
plt.show()
weight, early = 0.5 * (schedule.snr(t - 1) / schedule.snr(t) - 1) / np.log(2), t <= T // 2  # bits/dim for each unit of eps error
measured = spent["network, small"]["steps"] - spent["exact, small"]["steps"]
extra = np.array([r[2].numpy() for r in rows])[t - 1]  # (steps, points)
expected = weight[early] @ extra[early]
spread = np.hypot(expected.std(), (weight[early] @ (extra + cross[t - 1])[early]).std()) / np.sqrt(len(held_out))
print(f"the network's share, small variance: {measured[early].sum():.1f} bits/dim for t <= {T // 2}, {abs(measured[~early].sum()):.1f} for all larger t")
print("half the drop of SNR times the excess says the same within 4 standard errors:", bool(abs(measured[early].sum() - expected.mean()) < 4 * spread))
assert abs(measured[early].sum() - expected.mean()) < 4 * spread

# %% [markdown]
# **See.** The gap splits in two, and the split is exact. *The method*: even the perfect denoiser pays at $T = 100$, most with $\tilde\beta$ (the half nat of notebook 04, in its natural habitat), least with the optimal variance. *The network* pays the
# rest, at small $t$, and the amount is predicted by the excess of section 4: half the drop of SNR times the error.
#
# A loss one or two percent above its floor, samples at *their* floor, and a tenth of a bit per dimension lost: no contradiction, three metrics look at three different things. And the choice of variance, which nobody sees in samples, moves more bits (0.6) than
# the network's whole error.
#
# ## 7. What matters? A small sweep
#
# Everything else equal (the swirl, 450 steps), change one thing. **Before you run:** which change hurts the *samples* most? And which the *bits*?

# %% tags=["nbval-ignore-output"]
short = budget(quick=450, full=10_000)
sweep = {"T = 100, beta <= 0.5, width 128": (schedule, 128), "T = 25": (Schedule.cosine(25, max_beta=0.5), 128), "width 24": (schedule, 24),
         "linear, betas kept": (Schedule.linear(T), 128), "cosine, not capped": (Schedule.cosine(T), 128)}
start = torch.randn(n, 2, generator=torch.Generator().manual_seed(5))
for name, (table, width) in sweep.items():
    model, _ = learn(data["swirl, 8 bits"], table, width, short)
    x = last(ddpm(model, start, table.times(table.T), draw, variance="large"))
    wild = ~(x.abs().amax(1) < 2)  # outside, infinite or not a number
    found = sliced_wasserstein(torch.where(wild[:, None], 2.0, x), more["swirl, 8 bits"][:n], more["swirl, 8 bits"][n:], rng, resamples=50)
    b = bits(model, held_out[:1000], own_variance(model, train_x[:1000]))
    print(f"{name:31s} distance {found.value:.3f} ({found.over_floor:.1f} x floor), far outside {wild.float().mean():.1%}")
    print(f"{'':31s} {b['total'] - H:.2f} bits/dim above the entropy: L_T {b['prior']:.2f}, step from T {b['steps'][0]:.2f}")
    assert b["total"] > H

# %% [markdown]
# After so short a training the network's own error dominates everything, and only two rows stand out. *Width 24* cannot follow the arm: it is worst in the samples and in the bits. *Cosine, not capped* has samples like the others, yet pays about a third of a bit in **one** step,
# the one from $t=T$, as the last column of section 2 announced; no distance would ever have told you. *Betas kept* pays its $L_T = 0.11$, openly, and is otherwise easy to learn, because its steps are small: on these centred data of moderate spread the wrong start is forgiven. (On others it is not:
# the famous failure of a line data set with $T=50$, notebook 02.) Vary the seed before you believe any difference below a factor 1.5: `learn(..., seed=1)`.
#
# ## 8. The ideal denoiser is a parrot
#
# Training minimises the loss on the *training points*. The exact minimiser is known: the ideal denoiser of a mixture of points, one for each training example, with variance 0. **Before you run:** take 200 training points. What are the samples of
# this ideal denoiser? What are its bits on the training points, and on fresh ones? ($\log_2 200 = 7.64$ bits for two dimensions.)
#
# The schedule for this section takes even steps in log SNR and ends with a noise of 0.0025 at $t=1$, well below the distance of neighbouring points. (With a noise of 0.025, as so far, the last guess would still average over neighbours.)

# %% alt="Four scatter plots. The ideal denoiser of 200 training points draws just those points again. A network trained on them fills the outline of the swirl with new points, many of them off the arm. Fresh data follow the arm."
few, fine = toy.quantise(swirl.sample(200, rng)), Schedule(np.r_[1.0, 1 / (1 + np.exp(-np.linspace(12, -12, T)))])
parrot = ExactDenoiser(GaussianMixture(np.full(200, 1 / 200), few, np.zeros(200)), fine)
small_net, _ = learn(few, fine, steps=budget(quick=700, full=5000))
few_t, fresh = torch.tensor(few, dtype=torch.float32), torch.tensor(swirl.sample(500, rng), dtype=torch.float32)
start = torch.randn(500, 2, generator=torch.Generator().manual_seed(6))
drawn = {"200 training points": few_t, "ideal denoiser of them": last(ddpm(parrot, start, fine.times(T), draw)),
         "network trained on them": last(ddpm(small_net, start, fine.times(T), draw)), "fresh data": fresh}
plots.points(drawn, limit=1.1, size=5, width=2.7)
plt.show()
copied = {name: float((torch.cdist(x, few_t).min(1).values < 1e-3).float().mean()) for name, x in drawn.items()}
for name in list(drawn)[1:]:
    print(f"{name:24s} within 0.001 of a training point: {copied[name]:4.0%}")
assert copied["ideal denoiser of them"] > 0.9 and copied["network trained on them"] < 0.1

# %%
@torch.no_grad()
def mean_loss(model, points):
    draw, total = normal(torch.Generator().manual_seed(8)), 0.0
    for t in range(1, T + 1):
        eps = draw(points)
        total += float(((eps - model(marginal(model.schedule, points, t).sample(eps), t).eps) ** 2).mean()) / T
    return total

models = {"ideal denoiser of 200": parrot, "network trained on 200": small_net, "exact denoiser of swirl": ExactDenoiser(swirl, fine)}
table = {name: (mean_loss(model, few_t), mean_loss(model, held_out[:400])) for name, model in models.items()}
for name, (seen, new) in table.items():
    print(f"{name:24s} loss on the 200: {seen:5.2f}   on fresh data: {'over 10' if new > 10 else f'{new:.2f}'}")
(parrot_seen, parrot_new), _, (exact_seen, exact_new) = table.values()
assert parrot_seen < 0.8 * exact_seen and parrot_new > exact_new
seen, new = (bits(parrot, x, own_variance(parrot, few_t))["total"] for x in (few_t, held_out[:200]))
print(f"bits/dim of the ideal denoiser: {seen:.1f} on its 200 points (log2(200)/2 = {np.log2(200) / 2:.1f}); more than 50 on fresh ones: {bool(new > 50)}")
assert seen < H < 50 < new

# %% [markdown]
# **See.** The ideal denoiser of the training set has the lowest training loss there is, below the true distribution's own floor. It samples the 200 points, all of them and nothing else, and its code for them costs little more than *the number of the point*. On fresh
# data it is worthless. A diffusion model generalises **because** it does not reach its training optimum: the network is too smooth to put a spike on every point. (With enough width, steps and few enough points it will: exercise 3.) When somebody shows you a
# denoising loss, ask on which points, and what the floor is.
#
# ## 9. The clinic: five wrong DDPMs
#
# Each patient A-E is a diffusion model of the ring with $T=50$ and exactly one bug, of a kind found in public repositories; the denoiser is otherwise exact. You get what can be measured from outside: the prior term, the range of $t$ drawn in training, the $\epsilon$ error
# divided by its floor at five times, the spread of the samples and the width of their clumps relative to data, and the distance. **Before you run:** which of these five numbers would you look at first? And: how many of the five patients will the *distance* convict?

# %%
findings = {name: examine(patient) for name, patient in PATIENTS.items()}
print("patient   L_T   trained on  eps error / floor at t = 1, 5, 12, 25, 45   spread  clumps  distance / floor")
for name, f in findings.items():
    ratios = "  ".join(f"{v:.1f}" for v in f["eps"].values())
    print(f"{name:8s} {f['L_T']:.2f}   t = {f['trained'][0]}..{f['trained'][1]}   {ratios:>24s} {f['spread']:22.2f} {f['clump']:7.2f}  {f['distance'].over_floor:8.1f}")
convicted = [name for name, f in findings.items() if f["distance"].low > 1.5 * f["distance"].floor]
print("convicted by the distance of their samples:", convicted)
assert len(convicted) == 1

# %% alt="Samples of six models of eight clumps on a ring. The healthy one and B, C, D and E look alike to the eye. Only A is plainly ill: its clumps are small thin arcs."
plots.points({name: f["samples"] for name, f in findings.items()}, limit=1.15, size=1.5, width=1.9)
plt.show()
for name, meaning in sorted(DIAGNOSES.items()):
    print(f"{name:12s} {meaning}")

# %% [markdown]
# **One of five.** Four broken models produce samples that the eye and the distance accept. This is why such bugs live for years in public code, and why this course checks identities and not pictures.
#
# ## Exercises
#
# Replace the `...` and run both cells; the check says what is wrong, not only that something is. After a restart, first Run > Run All Above Selected Cell. A cell that ends in red has defined nothing: the check then still judges what was there before.
#
# ### Exercise 1: name the bugs
# Fill in one of the five names for each patient, for example `"schedule"`. The check tells you which finding speaks against a wrong diagnosis.

# %%
patient_a, patient_b, patient_c, patient_d, patient_e = None, None, None, None, None
### BEGIN SOLUTION
# A: clumps a third as wide as they should be; multiplying by sigma_t^2 instead of sigma_t injects almost no noise. The only one whose
# samples give it away. B: L_T = 0.37 bits/dim; the usual betas with T = 50 leave alpha_bar_T = 0.60. On this ring, whose variance is
# near that of the noise, the samples forgive it; on the line of a well-known small repository they did not. C: an error at small t on
# times that it was trained on; the network is told t - 2. (An offset of one is common: 0-based against 1-based tables.) D: everything
# is right but the clumps are 1.25 times too wide, which is sqrt(1 + beta_1 / 0.06^2): noise was added at t = 1. E: trained on t <= 25
# only; the error at t = 45 is more than twice the floor.
patient_a, patient_b, patient_c, patient_d, patient_e = "noise scale", "schedule", "time", "last step", "coverage"
### END SOLUTION

# %%
check("patient A", patient_a)
check("patient B", patient_b)
check("patient C", patient_c)
check("patient D", patient_d)
check("patient E", patient_e)

# %% [markdown]
# ### Exercise 2: from the loss to the score
# Given the excess per dimension of the $\epsilon$ prediction (`excess`, for $t=1..T$), return the root-mean-square error of the *score* at each $t$. (`schedule.scales(t)` takes `t = np.arange(1, schedule.T + 1)`.)

# %%
def my_score_error(excess, schedule):
    ### BEGIN SOLUTION
    # Score = -eps / sqrt(1 - alpha_bar_t). At t = 1 the noise scale is 0.025: an eps error of 0.2 is a score error of 8, and yet the
    # sampler multiplies it by beta_1 again.
    noise = schedule.scales(np.arange(1, schedule.T + 1))[1]
    return np.sqrt(excess) / noise
    ### END SOLUTION

# %%
check("score error", my_score_error, excess, schedule)

# %% [markdown]
# ### Exercise 3: teach the network to be a parrot
# Train `learn(few[:20], schedule, width=256, steps=6000)` and repeat section 8 with 20 points. Which share of the samples lies within 0.02 of a training point? Watch the loss on fresh data while you increase the steps. First write the function that counts: `samples` (n, 2) and `points` (N, 2) are arrays, and a sample at exactly `radius` counts.

# %%
def my_share(samples, points, radius):
    ### BEGIN SOLUTION
    # Of the samples of the network trained on 20 points: most. The loss on the 20 points falls below the floor of the swirl, which is the alarm bell: no model of the
    # true distribution can do that on data it has not seen. The loss on fresh data rises meanwhile.
    distance = np.linalg.norm(samples[:, None] - points[None], axis=-1)
    return (distance.min(1) <= radius).mean()
    ### END SOLUTION

# %%
check("share of copies", my_share, drawn["network trained on them"].numpy(), few, 0.02)

# %% [markdown]
# ### Exercise 4: pay for the network where it hurts
# The network loses its bits at small $t$. Give `fit` a loss of your own, `loss(denoiser, x_0, t, eps, cond) -> (B,)`, that is `simple_loss` times a weight in $t$ (normalised to mean 1), and try to close the gap of section 6 at equal training. What happens to the distance? Begin with these weights, and return them for $t=1..T$: $\mathrm{SNR}(t-1)/\mathrm{SNR}(t)-1$ at $t=2..T$, cut at 5 times its mean, at $t=1$ as at $t=2$; then normalised.

# %%
def my_weights(schedule):
    ### BEGIN SOLUTION
    # They move effort to small t. Typically the bits improve by about a tenth and the samples stay where they were or lose a little: the
    # trade of Improved DDPM in miniature (notebook 09).
    t = np.arange(2, schedule.T + 1)
    w = schedule.snr(t - 1) / schedule.snr(t) - 1
    w = np.minimum(w, 5 * w.mean())
    w = np.r_[w[0], w]
    return w / w.mean()
    ### END SOLUTION

# %%
check("weights in t", my_weights, schedule)

# %% [markdown]
# ### Exercise 5: a bug of your own
# Write a sixth patient (`minidiff/notebook/patients.py`, and read it only now) that passes *all* the findings and is still wrong. Which further number would convict it? Say yours is a sampler that uses $\tilde\beta_t$ with its index off by one: is it `"L_T"`, `"the eps error"`, `"the distance"` or `"an identity"` that convicts it?

# %%
convicts = None
### BEGIN SOLUTION
# An off-by-one variance, or x_0-hat clipped inside the bound, leaves the eps error, L_T, moments and distance alone. What convicts them is
# an identity: the posterior against Bayes' rule by quadrature, the bound against its exact value on Gaussian data. minidiff verify is a
# list of such identities.
convicts = "an identity"
### END SOLUTION

# %%
check("what convicts the sixth", convicts)

# %% [markdown]
# ## A doctor for models of your own
#
# What you did by eye with five numbers, `minidiff.doctor` does by a ladder of measurements, for any function `call(x_t, t)` and, if you hand it one, its sampler: it names the likeliest defect, its evidence, and what to read. It is
# right in most cases, not in all ([how often, and where it errs](../docs/DOCTOR.md)); so read the evidence before you believe the name.
#
# **Before you run**: this network was trained with tables that count from 0, and is asked by a sampler that counts from 1. Everything it says is a good answer, for another $t$. What could one measure to find that out?

# %%
from minidiff import doctor

healthy = PATIENTS["healthy"].denoiser
mine = doctor.Patient(lambda x_t, t: healthy(x_t, np.maximum(t - 1, 1)).eps, healthy.schedule)
report = doctor.examine(mine, ring.sample(500, np.random.default_rng(0)))
print(str(report).partition("Examined")[0])
assert report.diagnosis == "index offset"

# %% [markdown]
# **See.** It asked the network at $t-1$, $t$ and $t+1$ about the same $x_t$, and a neighbour was answered better. (Try the five of the clinic: `doctor.Patient.of(PATIENTS["A"].denoiser, sampler)`, `sampler(denoiser, x)` being theirs with a generator of yours.)
#
# ## What to try next
#
# * `MINIDIFF_PROFILE=full` trains fifteen times longer. How much of the network's share of the gap is left? (The method's share stays. Check it against notebook 04.)
# * Put `checkerboard` in the place of the moons: sharp edges. At which $t$ do you expect its error?
# * Use `ddim` with 20 steps for the samples of section 5 and compare distances. Notebook 08 does this with order of convergence.
#
# ## References
#
# * Ho, Jain, Abbeel 2020, *Denoising Diffusion Probabilistic Models*: Algorithms 1 and 2, Eq. 14 (the loss), Eq. 5 (the bound), Eq. 13 (8-bit decoder).
# * Kingma, Salimans, Poole, Ho 2021, *Variational Diffusion Models*: the 8-bit swirl as a test of bits per dimension; the SNR form of each step.
# * Nichol, Dhariwal 2021, *Improved DDPM*: Eq. 15, learned variances, Eq. 17, the cosine schedule. Bao et al. 2022, *Analytic-DPM*: the optimal variance from the model's own error.
# * In the ledger: `ddpm 14`, `ddpm Alg. 1`, `ddpm Alg. 2`, `ddpm bits/dim`.
# * Bonneel et al. 2015: sliced Wasserstein distances. Vincent 2011: why the regression target may be $\epsilon$.
