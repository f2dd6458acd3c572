# %% [markdown]
# # 10 · How does a network learn to draw digits out of noise?
#
# Until now the denoiser was exact, or a small perceptron in the plane. Here it is a **U-Net**, and the data are handwritten
# digits: 784 dimensions, no formula for their density. Everything else stays: the same schedule, the same
# loss, the same samplers, the same bound, the same functions of `minidiff`.
#
# After this notebook you can
#
# - say what each part of a U-Net is for, and check it by looking at shapes and gradients;
# - train a DDPM, and tell from the first loss whether it is wired correctly;
# - judge samples with something better than your eye, and put a number of *bits per pixel* on the model.
#
# You need notebooks 02 (forward process), 04 (the bound), 07 (training in the plane).

# %%
from minidiff.notebook import budget, plots, setup

rng = setup(seed=10)

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch

from minidiff import Clipped, Gaussian, Schedule, bits_per_dim, ddim, last, marginal, variational_bound
from minidiff.arrays import normal
from minidiff.bound import discretised_log_prob
from minidiff.learn import NetworkDenoiser, Training, fit, read_metadata, simple_loss
from minidiff.learn.train import ema_update
from minidiff.nn import UNet, count_parameters
from minidiff.run import build, load_classifier, mnist, pretrained, scale, weights_path

# %% [markdown]
# ## 1. The data, and what noise does to them
#
# The package carries 5,000 real MNIST digits (4,500 to train on, 500 to test), so nothing is downloaded. Pixels are integers
# $k = 0 \dots 255$; we scale them to $x_0 = k/127.5 - 1 \in [-1, 1]$, so that the prior $\mathcal N(0, I)$ and the data live on
# the same scale.

# %%
digits, test = mnist("train", "embedded", quiet=True), mnist("test", "embedded", quiet=True)
x_train, x_test = scale(digits.images), scale(test.images)  # k / 127.5 - 1
schedule = Schedule.linear(T=1000)
print("training digits", tuple(x_train.shape), " test digits", tuple(x_test.shape))

ts = [0, 50, 150, 300, 500, 700, 1000]
noisy = torch.cat([marginal(schedule, x_train[:4], t).sample(torch.randn(4, 1, 28, 28)) for t in ts])
plots.images(
    noisy.reshape(7, 4, 1, 28, 28).transpose(0, 1).reshape(28, 1, 28, 28), columns=7, scale=1.0, labels=[f"t = {t}" for t in ts] + [""] * 21
)
plt.show()

# %% [markdown]
# **Look:** up to $t = 150$ the digit is plain, at 300 you can guess it, at 500 only its rough place is left. A network asked to
# undo this must do quite different things at different $t$: at small $t$ compare a pixel with its neighbours, at large $t$
# recall what digits look like as a whole. That is why it is *told* $t$, and why it needs to see near and far at once.

# %% [markdown]
# ## 2. The U-Net, block by block
#
# A convolution sees $3 \times 3$ pixels. To see everything one could stack very many of them, or make the picture smaller. A
# U-Net does the second, and then goes back up, handing the fine details across so that they need not squeeze through the
# small middle.
#
# Ours first folds the picture into $2 \times 2$ tiles ($28 \times 28 \times 1 \to 14 \times 14 \times 4$). At full resolution most of the
# arithmetic would be spent on black background; folded, a CPU trains several times more pictures a second.
#
# **Before you run:** the lists below show each block's output. Which blocks are at $7 \times 7$, and why do the blocks on the
# way up read more channels than those on the way down write?

# %%
net = UNet(channels=(32, 96), attention=(False, True), patch=2)
rows = []


def note(name):
    return lambda module, inputs, out: rows.append((name, tuple(inputs[0].shape[1:]), tuple(out.shape[1:])))


