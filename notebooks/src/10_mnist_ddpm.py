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

from minidiff import Clipped, Gaussian, Schedule, bits_per_dim, ddim, ddpm, last, marginal, variational_bound
from minidiff.arrays import normal
from minidiff.bound import discretised_log_prob, step_term
from minidiff.course import check
from minidiff.estimate import stratified_bound
from minidiff.learn import NetworkDenoiser, Training, fit, read_metadata, simple_loss
from minidiff.learn.train import ema_update
from minidiff.metrics import frechet_distance
from minidiff.nn import UNet, count_parameters
from minidiff.run import build, load_classifier, mnist, pretrained, scale, weights_path

# %% [markdown]
# ## 1. The data, and what noise does to them
#
# The package carries 5,000 real MNIST digits (4,500 to train on, 500 to keep aside), so nothing is downloaded. Pixels are integers
# $k = 0 \dots 255$; we scale them to $x_0 = k/127.5 - 1 \in [-1, 1]$, so that the prior $\mathcal N(0, I)$ and the data live on
# the same scale.
#
# One thing to keep in mind throughout: *our* training below never sees the 500. But all 5,000 belong to MNIST's training set, and the
# **shipped** weights were trained on the whole of that. For them the 500 are not new. Numbers of theirs on truly unseen
# digits were measured on MNIST's test set and are read from the file.

# %% alt="Four handwritten digits, 0 to 3, at seven times. Up to t = 150 each is plain under the noise, at 300 it can just be guessed, and from 500 on all four rows are noise to the eye."
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
# **Look:** up to $t = 150$ the digit is plain, at 300 you can guess it, from 500 on the eye sees nothing. A network asked to
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
# arithmetic would be spent on black background; folded, a CPU trains nearly twice as many pictures a second.
#
# **Before you run:** the lists below show each block's output. Which blocks are at $7 \times 7$, and why do the blocks on the
# way up read more channels than those on the way down write?

# %%
net = UNet(channels=(48, 96), attention=(False, True), patch=2)
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
# **How much of the input does a corner of the output see?** The gradient of that one output pixel with respect to all inputs
# answers: it is zero exactly where the network cannot look. We compare the U-Net, without its attention, with a network of the same kind that
# stays at full resolution: twelve convolutions of $3 \times 3$. (A new network ends in zeros, so for this test every weight is filled at
# random; and the normalisation layers are taken out, for a reason that exercise 2 is about.)


