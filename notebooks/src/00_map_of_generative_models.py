# %% [markdown]
# # 00 · What is a density, and can you sample it?
#
# Somebody hands you twenty thousand points and no formula. You have two wishes. *Draw me another one like these.* And: *here is a point, how surprising is it?* A model that grants the first has a **sampler**, one that grants the second has a **density**, and it is odd how seldom one comes with the other.
#
# Five families of models answer in five ways. This notebook builds all five on data whose density is known, gives each the same number of weights and the same seconds, and looks. It is the map of the course; from notebook 01 on we walk through one of its countries, diffusion.
#
# **When you have worked through it you can**
# * say of each family what it can compute (a sample, a density, a bound, nothing) and from which *one* identity that follows,
# * check each identity by numbers that do not use it,
# * make a GAN lose most of its modes, and say why it does not mind,
# * read a comparison: same budget, same test points, floors, ranges over seeds, and what is a bound and what is exact,
# * say where diffusion stands on the map, and what it costs.
#
# You need densities, expectations and Bayes' rule, and a little PyTorch. No generative model is assumed. Logarithms are natural: surprise is in *nats*.

# %%
from minidiff.notebook import budget, plots, setup

rng = setup(seed=0)
import time

import matplotlib.pyplot as plt
import numpy as np
import torch
from minidiff import toy
from minidiff.course import check
from minidiff.families import minimax
from minidiff.mixture import GaussianMixture
from minidiff.neighbours import modes_met
from minidiff.nn.perceptron import Perceptron
from scipy.stats import multivariate_normal

# %%
from minidiff.metrics import sliced_wasserstein
from minidiff.notebook.card import measured
from minidiff.notebook.family_widgets import family_explorer, panel, table
from minidiff.process import marginal
from minidiff.run.families import FAMILIES, contestant
from minidiff.run.worlds import world
from minidiff.sample import dpm_solver, last

# %% [markdown]
# ## 1. Surprise
#
# Our data: eight narrow Gaussians on a ring. We know the density $p$, the models will not; they see 20,000 points.
#
# The *surprise* of a point is $-\log p(x)$. Its mean over points drawn from $p$ is the **entropy** $H=-\int p\log p$. If you believe in another density $q$, your mean surprise is
#
# $$\mathbb E_p[-\log q(x)] \;=\; -\int p\log p+\int p\log\frac pq \;=\; H+\mathrm{KL}(p\,\|\,q)\;\ge\;H .$$
#
# That is the whole art of judging a density: take test points, average $-\log q$. No model can come out below $H$, and what it lies above is its KL divergence, whatever the model is made of. We give it per dimension, as is the custom.

# %%
ring, law = world("ring"), toy.ring()
H, test = ring.entropy / 2, ring.test.double().numpy()  # nats per dimension
surprise = -law.log_prob(test) / 2
error = surprise.std() / len(test) ** 0.5
print(f"mean surprise of {len(test):,} test points {surprise.mean():.3f} +- {error:.3f}, entropy {H:.3f} nats per dimension")
assert abs(surprise.mean() - H) < 4 * error

side = np.linspace(-2, 2, 401)
plane, cell = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2), (side[1] - side[0]) ** 2
p = np.exp(law.log_prob(plane))
assert abs(p.sum() * cell - 1) < 1e-9  # a density: it integrates to 1

# %% [markdown]
# The simplest model of all: one Gaussian with the mean and the covariance of the data. It has a density *and* a sampler. **Before you run:** how surprised is it, in nats per dimension above $H$? And where do its samples lie that should not?

# %% alt="Three squares of the plane. The density is eight small round spots on a ring. One Gaussian fitted to it is a single broad blob, darkest in the middle, and its samples lie all over the square. The test points form eight tight clumps on the ring."
one = multivariate_normal(ring.train.double().mean(0).numpy(), np.cov(ring.train.double().numpy().T))
above = -one.logpdf(test).mean() / 2 - H
kl = (p * (np.log(p + 1e-300) - one.logpdf(plane))).sum() * cell / 2
drawn = one.rvs(2000, random_state=0)
print(f"one Gaussian: {above:.2f} nats per dimension above the entropy; KL(p || q) by quadrature {kl:.2f}")
print(f"of its samples {modes_met(drawn, ring.centres, ring.radius).near.value:.0%} lie within three standard deviations of a mode; of the data {modes_met(test, ring.centres, ring.radius).near.value:.0%}")
assert abs(above - kl) < 5 * error

def on_the_plane(ax, values, title, limit=1.25):
    ax.imshow(values.reshape(401, 401), extent=(-2, 2, -2, 2), origin="lower", cmap="Blues", vmax=np.quantile(values, 0.995))
    ax.set(xlim=(-limit, limit), ylim=(-limit, limit), title=title, xticks=[], yticks=[])

fig, axes = plots.panel(3, width=3.1, height=3.2)
on_the_plane(axes[0], p, "the density p"), on_the_plane(axes[1], np.exp(one.logpdf(plane)), "one Gaussian")
for ax, x, title in ((axes[1], drawn[:400], "one Gaussian, samples"), (axes[2], test[:400], "test points")):
    ax.scatter(*x.T, s=4, color="C1", linewidths=0), plots.square(ax, 1.25), ax.set(title=title, xticks=[], yticks=[])
plt.show()