parts = [("first", net.first)] + [(f"{side} {i} {type(m).__name__}", m) for side in ("down", "middle", "up") for i, m in enumerate(getattr(net, side))]
hooks = [m.register_forward_hook(note(name)) for name, m in [*parts, ("last", net.last)]]
with torch.no_grad():
    out = net(torch.randn(1, 1, 28, 28), torch.tensor([500]))
for hook in hooks:
    hook.remove()
for name, before, after in rows:
    print(f"{name:20s} reads {before!s:15s} writes {after}")
print(f"{count_parameters(net):,} parameters; the picture comes back as {tuple(out.shape)}")
assert out.shape == (1, 1, 28, 28)

# %% [markdown]
# The `up` blocks read the sum of two widths: what comes from below, and the *skip* that the mirror-image block on the way down
# left for them.
#
# **Does one output pixel see the whole input?** The gradient of one output with respect to all inputs answers: it is zero
# exactly where the network cannot look. (A new network ends in zeros, so for this test we fill every weight at random.)


# %%
def sees(network, row=14, column=14):
    """Where the gradient of one output pixel with respect to the input is not zero."""
    for p in network.parameters():
        torch.nn.init.normal_(p, std=0.1)
    x = torch.randn(1, 1, 28, 28, requires_grad=True)
    network(x, torch.tensor([500]))[0, 0, row, column].backward()
    return (x.grad[0, 0] != 0).float()


deep = sees(UNet(channels=(32, 96), attention=(False, True)))
shallow = sees(UNet(channels=(32,), attention=(False,), blocks=1))
fig = plots.images(torch.stack([shallow, deep]) * 2 - 1, columns=2, scale=2.2, labels=["one resolution, 1 block a side", "the U-Net"])
plt.show()
print(f"share of the input that the middle pixel sees: {shallow.mean():.2f} and {deep.mean():.2f}")
assert deep.mean() == 1

# %% [markdown]
# Hmm: the shallow one also sees everything? Its normalisation layers do that: GroupNorm takes a mean over the whole picture, so
# each pixel feels every other one a little, through two numbers per group. What the coarse stage and the attention add is to
# see *where* things are. Exercise 2 takes the normalisation away and looks again.
#
# ## 3. The first loss tells whether the wiring is right
#
# The last layer starts at zero, so an untrained network predicts $\hat\epsilon = 0$ and its loss per pixel must be
# $\mathbb E\,\epsilon^2 = 1$. If a first loss is 0.4 or 30, do not train: look for the bug.

# %%
denoiser = build("mnist-ddpm")
t = torch.randint(1, 1001, (256,))
first = simple_loss(denoiser, x_train[:256], t, torch.randn(256, 1, 28, 28)) / 784
print(f"first loss per pixel: {first.mean():.2f}")
assert abs(first.mean().item() - 1) < 0.02

# %% [markdown]
# ## 4. A minute of training
#
# Algorithm 1 of DDPM: draw digits, draw $t \in \{1, \dots, T\}$, draw $\epsilon$, ask the network for it, go down the gradient. `fit`
# is a generator: it takes a step, then hands you a small record. The loop is yours, so is the list of losses.
#
# **Before you run:** will the loss fall more at small or at large $t$? (At $t = 1$ there is hardly any noise to find, at
# $t = T$ there is hardly anything else.)

# %% tags=["nbval-ignore-output"]
run = Training(denoiser, steps=budget(quick=90, full=8500), lr=2e-3, warmup=20, ema=budget(quick=0.95, full=0.999), seed=10)


def batch(generator):
    return x_train[torch.randint(0, len(x_train), (64,), generator=generator)], None


losses = [step.loss for step in fit(run, batch)]
print(f"loss per pixel: first 10 steps {np.mean(losses[:10]):.2f}, last 10 steps {np.mean(losses[-10:]):.3f}")

# %%
young = run.averaged()
grid = np.array([1, 10, 30, 100, 200, 300, 500, 700, 1000])