# %%
def sees(network):
    """Where the gradient of the corner output pixel with respect to the input is not zero; convolutions only."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, torch.nn.GroupNorm):
                setattr(module, name, torch.nn.Identity())
    for p in network.parameters():
        torch.nn.init.normal_(p, std=0.1)
    x = torch.randn(1, 1, 28, 28, requires_grad=True)
    network(x, torch.tensor([500]))[0, 0, 0, 0].backward()
    return (x.grad[0, 0] != 0).float()


# %% alt="What the upper left corner sees, as grey pixels in a black square. With one resolution it is a smaller square in that corner, less than a quarter of the picture; with the U-Net the whole picture is grey."
flat = sees(UNet(channels=(16,), attention=(False,), blocks=1, patch=1))
deep = sees(UNet(channels=(16, 32), attention=(False, False), patch=2))
plots.images(torch.stack([flat, deep]) * 1.4 - 1, columns=2, scale=2.0, labels=["one resolution", "the U-Net"])
plt.show()
print(f"pixels that the upper left corner sees: {int(flat.sum())} = 13 x 13 and {int(deep.sum())} = 28 x 28")
assert flat.sum() == 13**2 and deep.sum() == 28**2

# %% [markdown]
# Grey is what the corner sees. Twelve convolutions reach twelve pixels to each side. The U-Net, with hardly more of them, sees all: at
# $7 \times 7$ one step is worth four pixels. The attention at that size adds a view that is not only wide but *selective*.
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

# For the minute we take a narrower network and small batches: many small steps teach more in a minute than a few big ones.

# %% tags=["nbval-ignore-output"]
torch.manual_seed(10)
small = NetworkDenoiser(UNet(channels=budget(quick=(24, 48), full=(48, 96))), schedule)
run = Training(small, steps=budget(quick=220, full=16_000), lr=budget(quick=3e-3, full=1e-3), warmup=20, ema=budget(quick=0.97, full=0.999))


def batch(generator):
    return x_train[torch.randint(0, len(x_train), (budget(quick=32, full=64),), generator=generator)], None


losses = [step.loss for step in fit(run, batch)]
print(f"loss per pixel: first 10 steps {np.mean(losses[:10]):.2f}, last 10 steps {np.mean(losses[-10:]):.3f}")

# %% alt="Left: training loss falls from 1 to about 0.1 in 220 steps, ever more slowly and with jitter. Right: on digits kept aside the loss falls with t for both networks, and the shipped weights lie below the minute's at every t, furthest at t = 1000."
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
plots.curves(axes[1], grid, curve, "t", "loss per pixel", "digits kept aside", log="xy")
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

# %% alt=["Twenty-four samples of the network trained for about a minute: bright connected patches on noisy black, as thick as pen strokes, but none of them a digit.", "Twenty-four samples of the shipped weights from the same noise: clean white strokes on black, nearly all of them digits that can be read, with one or two in doubt."]
x_T = torch.randn((24, 1, 28, 28), generator=torch.Generator().manual_seed(3))
times = schedule.times(50)
for name, model in [("trained here, about a minute", young), ("shipped weights", shipped)]:
    plots.images(last(ddim(Clipped(model), x_T, times)), columns=12, scale=0.75, title=name)
    plt.show()

# %% [markdown]
# Both start from the same noise. What the minute has taught is ink on black: patches that are bright, connected, roughly as thick as a pen stroke.
# What takes the hour is the *sentence*: that strokes must add up to one of ten signs.
#
# How a digit comes about: above $x_t$, below the network's guess of $x_0$, clipped, at that moment.

# %% alt="One digit in the making. Above, the state: noise until about t = 300, then a 6 comes out of it. Below, the guess of the clean picture: first noise, at 800 and 600 a grey cloud, at 400 already the 6, which later steps only sharpen."
path = list(ddim(Clipped(shipped), x_T[:1], times))
shown = [1, 10, 20, 25, 30, 35, 40, 45, 50]
plots.images(
    torch.cat([path[i].x_t for i in shown] + [path[i].x_0 for i in shown]), columns=9, scale=1.0, labels=[f"t = {path[i].t}" for i in shown] + [""] * 9
)
plt.show()

# %% [markdown]
# The very first guess looks like noise, and should not: with nothing to go by, the best answer in mean square is the mean of all digits. Eq. 15 says why:
# $\hat x_0 = (x_t - \sqrt{1-\bar\alpha_t}\,\hat\epsilon)/\sqrt{\bar\alpha_t}$ divides the network's small error by $\sqrt{\bar\alpha_{1000}} \approx 0.006$.
# The error comes out some 160 times larger, and the clipping only keeps it between black and white. Around $t = 700$ the mean of all digits does appear, as a grey cloud; then the guess commits itself, and late
# steps only sharpen.
#
# ## 6. A judge that is not the eye
#
# A classifier trained on real digits, never shown a generated one, gives each sample ten probabilities. If the largest is above
# 0.9 it has recognised *something*. That is a necessary condition, no more: a model that drew a single perfect 7
# again and again would pass. So we also count how often each class comes up. We sample with noise in the steps this time (`ddpm`, 50 of the 1000 times).
#
# **Before you run:** what will the judge say of the strokes of our one-minute model, which you would not call digits?

# %%
judge = load_classifier()
card = read_metadata(weights_path("mnist-classifier"))["results"]
print(f"accuracy of the judge on the 10,000 test digits of MNIST: {card['test_accuracy']:.4f}")
g = torch.Generator().manual_seed(5)
z, sets = torch.randn((64, 1, 28, 28), generator=g), {"real digits": x_test}
for name, model in [("shipped weights", shipped), ("a minute here", young)]:
    sets[name] = last(ddpm(Clipped(model), z, schedule.times(50 if model is shipped else 20), normal(g)))
for name, pictures in sets.items():
    q = torch.softmax(judge(pictures), 1)
    sure, classes = (q.amax(1) > 0.9).float().mean().item(), torch.bincount(q.argmax(1), minlength=10) / len(q)
    print(f"{name:15s} above 0.9: {sure:.1f}   most frequent class: {classes.max():.1f}   classes below 2 %: {int((classes < 0.02).sum())}")
    assert name == "a minute here" or (sure > 0.7 and classes.max() < 0.3)
x = sets["shipped weights"]

# %% [markdown]
# A classifier must answer; it has no "this is no digit". Shown strokes it may be very sure of nonsense: on its own the share above 0.9 is
# worth little, and only together with the class counts (and a look at the pictures) does it mean anything. This holds for every
# score that a network gives to another.
#
# **How far from real digits?** A distance between two *sets* of pictures: take the 128 numbers that the judge computes before its last layer, fit a Gaussian to each
# set, and measure between the Gaussians (Fréchet; with the features of one Inception network this is called FID, with ours it is not):
#
# $$d^2=\|m_1-m_2\|^2+\operatorname{Tr}\big(S_1+S_2-2(S_1S_2)^{1/2}\big).$$
#
# **Before you run:** what will come out for two sets of *real* digits, 64 each?

# %% tags=["nbval-ignore-output"]
held, others = judge.features(x_test[-64:]), judge.features(x_test[64:384])  # 64 real digits, and five more sets of them
distance = {name: frechet_distance(judge.features(pictures[:64]), held, others, rng, resamples=50) for name, pictures in sets.items()}
for name, d in distance.items():
    print(f"{name:15s} {d}")
assert 5 * max(distance["real digits"].value, distance["shipped weights"].value) < distance["a minute here"].value

# %% [markdown]
# Not zero, by far: a covariance of $128\times128$ numbers estimated from 64 points is mostly wrong, and two such estimates differ. Never read such a distance without its **floor**, the distance
# of real digits from real digits at the same $n$, and its interval. At $n=64$ the shipped model cannot be told from real digits, which says more of 64 than of the model; at $n=10{,}000$ it can, plainly: 16.6 (14.5 to 19.0) by `heun` with 9 calls, floor 3.9. Sixty-four samples also leave an error of some four per cent in the share above 0.9.
# The measurement on more was done once (`minidiff evaluate`) and is in the file with the weights, as is how they were made:

# %%
made = read_metadata(weights_path("mnist-ddpm"))
print(f"{made['steps']} steps, {made['images_seen']:,} digits seen, {made['machine']}")
measured = made["results"]["samples"]
for name in ("ddim 50", "ddpm 250", "ddpm 1000"):
    m, clear, d = measured[name], measured[name]["clear"], measured[name]["frechet"]
    print(f"{name:10s} {m['n']} samples: {clear['value']:.3f} above 0.9 {clear['interval_95']}, real digits {clear['floor']:.3f}; classes {m['classes']}")
    print(f"{'':10s} Fréchet distance {d['value']:.1f} {d['interval_95']}, floor {d['floor']:.1f}")
    assert clear["value"] > 0.85

# %% [markdown]
# **How many calls?** Notebook 08 compared samplers with an exact denoiser. Here the denoiser errs, too, and below some number of calls the network, not the solver, is what limits the picture.
#
# **Before you run:** a thousand calls with fresh noise in each (`ddpm`), or twenty without any: which will be nearer to real digits?

# %% alt="Samplers by network calls, with intervals. Left: the distance to real digits is worst at five calls, most for ddim; from ten calls on the intervals overlap, and ddpm at 1000 calls comes nearest. Right: the share of clear digits rises with the calls, and all stay below real ones."
fig, axes = plots.panel(2, width=5.2, height=3.6)
for sampler in ("ddpm", "ddim", "dpm_solver", "heun"):
    found = sorted((int(name.split()[1]), m) for name, m in measured.items() if name.split()[0] == sampler and m["n"] == 1000)
    for ax, key in zip(axes, ("frechet", "clear"), strict=True):
        value = np.array([m[key]["value"] for _, m in found])
        low, high = np.array([m[key]["interval_95"] for _, m in found]).T
        ax.errorbar([calls for calls, _ in found], value, [value - low, high - value], marker="o", capsize=2, label=sampler)
for ax, key, name in zip(axes, ("frechet", "clear"), ("Fréchet distance", "share above 0.9"), strict=True):
    ax.axhline(measured["ddim 50"][key]["floor"], color="grey", ls=":", label="real digits")
    ax.set(xscale="log", xlabel="network calls for one digit", ylabel=name, title="1000 samples of the shipped weights")
axes[0].set_yscale("log")
axes[0].legend()
plt.show()

# %% [markdown]
# **Look:** Down to some ten calls hardly anything is lost, if the solver is of second order (`heun`, `dpm_solver`); at five all fall off, first-order `ddim` most. Between 9 and 250 calls the differences are smaller than the intervals. The thousand steps of `ddpm` with fresh noise have the best value of all, 25.6 (18.5 to 37.3), perhaps because a step with noise can mend errors of those before (Karras et al. 2022). But the
# interval of nine calls of `heun`, 33.4 (25.4 to 45.9), overlaps it, at a hundredth of the price: 64 digits in about a second in place of two minutes. And no sampler comes to the share of clear digits that real ones have: here it is the network that errs.

# %% [markdown]
# **Memory?** A model that had learnt its training set by heart would pass every test above. So for some samples we look up the
# nearest of the training digits at hand.

# %% alt="Nine samples, and below each the training digit nearest to it. The pairs are alike in slant and thickness but are not copies, and some are not even the same digit: a 4 above a 9, an 8 above a 9."
distance = torch.cdist(x[:9].flatten(1), x_train.flatten(1))
nearest = x_train[distance.argmin(1)]
plots.images(torch.cat([x[:9], nearest]), columns=9, scale=0.9, title="samples, and below each its nearest of 4,500 real digits")
plt.show()
gap = torch.cdist(x_test[:200].flatten(1), x_train.flatten(1)).amin(1)
print(f"distance to the nearest training digit: samples {distance.amin(1).mean():.0f}, fresh real digits {gap.mean():.0f}")

# %% [markdown]
# Same sign, different hand; and the samples are no closer to their nearest neighbour than digits kept aside are to theirs.
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
# All $T = 1000$ terms for a few of the digits: a thousand network calls.
#
# **Before you run:** which steps cost most bits, early or late ones?

# %%
n = budget(quick=3, full=128)
b = variational_bound(shipped, x_test[:n], normal(torch.Generator().manual_seed(7)), variance="small")
parts = [bits_per_dim(part.mean().item(), 784) for part in (b.prior, b.steps.sum(0), b.decoder)]
total = bits_per_dim(b.total.mean().item(), 784)
print(f"prior {parts[0]:.5f}, steps {parts[1]:.1f}, decoder {parts[2]:.1f}, total {total:.1f} bits/dim ({n} digits)")
assert abs(sum(parts) - total) < 1e-4 and total < 8

# %% alt="Left: bits of each step over t fall in a nearly straight line on logarithmic axes and drop off after t = 600. Right: bits sent so far, from noise to digit, stay near zero until t = 300 and about half of all are spent below t = 10."
fig, axes = plots.panel(2, width=5)
times, row = np.array(b.times), bits_per_dim(b.steps.mean(1).numpy(), 784)
plots.curves(axes[0], times, {"": row}, "t", "bits/dim of the step", "where the bits are spent", log="xy")
plots.curves(axes[1], times, {"": np.cumsum(row)}, "t reached", "bits/dim sent so far", "the rate, from noise to digit", log="x")
axes[1].invert_xaxis()
plt.show()
early = row[times > 200].sum() / row.sum()
print(f"share of the steps' bits spent before t = 200: {early:.1f}")
assert early < 0.2

# %% [markdown]
# **Look:** nearly all bits are spent on the last few dozen steps, on texture no eye can see; the digit itself, settled by $t \approx 200$,
# costs next to nothing. This is why a model can have splendid samples and a modest bound: $L_\text{simple}$ was never asked to
# spend its effort where the bits are.
#
# A thousand calls for one number is a lot. The terms fall off smoothly, so cut the times into strata, draw *one* $t$ in each and weigh it by the number of times in its stratum: without bias, and
# with 17 calls (`stratified_bound`). Three models: the shipped one with either fixed variance, and `mnist-learned-variance`, trained with notebook 09's $L_\text{hybrid}$ on the cosine schedule, with more attention to the
# expensive $t$, and with sines and cosines of the pixels among its inputs, since near the data it must see differences finer than one of the 256 levels.

# %% tags=["nbval-ignore-output"]
learned, n = pretrained("mnist-learned-variance"), budget(quick=48, full=500)
models = {"fixed, small": (shipped, "small"), "fixed, large": (shipped, "large"), "learned": (learned, "learned"), "learned, clipped": (Clipped(learned), "learned")}
for name, (model, variance) in models.items():
    e = stratified_bound(model, x_test[:n], normal(torch.Generator().manual_seed(8)), np.random.default_rng(8), variance=variance)
    bits = bits_per_dim(e.total, 784)
    rest = [bits_per_dim(v.mean().item(), 784) for v in (e.prior, e.steps.sum(1), e.decoder)]
    print(f"{name:16s} {bits.mean():.2f} +- {bits.std() / n**0.5:.2f} bits/dim: prior {rest[0]:.4f}, steps {rest[1]:.2f}, decoder {rest[2]:.2f}")
assert bits.mean() < total  # the learned variance is the best of them

# %% [markdown]
# The last two lines are one network. In the last its $\hat x_0$ is kept within the range of pixels, as our samplers do. With these few digits it hardly matters. On the 10,000 test digits it made 0.13 bits: 1.317 and 1.188. **Before you run the next cell:** where on the cosine schedule could a tenth of all bits hide from most digits?
#
# At its end $\beta_T=0.999$, and the step from $T$ divides by $\sqrt{\alpha_T}=0.03$, whatever the network got wrong. With $\sigma^2\approx\beta_T$ the step costs
#
# $$L_{T-1}=\frac{\beta_T^2}{2\sigma^2\alpha_T(1-\bar\alpha_T)}\,\|\epsilon-\epsilon_\theta\|^2\approx 500\,\|\epsilon-\epsilon_\theta\|^2\quad\text{nats,}$$
#
# where $500$ is $\beta_T/2\alpha_T$. Is that what is missing?

# %%
T = learned.schedule.T
x_T = marginal(learned.schedule, x_test[:100], T).sample(torch.randn((100, 1, 28, 28), generator=torch.Generator().manual_seed(9)))
signal, noise = (float(v) for v in learned.schedule.scales(T))
costs = {}
for name, model in (("as it answers", learned), ("clipped", Clipped(learned))):
    pred = model(x_T, T)
    costs[name] = bits_per_dim(step_term(learned.schedule, pred, x_test[:100], x_T, T - 1, T, "learned").mean().item(), 784)
    error = ((pred.eps - (x_T - signal * x_test[:100]) / noise) ** 2).mean().item()
    print(f"step from t = {T}, {name:14s} {costs[name]:.5f} bits/dim; mean square error of eps {error:.6f}, 500 times it {500 * error / np.log(2):.5f} bits")
assert costs["clipped"] < 0.001 < 0.1 < costs["as it answers"]

# %% [markdown]
# An error of eps that no picture would show costs, at one step of a thousand, a tenth of the bits of the whole model. Clipping sends a wild $\hat x_0$ back into the box where the true one is, so it can only come nearer to it. But mind: that is *another model*. Its bound may be claimed
# only by those whose sampler clips, too. And mind the estimate: the last of the strata holds $t=679$ to $1000$, so it meets that step in one digit of 322. In a small sample it is not there at all, and then the unclipped network looks just as good: the error bar, itself an estimate, knows nothing of it. (The decoder goes the other way: its outermost levels reach to infinity, so that a mean beyond the edge is rewarded there, and clipping costs a hundredth of a bit.)
#
# On digits that the weights have never seen, MNIST's test set, measured once:

# %%
for name in ("mnist-ddpm", "mnist-learned-variance"):
    for variance, m in read_metadata(weights_path(name))["results"]["bits_per_dim"]["stratified"].items():
        print(f"{name:22s} {variance:15s} {m['value']:.3f} +- {m['standard_error']:.3f} bits/dim ({m['n']} test digits)")

# %% [markdown]
# For scale: on MNIST's 8-bit pixels a PixelCNN reaches about 0.81 and a simple flow about 1.08 bits/dim (UvA deep learning
# tutorials 12 and 11). Ours are bounds, not likelihoods. The learned variance is 0.6 bits better than either fixed one, and the flow of that tutorial is still a tenth of a bit ahead. Where do the 1.19 bits go? 0.36 to the decoder, 0.83 to the steps, most of these below $t=50$: into the exact grey values at the rim of a stroke.
# A diffusion model spends its capacity where its loss looks; who wants bits must ask for bits. And splendid bits are no digits: by the judge of section 6 the learned model's samples are no better than the other's.
#
# ## Exercises
#
# Replace the `...` and run both cells; the check says what is wrong, not only that something is. After a restart, first Run > Run All Above Selected Cell. A cell that ends in red has defined nothing: the check then still judges what was there before.
#
# ### Exercise 1: where the weights sit
#
# How many numbers does a residual block from $c_\text{in}$ to $c_\text{out}$ channels hold, told the time by a vector of length $e$? Two
# normalisations (a scale and a shift for each channel they see), two $3\times3$ convolutions, a linear layer from $e$ to $2c_\text{out}$, and
# a $1\times1$ convolution across if the two widths differ; every convolution and linear layer has biases. Which part is largest?

# %%
def block_parameters(c_in, c_out, e):
    ### BEGIN SOLUTION
    # The second convolution is the largest part: widths enter squared, so half the width is a quarter of the weights.
    norms = 2 * c_in + 2 * c_out
    convolutions = 9 * c_in * c_out + c_out + 9 * c_out**2 + c_out
    time = 2 * e * c_out + 2 * c_out
    across = 0 if c_in == c_out else c_in * c_out + c_out
    return norms + convolutions + time + across
    ### END SOLUTION

# %%
check("weights of a residual block", block_parameters, 48, 96, 192)

# %% [markdown]
# ### Exercise 2: what normalisation sees
#
# Leave the `GroupNorm` layers in place in section 2 and repeat the gradient picture. How many pixels
# does the flat network see now, and by what road? Is that enough to draw a digit? (The check asks for the number.)

# %%
pixels_seen = None
### BEGIN SOLUTION
# All 784: GroupNorm subtracts a mean over the whole picture and divides by a deviation, so each pixel feels every other one,
# but only through two numbers for each group of channels. That says how bright the picture is, not where the ink lies.
pixels_seen = 784
### END SOLUTION

# %%
check("reach of normalisation", pixels_seen)

# %% [markdown]
# ### Exercise 3: a network that is not told the time
#
# Replace `net.time` by a module that returns zeros, train as in section 4, and compare the two `loss_at` curves. At which $t$ should ignorance cost
# most? Write your guess down first, with a reason, and then measure. Choose from `"t = 1"`, `"t = 10"`, `"t = 100"`, `"t = 300"`, `"t = 1000"`.

# %%
dearest = None
### BEGIN SOLUTION
# Less than most people guess. After the same 220 steps we measured, with the time and without it: t = 1: 0.932, 0.974;
# t = 10: 0.577, 0.655; t = 100: 0.162, 0.170; t = 300: 0.075, 0.077; t = 1000: 0.017, 0.018. The noise level can be read off
# the picture: the black background shows the noise alone, some four hundred times. Ignorance costs most at about t = 10,
# where the noise is about as wide as the pixels' own texture.
dearest = "t = 10"
### END SOLUTION

# %%
check("price of not knowing t", dearest)

# %% [markdown]
# ### Exercise 4: no skips
#
# In the shipped network, zero the skip half of what every `up` block reads (a forward pre-hook does it). Does the loss suffer more at
# small $t$ or at large $t$? Predict from what the skips carry, then measure. Then train a network that never had them.
# Where is the shipped network without skips worse than answering zero, whose loss is 1: `"small t"`, `"large t"` or `"every t"`?

# %%
suffers = None
### BEGIN SOLUTION
# At every t. Shipped weights without skips: 2.5 instead of 0.22 at t = 1, 2.4 instead of 0.060 at t = 100, 1.06 instead of
# 0.0001 at t = 1000: worse than answering zero. It is tempting to say that the details matter at small t only. But the answer
# is the noise, and noise is a matter of single pixels at every t; at t = 1000 it is the input itself, which the skips hand
# across and the 7 x 7 middle cannot. Trained without skips from the start (220 steps, as in section 4), the loss stays at
# 0.98 for t = 1 and at 0.74 from t = 300 to 1000, where the same network with skips has 0.075 to 0.017.
suffers = "every t"
### END SOLUTION

# %%
check("skips taken away", suffers)

# %% [markdown]
# ## What to try next
#
# `minidiff train mnist-ddpm` for your own hours; `minidiff sample mnist-ddpm --sampler ddpm --steps 250` for a sheet of digits; notebook 04 again, now that you
# have seen a bound that a network pays.
#
# ## References
#
# - Ho, Jain, Abbeel 2020, *Denoising diffusion probabilistic models*: Algorithms 1-2, Eq. 5, 13, 14; appendix B (the network).
# - In the ledger: `ddpm 13`, `ddpm 14`, `ddpm 15`, `ddpm Alg. 1`, `ddpm bits/dim`.
# - Ronneberger, Fischer, Brox 2015, *U-Net*.
# - Song, Meng, Ermon 2021, *Denoising diffusion implicit models*: Eq. 12.
# - Nichol, Dhariwal 2021, *Improved DDPM*: Figure 2 (where the bits are). Karras et al. 2022, *Elucidating the design space*: section 4 (why noise helps).
# - Heusel et al. 2017 (the Fréchet distance of features); Kynkäänniemi et al. 2019 (precision and recall).