# %% [markdown]
# **See.** More than a nat in every dimension, spent on the empty middle, and of seven samples six belong to no mode. Two ways to the same number, one over test points, one over the plane, agree.
#
# So why is this not the end? One could put a Gaussian on every training point. In two dimensions one may; in the 196 of a small digit, or the 3,072 of a small photograph, the points are so far apart that nothing lies between them. We need *flexible* densities with few parameters, and a flexible function is easily had, from a network. But an arbitrary positive function $f(x)$ is a density only after division by $\int f$, and that integral over 3,072 dimensions nobody can do. And even if we could, how would you draw from it?
#
# **Each family is one trick to get around that integral.** (The cells that train work for five to twenty seconds on a free core; as long as `[*]` stands beside one, it is at work.) All that follow have about 30,000 weights (on the line 6,000) of the same kind of network, see the same batches in the same order, and train for a number of steps in proportion to what 12 seconds of one core bought each of them, where we measured it.

# %%
found = measured("families")
bought = {row["family"]: row["steps"] for row in found["rows"] if row["data"] == "ring"}

def trained(name):
    it = contestant(name, ring, steps=round(budget(quick=0.5, full=1.0) * bought[name]))
    for _ in it.steps():
        pass
    return it

print("steps in 12 s of one core:", {name: round(steps) for name, steps in bought.items()})
assert set(bought) == set(FAMILIES)

# %% [markdown]
# ## 2. Flow: bend the noise
#
# Start where there is a density and a sampler, $z\sim\mathcal N(0,I)$, and bend space by an invertible map: $x=f^{-1}(z)$. Sampling is done. For the density, follow a little piece of volume $dx$. Its image has volume $dz=|\det\partial f/\partial x|\,dx$, and probability goes where the points go: $p(x)\,dx=p_z(z)\,dz$. Hence the **change of variables**
#
# $$\log p(x)=\log p_z(f(x))+\log\Big|\det\frac{\partial f}{\partial x}\Big| .$$
#
# No integral: what is bent always has mass 1. The price is in the words *invertible*, and *determinant*: of a general network with $D$ inputs neither can be had cheaply. The trick of a **coupling**: keep half of the numbers, and let them say how the other half is shifted and scaled, $z_2=(x_2-\mu(x_1))\,e^{-s(x_1)}$. Backwards that is solved at once, and the Jacobian is triangular: $\log|\det|=-\sum s$. The networks $\mu,s$ are never inverted.
#
# **Before you run:** what will the total mass be if the sign of the log-determinant is turned around, as happens easily when $f$ is taken for $f^{-1}$? And what will a *continuous* bending do to the gaps between the eight modes?

# %% tags=["nbval-ignore-output"]
it = {"flow": trained("flow")}
flow = it["flow"].training.averaged()
noise = torch.randn(4000, 2, generator=torch.Generator().manual_seed(0))
with torch.no_grad():
    x = torch.from_numpy(plane).float()
    z, log_det = flow.encode(x)
    log_q = flow.log_prob(x).double().numpy()
    back = (flow.encode(flow.decode(noise))[0] - noise).abs().max()
    bent = flow.decode(noise).numpy()
turned = np.exp(log_q - 2 * log_det.double().numpy()).sum() * cell
print(f"mass of the flow {np.exp(log_q).sum() * cell:.3f}; with the sign turned {turned:.3g}")
print(f"noise to data and back, furthest: {float(back):.0e}")
assert abs(np.exp(log_q).sum() * cell - 1) < 0.02 and abs(turned - 1) > 0.5 and back < 1e-3

# %% alt="Noise coloured by its angle, the same points after the flow has bent them, and the flow's density. The disc of noise has become a thin ring, torn open on the right: darker knots where modes are, with threads of density between them instead of gaps."
hue = np.arctan2(*noise.numpy().T)
fig, axes = plots.panel(3, width=3.1, height=3.2)
for ax, x, limit, title in ((axes[0], noise.numpy(), 3.2, "noise z, coloured by angle"), (axes[1], bent, 1.25, "the same points, bent")):
    ax.scatter(*x.T, c=hue, s=3, cmap="twilight", linewidths=0), plots.square(ax, limit), ax.set(title=title, xticks=[], yticks=[])
on_the_plane(axes[2], np.exp(log_q), "its density")
plt.show()

# %% [markdown]
# **See.** Mass 1 with the right sign, and nonsense with the wrong one. The colours show which part of the noise became which mode. And they show the weakness: the plane has been bent, not torn. Eight separate modes have to be drawn out of *one* piece, and threads are left between them.
#
# ## 3. Autoregressive: one number at a time
#
# Any density factorises, exactly, by the **chain rule**: $p(x_1,\dots,x_D)=\prod_i p(x_i\mid x_{<i})$. Each factor is a density of *one* number, where normalising is easy: here a mixture of ten logistic laws, whose weights, means and widths a network reads off $x_{<i}$. So the density is exact and of any shape you like. To sample: draw $x_1$, feed it in, draw $x_2$, feed it in, and so on.
#
# One network makes all the factors in one pass, provided that nothing about $x_i$ or later leaks into the law of $x_i$. **Masks** on its weights see to that. If a mask is not strict, the law of $x_i$ can look at $x_i$: the likelihood becomes wonderful, and the samples rubbish.
#
# **Before you run:** the law of $x_1$ is the shadow of the ring on the horizontal axis. How many bumps has it, and which is tallest? How many has the law of $x_2$ once $x_1=0$ is known?