def loss_at(model, t):
    eps = torch.randn(100, 1, 28, 28, generator=torch.Generator().manual_seed(int(t)))
    with torch.no_grad():
        return simple_loss(model, x_test[:100], int(t), eps).mean().item() / 784


shipped = pretrained("mnist-ddpm")
curve = {"a minute here": [loss_at(young, t) for t in grid], "shipped weights": [loss_at(shipped, t) for t in grid]}
fig, axes = plots.panel(2)
plots.curves(axes[0], np.arange(len(losses)), {"loss": losses}, "step", "loss per pixel", "training", log="y")
plots.curves(axes[1], grid, curve, "t", "loss per pixel", "500 digits never trained on", log="xy")
plt.show()
assert np.mean(losses[-10:]) < 0.35 * np.mean(losses[:10])
assert all(b < a for a, b in zip(*curve.values(), strict=True))

# %% [markdown]
# **Look** at the right: the loss is largest at small $t$. It is not that the network is bad there. At $t = 1$ the noise has
# standard deviation 0.01, and what it hides in the pixels can hardly be told from the pixels' own texture: the *least
# possible* loss is near 1 (notebook 05 gives that floor in closed form for Gaussian data). Averages over $t$ hide
# this; always look at the loss against $t$.
#
# The weights we sample from are not those of the last step, but their running average
# $\bar\theta_n = d\,\bar\theta_{n-1} + (1 - d)\,\theta_n$. Unrolled, it is a weighted mean of all past weights; check it on one number.

# %%
average, model = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
values, d = [0.0, 1.0, 4.0, -2.0], 0.9
average.weight.data.fill_(values[0])
for v in values[1:]:
    model.weight.data.fill_(v)
    ema_update(average, model, d)
closed = d**3 * values[0] + (1 - d) * sum(d ** (3 - k) * values[k] for k in (1, 2, 3))
print(f"averaged by steps {average.weight.item():.4f}, closed form {closed:.4f}")
assert abs(average.weight.item() - closed) < 1e-6

# %% [markdown]
# ## 5. Samples: a minute against an hour
#
# From $x_T \sim \mathcal N(0, I)$, 50 deterministic steps (DDIM, notebook 08). The predicted $x_0$ is clipped to the range of pixels on the
# way: a wrapper around the denoiser, `Clipped`, not a flag in the sampler.

# %%
x_T = torch.randn((24, 1, 28, 28), generator=torch.Generator().manual_seed(3))
times = schedule.times(50)
for name, model in [("trained here, about a minute", young), ("shipped weights", shipped)]:
    plots.images(last(ddim(Clipped(model), x_T, times)), columns=12, scale=0.75, title=name)
    plt.show()

# %% [markdown]
# Both rows start from the same noise. What the minute has taught is stroke: bright, connected, of the right
# thickness. What takes the hour is the *sentence*: that strokes must add up to one of ten signs.
#
# How a digit comes about: above $x_t$, below the network's guess of $x_0$ at that moment.

# %%
path = list(ddim(Clipped(shipped), x_T[:1], times))
shown = [1, 10, 20, 25, 30, 35, 40, 45, 50]
plots.images(
    torch.cat([path[i].x_t for i in shown] + [path[i].x_0 for i in shown]), columns=9, scale=1.0, labels=[f"t = {path[i].t}" for i in shown] + [""] * 9
)
plt.show()

# %% [markdown]
# The first guess is close to the mean of all digits: with nothing but noise to go by, the mean is the best answer in
# mean square. As $t$ falls the guess commits itself, and late steps only sharpen.
#
# ## 6. A judge that is not the eye
#
# A classifier trained on real digits, never shown a generated one, gives each sample ten probabilities. If the largest is above
# 0.9 it has recognised *something* unmistakably. That is a necessary condition, no more: a model that drew a single perfect 7
# again and again would pass. So we also count the classes; and we measure the judge on real digits first. (The 500 test
# digits here may be among those it was trained on, see `data/README.md`; its own accuracy is the one measured on MNIST's test set.)

# %%
judge = load_classifier()
card = read_metadata(weights_path("mnist-classifier"))["results"]
print(f"accuracy of the judge on the 10,000 test digits of MNIST: {card['test_accuracy']:.4f}")
x = last(ddim(Clipped(shipped), torch.randn((100, 1, 28, 28), generator=torch.Generator().manual_seed(5)), times))
p = {name: torch.softmax(judge(images), 1) for name, images in [("samples", x), ("real", x_test), ("a minute", last(ddim(Clipped(young), x_T, times)))]}
for name, q in p.items():
    print(f"{name:9s} share with a probability above 0.9: {(q.amax(1) > 0.9).float().mean():.1f}")
counts = torch.bincount(p["samples"].argmax(1), minlength=10)
print("every digit occurs:", bool((counts > 0).all()))
assert (p["samples"].amax(1) > 0.9).float().mean() > 0.75

# %% tags=["nbval-ignore-output"]
made = read_metadata(weights_path("mnist-ddpm"))
for key in ("steps", "images_seen", "seconds", "machine", "results"):
    print(f"{key}: {made.get(key)}")

# %% [markdown]
# **Memory?** A model that had learnt its training set by heart would pass every test above. So for some samples we look up the
# nearest of the training digits at hand.

# %%
distance = torch.cdist(x[:9].flatten(1), x_train.flatten(1))
nearest = x_train[distance.argmin(1)]
plots.images(torch.cat([x[:9], nearest]), columns=9, scale=0.9, title="samples, and below each its nearest of 4,500 real digits")
plt.show()
gap = torch.cdist(x_test[:200].flatten(1), x_train.flatten(1)).amin(1)
print(f"distance to the nearest training digit: samples {distance.amin(1).mean():.0f}, fresh real digits {gap.mean():.0f}")

# %% [markdown]
# Same sign, different hand: and the samples are about as far from their nearest neighbour as fresh real digits are from theirs.
#
# ## 7. Bits per pixel
#
# The bound of notebook 04, with the network in the place of the exact denoiser and the same functions:
#
# $$L = \underbrace{L_T}_{\text{prior}} + \sum_{t=2}^{T} \underbrace{L_{t-1}}_{\text{steps}} + \underbrace{L_0}_{\text{decoder}} \;\ge\; -\log p_\theta(x_0),
# \qquad \text{bits per dimension} = \frac{L}{784 \ln 2}.$$
#
# Pixels are integers, so $L_0$ is the probability of one of 256 levels, not a density. First make sure that it *is* a
# probability: over the 256 levels it sums to one, wherever the mean lies (DDPM Eq. 13).

# %%
levels = np.arange(256) / 127.5 - 1
for mean in (0.0, 0.7, -1.0, 1.0, 1.3):
    mass = np.exp(discretised_log_prob(Gaussian(np.full(256, mean), 0.02**2), levels))
    print(f"mean {mean:4.1f}: the 256 probabilities sum to {mass.sum():.10f}")
    assert abs(mass.sum() - 1) < 1e-10

# %% [markdown]
# All $T = 1000$ terms for a few test digits: a thousand network calls.
#
# **Before you run:** which steps cost most bits, early or late ones? And with $\sigma_t^2 = \tilde\beta_t$ or $\beta_t$?

# %%
n = budget(quick=4, full=128)
x_0 = x_test[:n]
bounds = {v: variational_bound(shipped, x_0, normal(torch.Generator().manual_seed(7)), variance=v) for v in ("small", "large")}
for name, b in bounds.items():
    parts = [bits_per_dim(part.mean().item(), 784) for part in (b.prior, b.steps.sum(0), b.decoder)]
    total = bits_per_dim(b.total.mean().item(), 784)
    print(f"{name:6s} prior {parts[0]:.5f}  steps {parts[1]:.2f}  decoder {parts[2]:.2f}  total {total:.2f} bits/dim ({n} digits)")
    assert abs(sum(parts) - total) < 1e-4 and total < 8