# %%
it["autoregressive"] = trained("autoregressive")
chain = it["autoregressive"].training.averaged()
at = torch.from_numpy(test[:50]).float().requires_grad_()
(leak,) = torch.autograd.grad(chain.laws(at).params[:, 0].sum(), at)  # of the law of the first number
(told,) = torch.autograd.grad(chain.laws(at).params[:, 1].square().sum(), at)  # of the law of the second
assert not leak.any() and told[:, 0].abs().min() > 0 and not told[:, 1].any()

def slices(a):
    with torch.no_grad():
        first, second = (torch.from_numpy(np.stack(pair, 1)).float() for pair in ((side, 0 * side), (0 * side + a, side)))
        return [chain.laws(q).log_prob(q)[:, i].exp().double().numpy() for i, q in enumerate((first, second))]

# %% alt="Three densities of one coordinate, exact and model. The law of the first coordinate has five bumps, the three in the middle about twice as high as the outer two. Given the first at 0 or at 0.57, the second has two bumps each. The model lies on the exact curves."
shadow = GaussianMixture(law.weights, law.means[:, :1], law.covs[:, 0, 0])
fig, axes = plots.panel(3, width=3.4, height=2.8)
for ax, a in zip(axes, (None, 0.0, 0.57), strict=True):
    mine = slices(a or 0.0)[a is not None]
    true = np.exp(shadow.log_prob(side[:, None]) if a is None else law.log_prob(np.stack([0 * side + a, side], 1)) - shadow.log_prob(np.array([[a]])))
    ax.plot(side, true, label="exact"), ax.plot(side, mine, "--", label="model")
    ax.set(xlim=(-1.2, 1.2), xlabel="$x_1$" if a is None else "$x_2$", title="$p(x_1)$" if a is None else f"$p(x_2\\mid x_1={a:g})$")
    assert abs(mine.sum() * (side[1] - side[0]) - 1) < 1e-3
axes[1].legend(fontsize=9)
plt.show()

# %% [markdown]
# **See.** Five bumps: the modes at top and bottom share one shadow, the four at $45°$ make two, and the tallest are where two modes stand above each other. At $x_1=0$ two bumps are left. Every slice has mass 1, so the product has mass 1, without an integral over the plane. And the gradients say that the masks hold: the law of $x_1$ depends on nothing, that of $x_2$ on $x_1$ and not on $x_2$.
#
# In the plane this is hard to beat. The price comes with $D$: *training* is one pass, *sampling* is $D$ passes, one after the other.
#
# ## 4. VAE: what nobody saw
#
# Suppose each $x$ was made in two strokes: a hidden $z\sim\mathcal N(0,I)$, then $x\sim p(x\mid z)$, a simple Gaussian whose mean and variance a network (the *decoder*) reads off $z$. Sampling is two lines. The density is a mixture of infinitely many Gaussians, $p(x)=\int p(x\mid z)\,p(z)\,dz$, and there is our integral again. The trick is to be content with less. Take *any* density $q(z)$ and split, for fixed $x$:
#
# $$\log p(x)=\mathbb E_q\log\frac{p(x,z)}{p(z\mid x)}=\underbrace{\mathbb E_q\log\frac{p(x,z)}{q(z)}}_{\text{ELBO}}+\underbrace{\mathbb E_q\log\frac{q(z)}{p(z\mid x)}}_{\mathrm{KL}(q\,\|\,p(z\mid x))\,\ge\,0} .$$
#
# The first step is Bayes' rule, the second multiplies and divides by $q$. The left side does not know of $q$; so the **ELBO** is below $\log p(x)$ for every $q$, and short of it by exactly the KL divergence to the true posterior. A second network, the *encoder*, makes a $q(z\mid x)$ for each $x$, and both are trained to raise the ELBO. A bound can be sharpened by several guesses of $z$, each weighted by $p(x,z_k)/q(z_k)$ (*importance weights*).
#
# Our $z$ has two dimensions: there the integral *can* be done, and we can see the truth. **Before you run:** in which order will ELBO, importance-weighted bound and truth come? And could training close the gap altogether?

# %% tags=["nbval-ignore-output"]
it["vae"] = trained("vae")
vae = it["vae"].training.averaged()
axis = torch.linspace(-6, 6, 481)
grid, area = torch.cartesian_prod(axis, axis), float(axis[1] - axis[0]) ** 2
some, g = ring.test[:6], torch.Generator().manual_seed(1)
with torch.no_grad():
    given, prior = vae.likelihood(grid), -0.5 * (grid**2).sum(1) - np.log(2 * np.pi)
    joint = [given.log_prob(x).sum(1) + prior for x in some]  # log p(x, z), for every z
    truth = np.array([float(torch.logsumexp(j, 0)) + np.log(area) for j in joint])
    elbo = torch.stack([vae.bound(x.expand(20_000, 2), torch.randn(20_000, 2, generator=g)) for x in some]).double().numpy()
    bound, error_of_bound = elbo.mean(1), elbo.std(1) / 20_000**0.5
    tighter = vae.importance(some.repeat(200, 1), torch.randn(50, 1200, 2, generator=g)).reshape(200, 6).mean(0).numpy()
    log_g = [vae.posterior(x[None]).log_prob(grid).sum(1) for x in some]
    gap = np.array([float((a.exp() * (a - j + t)).sum()) * area for a, j, t in zip(log_g, joint, truth, strict=True)])
for name, v in (("ELBO", bound), ("50 guesses", tighter), ("quadrature", truth), ("gap: KL(q || p(z | x))", gap), ("ELBO + gap", bound + gap)):
    print(f"{name:23s}", "  ".join(f"{a:6.2f}" for a in v))