# %%
fig, axes = plots.panel(2, width=5)
rows = {f"{k} variance": bits_per_dim(b.steps.mean(1).numpy(), 784) for k, b in bounds.items()}
plots.curves(axes[0], np.array(bounds["small"].times), rows, "t", "bits/dim of the step", "where the bits are spent", log="xy")
spent = {k: np.cumsum(v) for k, v in rows.items()}
plots.curves(axes[1], np.array(bounds["small"].times), spent, "t reached", "bits/dim sent so far", "the rate, from noise to digit", log="x")
axes[1].invert_xaxis()
plt.show()

# %% [markdown]
# **Look:** nearly all bits are spent on the last few dozen steps, on texture no eye can see; the digit itself, settled by $t \approx 200$,
# costs next to nothing. This is why a model can have splendid samples and a modest bound: $L_\text{simple}$ was never asked to
# spend its effort where the bits are.
#
# For scale: on MNIST's 8-bit pixels a PixelCNN reaches about 0.81 and a simple flow about 1.08 bits/dim (UvA deep learning
# tutorials 12 and 11). Our number is a bound, not a likelihood, from a model trained on another loss, and here on few
# digits; notebook 09 shows what learning the variances and the bound itself does for it.
#
# ## Exercises
#
# 1. **A network that is not told the time.** Replace `net.time` by a module that returns zeros and train for a minute.
#    Compare the two `loss_at` curves. At which $t$ does ignorance cost most? Why not at the ends?
# 2. **What sees where?** Replace every `GroupNorm` by `torch.nn.Identity()` in both networks of section 2 and repeat the gradient
#    picture. How many pixels does the shallow one see now? Count them by hand from its convolutions.
# 3. **No skips.** Zero the skip half of the input of every `up` block (a forward pre-hook does it) in the shipped network.
#    Does the loss suffer more at small $t$ or at large $t$? Predict first.
# 4. **The cost of one level.** How many bits per pixel would the decoder of a perfect model need if $x_1$ differed from $x_0$ by noise of
#    standard deviation 0.01 and nothing else were known? Compare with the decoder's share above.

# %% [markdown]
# <details><summary>Solutions</summary>
#
# 1. In the middle. At $t \approx T$ the best answer is nearly $x_t$ itself whatever $t$; at small $t$ the noise level can be read off the black background.
#    In between the network must guess how much of what it sees is signal.
# 2. The shallow network has `first`, four residual blocks of two convolutions and `last`: ten $3 \times 3$ convolutions reach 10 tiles to each side,
#    more than the 14 x 14 map holds on one side of the middle (7), so the middle pixel still sees all; the corner pixel does not: it sees
#    $11 \times 11$ tiles, and the folding makes that $22 \times 22$ pixels.
# 3. At small $t$: there the answer needs single pixels, and those come across the skips only.
# 4. The bin has width $2/255 \approx 0.0078$, the noise 0.01: the entropy of the rounded Gaussian is about $\log_2(0.01\sqrt{2\pi e}/0.0078) \approx 2.4$ bits
#    if the true pixel were uniform between levels; on the black background the edge bin is open and costs almost nothing.
#
# </details>
#
# ## Where to go next
#
# `make lab`, then `minidiff train mnist-ddpm` for your own hour; notebook 11 for guidance, inpainting and super-resolution; 08 for fewer steps.
#
# ## References
#
# - Ho, Jain, Abbeel 2020, *Denoising diffusion probabilistic models*: Algorithms 1-2, Eq. 5, 13, 14; appendix B (the network).
# - Ronneberger, Fischer, Brox 2015, *U-Net*.
# - Song, Meng, Ermon 2021, *Denoising diffusion implicit models*: Eq. 12.
# - Nichol, Dhariwal 2021, *Improved DDPM*: Figure 2 (where the bits are).