# %% alt="The VAE seen three ways. Latent points of the test data form eight islands that touch. The decoder's means lie on a thin octagon that joins neighbouring modes. Its samples are a blurred ring, thicker at the eight modes."
assert (bound < tighter).all() and (tighter < truth + 0.05).all() and (np.abs(bound + gap - truth) < 5 * error_of_bound).all()
nearest_mode = np.argmin(((test[:2000, None] - ring.centres) ** 2).sum(-1), 1)
with torch.no_grad():
    q = vae.posterior(ring.test[:2000])
    means = vae.likelihood(noise[:2000]).mean
panels = (("latent z of test points", q.sample(noise[:2000]).numpy(), 3.5, nearest_mode), ("decoder means", means.numpy(), 1.25, None), ("samples", it["vae"].sample(2000, g).numpy(), 1.25, None))
fig, axes = plots.panel(3, width=3.1, height=3.2)
for ax, (title, x, limit, colour) in zip(axes, panels, strict=True):
    look = {} if colour is None else {"c": colour, "cmap": "twilight", "vmin": 0, "vmax": 8}
    ax.scatter(*x.T, s=3, linewidths=0, **look), plots.square(ax, limit), ax.set(title=title, xticks=[], yticks=[])
plt.show()

# %% [markdown]
# **See.** In every column: ELBO, then the sharper bound, then the truth, and what the ELBO lacks is the KL divergence, computed here by another road. Fifty guesses close most of it. Training works on it as well, but only as far as the encoder's Gaussians can follow the true posterior.
#
# The pictures show the other price. The latent plane has eight islands that touch (left), so the decoder is asked about the straits between them and answers with a point between two modes (middle). Its means alone are too thin; only with the decoder's own noise are they samples of the model (right), and then what should be eight dots is a blurred ring. In pictures the same thing is called *blur*.
#
# ## 5. GAN: no density at all
#
# Give up the second wish. A network $G$ turns noise into points, and nothing asks for its density: no inverse, no bound, no masks. But then what is there to train on? A **critic** $D$ that learns to tell real from made; $G$ learns to fool it. The game as first written is
#
# $$\min_G\max_D\;V(D,G)=\mathbb E_{p}\log D(x)+\mathbb E_{p_G}\log(1-D(x)) .$$
#
# *For fixed $G$* the best critic is found point by point: $a\log D+b\log(1-D)$ is largest at $D=a/(a+b)$. So $D^*=p/(p+p_G)$, and put back into $V$,
#
# $$V(D^*,G)=\mathrm{KL}\Big(p\,\Big\|\,\tfrac{p+p_G}2\Big)+\mathrm{KL}\Big(p_G\,\Big\|\,\tfrac{p+p_G}2\Big)-\log4=2\,\mathrm{JSD}(p\,\|\,p_G)-\log4 .$$
#
# With a perfect critic, $G$ goes down on the Jensen-Shannon divergence: 0 if and only if $p_G=p$, and at most $\log2$. We check both lines on a generator that makes seven of the eight modes, perfectly. **Before you run:** $\mathrm{KL}(p\,\|\,p_G)$ is infinite there. And the JSD, of its at most $0.69$ nats: near which end?

# %%
seven = GaussianMixture(np.full(7, 1 / 7), law.means[:7], law.covs[:7])
p_seven = np.exp(seven.log_prob(plane))
D = np.linspace(0.001, 0.999, 999)
for k in np.flatnonzero(p > 1)[::400]:  # the best D at some points, by trying 999 of them
    best = D[np.argmax(p[k] * np.log(D) + p_seven[k] * np.log(1 - D))]
    assert abs(best - p[k] / (p[k] + p_seven[k])) < 1.1e-3
star = np.clip(p / (p + p_seven + 1e-300), 1e-300, 1)
value = (p * np.log(star + 1e-300) + p_seven * np.log1p(-np.minimum(star, 1 - 1e-16))).sum() * cell
middle = (p + p_seven) / 2 + 1e-300
jsd = 0.5 * sum((a * np.log((a + 1e-300) / middle)).sum() for a in (p, p_seven)) * cell
print(f"V(D*, G) = {value:.4f}; 2 JSD - log 4 = {2 * jsd - np.log(4):.4f}; JSD = {jsd:.3f} of at most {np.log(2):.3f} nats")
assert abs(value - 2 * jsd + np.log(4)) < 1e-6 and jsd < 0.05

# %% [markdown]
# **See.** A lost mode costs $0.05$ nats of $0.69$. A likelihood pays for a point that it held impossible with infinite surprise; a GAN hardly notices. That is one half of **mode collapse**. The other half is the order of play. $\min_G\max_D$ presumes a critic that has finished thinking before $G$ moves. Turn it around: if $G$ may answer a critic that stands still, its best answer is to put *everything* on the one point that this critic likes best. Whoever trains both by gradient steps is somewhere between the two orders.
#
# So here is the same game twice, minimax loss, same networks, same start, same noise. Once both learn at the same rate; once the critic learns ten times more slowly. **Before you run:** how many of the eight modes will each have at the end?

# %%
def game(critic_rate, steps):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        G, D = Perceptron(2, 2, 64), Perceptron(2, 1, 64)
    g = torch.Generator().manual_seed(0)
    moves_G, moves_D = (torch.optim.Adam(net.parameters(), rate, (0.5, 0.999)) for net, rate in ((G, 1e-3), (D, critic_rate)))
    for k in range(1, steps + 1):
        made = G(torch.randn(256, 2, generator=g))
        for moves, player, points in ((moves_D, 0, made.detach()), (moves_G, 1, made)):
            moves.zero_grad()
            minimax(D(ring.batch(256, g)), D(points))[player].mean().backward()
            moves.step()
        if k % (steps // 20) == 0:
            yield k, G(noise[:1000]).detach()

# %% alt="Modes met during training: with an equally fast critic the count climbs to all eight by about step 600 and stays; with one ten times slower it wanders between zero and three. The fair game's samples lie on a thin ring, the other's in one clump that has moved 50 steps later." tags=["nbval-ignore-output"]
plays = {name: list(game(rate, budget(quick=1000, full=4000))) for name, rate in (("equally fast", 1e-3), ("ten times slower", 1e-4))}
met = {name: [modes_met(x, ring.centres, ring.radius).met() for _, x in play] for name, play in plays.items()}
fig, axes = plots.panel(4, width=2.9, height=3)
for name, play in plays.items():
    axes[0].plot([k for k, _ in play], met[name], label=f"critic {name}")
axes[0].set(xlabel="step", ylabel="modes met", ylim=(-0.2, 11.5), yticks=(0, 2, 4, 6, 8), title="of eight modes"), axes[0].legend(fontsize=8, loc="upper left")
shown = (("equally fast", -1), ("ten times slower", -2), ("ten times slower", -1))
for ax, (name, i) in zip(axes[1:], shown, strict=True):
    k, x = plays[name][i]
    ax.scatter(*x.numpy().T, s=3, linewidths=0), plots.square(ax, 1.25), ax.set(title=f"{name},\nstep {k}", xticks=[], yticks=[])
plt.show()
assert np.mean(met["ten times slower"][10:]) < 4 < np.mean(met["equally fast"][10:])

it |= {name: trained(name) for name in ("gan", "gan-minimax")}
for name in ("gan", "gan-minimax"):
    modes = modes_met(it[name].sample(2000, torch.Generator().manual_seed(2)), ring.centres, ring.radius)
    print(f"{name:12s} samples at each mode: {modes.counts}, near one of them {modes.near.value:.0%}")

# %% [markdown]
# **See.** Played fairly the game finds all eight modes within some six hundred steps (though not their shape: the points lie on a thin ring). With a slow critic the *same* loss has the generator throw nearly everything on one to three of them, and fifty steps later on others: by the time the critic has learned to reject a place, the generator has left it. It looks as if it were learning and never arrives.
#
# So it is not the loss alone that decides whether a GAN collapses, but *who is faster*, and how they move: of 24 games that we tried, all eight with a critic ten times slower and a momentum of one half collapsed, with this loss and with a non-saturating one; four at three times these rates and without momentum kept six modes or more. That is why GANs are said to be hard to train, and why later losses add penalties that keep the critic honest. The last two lines are of our contestants, such a modern one (`gan`: relativistic loss, gradient penalties) and the original (`gan-minimax`), both at equal rates and with averaged weights: both found all eight, unevenly. Asked for $\log p(x)$, either would answer with an error: nothing says how much noise leads to a given $x$.

# %% [markdown]
# ## 6. Diffusion: destroy slowly, and learn to undo
#
# The last trick: do not ask for one big step from noise to data, but for many small ones. Destroy the data first, with no learning at all: $x_t=\sqrt{\bar\alpha_t}\,x_0+\sqrt{1-\bar\alpha_t}\,\varepsilon$, with $\bar\alpha_t$ falling from 1 to nearly 0 over $t=0..200$. At the end there is only $\mathcal N(0,I)$, which we can draw. If each step is small, its reversal is nearly Gaussian, and all that is unknown about it is one mean: $\mathbb E[x_0\mid x_t]$, *given this noisy point, what was the clean one, on average?* That is a regression, with a squared error: no critic, no inverse, no mask, no integral.
#
# The chain $x_T\to\dots\to x_0$ is a VAE with 200 hidden layers and an encoder that is fixed; so there is a bound, and notebook 04 takes it apart. And the same network drives a differential equation, a flow with any network you like; so there is an exact density too (notebook 08). Both wishes are granted.
#
# Here, $\mathbb E[x_0\mid x_t]$ is known in closed form. **Before you run:** is the network's error larger than that of the exact mean at every $t$, or can it be smaller somewhere? At which $t$ is the difference hard to learn?

# %% tags=["nbval-ignore-output"]
it["diffusion"] = trained("diffusion")
network, exact, g = it["diffusion"].training.averaged(), toy.ring(), torch.Generator().manual_seed(3)
schedule, ts = network.schedule, (5, 20, 40, 60, 80, 100, 130, 160, 200)
worse = []
with torch.no_grad():
    for t in ts:
        x_t = marginal(schedule, ring.test, t).sample(torch.randn(ring.test.shape, generator=g))
        ideal, _ = exact.posterior(x_t.double().numpy(), schedule.alpha_bar[t] ** 0.5, 1 - schedule.alpha_bar[t])
        errors = [((guess - test) ** 2).mean(1) for guess in (network(x_t, t).x_0.double().numpy(), ideal)]
        excess = errors[0] - errors[1]
        worse.append((errors[0].mean(), errors[1].mean(), excess.mean() / (excess.std() / 100 + 1e-12)))
print(" t   network's error   exact mean's   excess in standard errors")
for t, (a, b, sure) in zip(ts, worse, strict=True):
    print(f"{t:3d}   {a:15.4f}   {b:12.4f}   {sure:25.0f}")
assert all(sure > -4 for *_, sure in worse)  # nobody beats the mean

# %% alt="Six scatter plots from t = 200 to t = 0. A shapeless cloud of noise shrinks; at t = 14 a hole has opened in the middle, at t = 6 clumps show on the ring, and at t = 0 the points lie in eight modes with a few threads between."
with torch.no_grad():
    path = {step.t: step.x_t for step in dpm_solver(network, noise[:1000], schedule.times(100)) if step.t in (60, 30, 14, 6, 0)}
plots.points({"t = 200: noise": noise[:1000], **{f"t = {t}": x for t, x in path.items()}}, limit=2.2, width=2.1)
plt.show()

# %% [markdown]
# **See.** Nothing beats the mean $\mathbb E[x_0\mid x_t]$: no entry lies below it by more than its error. In between, the network is within one or two per cent of it. It has trouble at both ends. At $t=5$ the answer is almost $x_t$ itself, and what is left to say is a small correction that counts little in the loss. At $t=200$ the best answer is 0, the middle of the ring, whatever $x_t$ is, and to learn *not* to react takes time, too.
#
# The path shows the order in which things are decided: first the ring, then which mode, last where in it, nearly all of it in the last seventh of the time. And it shows the price: the network was called a hundred times.

# %% alt="Share of samples near a mode against seconds for 1,000 samples. Diffusion rises steeply from 5 calls and levels off below 0.9 from 50 calls on, at the greatest cost. GAN, VAE and flow are the cheapest and lie between 0.55 and 0.75; the autoregressive model nearly reaches the data." tags=["nbval-ignore-output"]
calls, rows = (5, 10, 25, 50, 100, 200), []
for n in calls:
    start = time.process_time()
    with torch.no_grad():
        x = last(dpm_solver(network, noise[:2000], schedule.times(n)))
    rows.append((time.process_time() - start, modes_met(x, ring.centres, ring.radius).near.value))
print("near a mode:", {n: f"{near:.0%}" for n, (_, near) in zip(calls, rows, strict=True)})
fig, ax = plots.panel(width=6.4, height=3.2)
ax.plot(*np.array([(s / 2, near) for s, near in rows]).T, "o-", label="diffusion, 5 to 200 calls")
for name, marker in zip(("flow", "autoregressive", "vae", "gan"), "sDv^", strict=True):
    start = time.process_time()
    x = it[name].sample(2000, torch.Generator().manual_seed(4))
    ax.plot((time.process_time() - start) / 2, modes_met(x, ring.centres, ring.radius).near.value, marker, label=name)
ax.axhline(modes_met(test, ring.centres, ring.radius).near.value, color="0.5", linestyle=":", label="data")
ax.set(xscale="log", xlabel="seconds for 1,000 samples", ylabel="share near a mode", title="what a sample costs"), ax.legend(fontsize=8)
plt.show()
assert rows[-1][1] > rows[0][1]

# %% [markdown]
# **See.** The time axis is logarithmic. GAN, VAE and flow need one pass of a network, the autoregressive model two (one for each number, in the plane), diffusion one for each call; five calls are useless here, and beyond fifty more calls do not help, for then the network's own error is what is left. In a picture of a thousand pixels the autoregressive price would be a thousand, diffusion's still fifty. Paying it down is the subject of notebook 08.
#
# ## 7. One table
#
# Five models (and one GAN twice) on one data set, at half of the budget. **Before you run:** rank them by surprise, and by the distance of their samples from the data. Is it the same order?

# %% tags=["nbval-ignore-output"]
g, small = torch.Generator().manual_seed(5), ring.test[: budget(quick=500, full=2000)]
print(f"{'':15s} {'steps':>5s}  {'-log p':>7s} {'above H':>8s}  {'':12s} modes  near  distance")
excess = {}
for name in FAMILIES:
    nats, x = it[name].nats(small, g), it[name].sample(2000, g)
    modes = modes_met(x, ring.centres, ring.radius)
    far = sliced_wasserstein(x, ring.test[:2000], ring.test[2000:], np.random.default_rng(0), resamples=20)
    kind, value = list(nats.items())[-1] if nats else ("none", None)
    mean = None if value is None else float(value.mean()) / 2
    excess[name] = None if mean is None else mean - H
    told = " " * 16 if mean is None else f"{mean:7.2f} {mean - H:8.2f}"
    print(f"{name:15s} {it[name].training.step:5d}  {told}  {kind:12s} {modes.met():3d}    {modes.near.value:4.0%}  {far.value:.3f}")
print(f"{'the data':15s}        {H:7.2f}                           8    {modes_met(test, ring.centres, ring.radius).near.value:4.0%}  {far.floor:.3f}")
assert all(v is None or v > -0.1 for v in excess.values())  # nobody is less surprised than the truth (0.1: six standard errors of 500 points)

# %% [markdown]
# **See.** The autoregressive model has all but reached the entropy; diffusion is next, and the only other one that leaves few points between the modes. Everybody has found all eight. GAN and VAE look better by the distance of their samples than by where these lie: sliced Wasserstein distance measures how far mass must be carried, and from the ring's threads to its modes it is not far. No single number would have told all this.
#
# The next cell prints what was measured once with `python benchmarks/families.py`: twelve seconds of one core for each, five seeds (digits: 120 seconds, three). The ranges are the least and the largest over seeds; "real data" is what as many further test points score, the floor of each distance. For $-\log p$, `=` is exact and `<=` is all that a bound says; modes are counted seed by seed; `s/1,000` are CPU seconds for a thousand samples.

# %% alt="A table of pictures, five data sets by the data and six models. All meet the three bumps of the line and the ring; the VAE blurs moons and swirl into clouds, the minimax GAN draws thin lines, and the digits of the VAE are the hardest to read."
print(found["machine"])
for name in found["sets"]:
    print(f"\n{table(found, name)}")
fig, axes = plots.panel(7, len(found["sets"]), width=1.6, height=1.6)
for i, (name, about) in enumerate(found["sets"].items()):
    drawn = {r["family"]: np.asarray(r["samples"]) for r in found["rows"] if r["data"] == name}
    for ax, (title, x) in zip(axes[7 * i : 7 * i + 7], ({"data": np.asarray(about["data"])} | drawn).items(), strict=True):
        panel(ax, x, title if i == 0 else "")
        ax.grid(visible=False)
    axes[7 * i].set_ylabel(name)
plt.show()

# %% [markdown]
# **See.** *By surprise*, in the plane, the autoregressive model is first in nearly every seed and practically at the entropy; nobody is below it, as nobody can be (where a range reaches a thousandth below, that is a tenth of the error of 1,000 test points). The flow shows what it can and what it cannot: on the moons, which are curved, it is level with the best, on the ring, which is torn, 0.29 nats behind. The VAE of the moons is stuck at the same number in all five seeds: its encoder has given up one of its two latent dimensions (in a run of the first seed they carry 1.68 and 0.003 nats). That is *posterior collapse*: a dimension that is not used costs nothing in the bound. And mind the column "which is": a VAE's true surprise may be lower than its bound.
#
# *Modes*: those of line and ring have been met by all, in every seed, the minimax GAN included. Its failure is a finer one, and recall tells it: on the swirl it draws a thin line through the middle of the data. Of the ten digits the VAE makes five to seven that a classifier would call so.
#
# *Digits* turn the order around. By surprise the autoregressive model is far ahead, by the samples the GAN is, in each of the three seeds, with fewer than half the distance of the next. The autoregressive digits are legible and ragged, and a thousand of them take eleven seconds, where the GAN needs seven thousandths of one. Diffusion is last by surprise (by its bound; the digits have no other number here) and the best after the GANs by its samples. Likelihood and samples are two wishes, not one. And nobody did well: a plain perceptron does not know that pixels have neighbours. Notebook 10 gives diffusion a network that does.
#
# And how firm is all this? The last two lines of each table say in how many seeds the whole order is that of the first: in the plane, by distance, never in all five. Whoever shows you a ranking from one seed has shown you the seed.
#
# ## 8. The trade

# %% alt="Two scatter plots on logarithmic axes, a mark for each model and data set. Left: the nearer to the entropy, the closer the samples come to the data, roughly. Right: one-pass models are cheapest, and the autoregressive star, the digits, lies far to the right as the dearest of all."
fig, axes = plots.panel(2, width=5.4, height=4.2)
colours = {name: f"C{i}" for i, name in enumerate(FAMILIES)}
marks = dict(zip(found["sets"], "osD^*", strict=True))
for r in found["rows"]:
    about, far = found["sets"][r["data"]], "frechet" if r["data"] == "mnist14" else "sliced_wasserstein"
    y = r[far][0] / about["floor"][far]
    look = {"color": colours[r["family"]], "marker": marks[r["data"]], "linestyle": "", "markersize": 8}
    axes[1].plot(r["seconds_per_1000"] + 1e-4, y, **look)
    if r["nats"] is not None and about["entropy"] is not None:
        axes[0].plot((r["nats"][0] - about["entropy"]) * (np.log(2) if about["unit"] == "bits/dim" else 1), y, **look)
for ax, what in zip(axes, ("nats per dimension above the entropy", "seconds for 1,000 samples"), strict=True):
    ax.set(xscale="log", yscale="log", xlabel=what, ylabel="distance of samples, in floors", yticks=(1, 2, 5, 10, 20), yticklabels=(1, 2, 5, 10, 20))
axes[0].legend(handles=[plt.Line2D([], [], color="0.4", marker=m, linestyle="", label=d) for d, m in marks.items()], fontsize=8)
axes[1].legend(handles=[plt.Line2D([], [], color=c, marker="s", linestyle="", label=f) for f, c in colours.items()], fontsize=8)
plt.show()

# %% [markdown]
# **See.** Left: the further to the left, the better the density; the lower, the better the samples. Roughly they go together; the GANs are not on this panel at all, for they have no density. Right: what a sample costs. In the plane the autoregressive model comes nearest to the corner where everybody wants to be. But follow its colour to the stars, the digits: its price goes up more than two thousandfold, for 196 numbers are drawn one after the other, while diffusion's goes up sevenfold, with the size of the network only. One pass is cheapest everywhere, and what comes of it is bent, blurred or has nobody who could say how likely it was. (The flow of the line is slow for another reason: in one dimension it is inverted by bisection.)
#
# ## 9. Yours
#
# Every pair of data set and family, as measured: the samples of the first seed beside the data.

# %%
family_explorer(found)

# %% [markdown]
# ## 10. The map
#
# | family | the one identity | $\log p(x)$ | passes for a sample | what it pays with |
# |---|---|---|---|---|
# | autoregressive | $p(x)=\prod_ip(x_i\mid x_{<i})$ | exact | $D$ | sampling time; an order of the numbers must be chosen |
# | flow | $p(x)=p_z(f(x))\,\lvert\det f'(x)\rvert$ | exact | 1 | every layer invertible, nothing can be torn |
# | VAE | $\log p=\text{ELBO}+\mathrm{KL}(q\,\Vert\,p(z\mid x))$ | a bound | 1 | blur, and a second network |
# | GAN | $V(D^*,G)=2\,\mathrm{JSD}-\log4$ | none | 1 | a game in place of a descent; modes can be lost and nobody is told |
# | diffusion | $\mathbb E[x_0\mid x_t]$ undoes the noise | a bound, and exact by an ODE | 10 to 1000 | sampling time |
#
# Every trick around the integral costs something: an order, an inverse, a gap, a likelihood, or time. Diffusion pays with time above all, and time is the one thing on this list that later ideas could reduce (notebooks 08, 12 and 13). That, and a plain regression as its training, is a good part of why it took over pictures. It is *not* better at everything: in the plane the autoregressive model beat it in every seed by surprise, at a fortieth of the price.
#
# ## Exercises
#
# Replace the `...` and run both cells; the check says what is wrong, not only that something is. After a restart, first Run > Run All Above Selected Cell. A cell that ends in red has defined nothing: the check then still judges what was there before.
#
# ### Exercise 1: bend a Gaussian yourself
# $z\sim\mathcal N(0,1)$, $x=e^z$. Write $\log p(x)$ for an array of $x>0$. (Which of the two directions is $f$? See section 2.)

# %%
def my_log_density(x):
    ### BEGIN SOLUTION
    # f(x) = log x leads from data to noise, and f'(x) = 1 / x
    return -0.5 * np.log(x) ** 2 - 0.5 * np.log(2 * np.pi) - np.log(x)
    ### END SOLUTION

# %%
check("log-density of exp(z)", my_log_density, np.array([0.2, 1.0, 3.5]))

# %% [markdown]
# ### Exercise 2: who may see whom
# A matrix $D\times D$ of 0 and 1 for an autoregressive network: entry $(i,j)$ is 1 if the law of $x_i$ may depend on $x_j$.

# %%
def my_mask(D):
    ### BEGIN SOLUTION
    # below the diagonal, without it
    return np.tril(np.ones((D, D)), -1)
    ### END SOLUTION

# %%
check("strict mask", my_mask, 4)

# %% [markdown]
# ### Exercise 3: the gap
# $z\sim\mathcal N(0,1)$, $x\mid z\sim\mathcal N(2z,1)$. By how much, in nats, does the ELBO fall short of $\log p(x)$ at $x=1$ if the encoder says $q=\mathcal N(m,v)$? (Notebook 01 has the two formulas you need; here they are again: the posterior precision is $1+2^2/1$, its mean $2x/5$.)

# %%
def my_gap(m, v):
    ### BEGIN SOLUTION
    # KL(N(m, v) || N(0.4, 0.2))
    return 0.5 * (v / 0.2 + (m - 0.4) ** 2 / 0.2 - 1 - np.log(v / 0.2))
    ### END SOLUTION

# %%
check("gap of the bound", my_gap, 0.1, 0.5)

# %% [markdown]
# ### Exercise 4: the price of lost modes
# Eight modes of equal weight that do not overlap; a generator makes $k$ of them, equally and perfectly. The JSD, in nats, as a function of $k$ (an array of integers)?

# %%
def my_jsd(k):
    ### BEGIN SOLUTION
    # the middle has m = (1/8 + 1/k) / 2 on the k modes and 1/16 on the others; the first modes to go are the cheapest
    m = (1 / 8 + 1 / k) / 2
    return 0.5 * (k / 8 * np.log(1 / 8 / m) + (8 - k) / 8 * np.log(2) + np.log(1 / k / m))
    ### END SOLUTION

# %%
check("price of lost modes", my_jsd, np.arange(1, 9))

# %% [markdown]
# ## What to try next
#
# * In the folder of the repository, `.venv/bin/python benchmarks/families.py --sets moons --seeds 1`: the fair table of one data set on your machine, in a minute and a half.
# * Make the ring's modes half as wide (`toy.ring(std=0.03)`). Which family suffers most?
# * A flow of sixteen couplings at half the width: are the threads thinner at the same number of weights?
# * In section 5, let the critic be ten times *faster* instead.
# * Go on: [01 · three facts about Gaussians](01_gaussians_and_kl.ipynb) begins with what diffusion is made of.
#
# ## References
#
# * Goodfellow et al. 2014, *Generative Adversarial Nets*, Eq. 1, Proposition 1 and Theorem 1. Huang et al. 2024, *The GAN is dead; long live the GAN!* (the loss of `gan`).
# * Kingma, Welling 2014, *Auto-Encoding Variational Bayes*. Burda, Grosse, Salakhutdinov 2016, *Importance Weighted Autoencoders*.
# * Rezende, Mohamed 2015, *Variational Inference with Normalizing Flows*. Dinh, Sohl-Dickstein, Bengio 2017, *Density Estimation Using Real NVP*.
# * Germain et al. 2015, *MADE: Masked Autoencoder for Distribution Estimation*. Salimans et al. 2017, *PixelCNN++* (mixtures of logistics).
# * Sohl-Dickstein et al. 2015; Ho, Jain, Abbeel 2020, *Denoising Diffusion Probabilistic Models*.
# * In the ledger: `families VAE`, `families flow`, `families coupling`, `families chain`, `families GAN`, `families D*`.
