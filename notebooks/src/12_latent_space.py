# %% [markdown]
# # 12 · How many numbers does a picture need, and which ones can be left out?
#
# A photograph of $32\times32$ pixels has 3,072 numbers. A diffusion model in pixels spends its network, at every one of its steps, on all of them, the grain of the lawn as much as the outline of the horse. Latent diffusion (Rombach et al. 2022) says: first learn, once, a *smaller map of numbers* that stands for the picture, then diffuse there.
# Everybody has heard that this is why pictures can be made on one graphics card. Here we ask what it costs. How many numbers, for which error? Better than what? And which part of a picture is it that pays?
#
# **When you have worked through it you can**
# * count what a factor $f=H/h$ saves in operations, and say why it is nearly, but not quite, $f^2$,
# * build an encoder and a decoder block by block, and name every term of their loss,
# * judge an autoencoder against the honest linear baseline, by PSNR and by what a classifier still sees,
# * say what the KL term does at weight $10^{-6}$, and what a codebook does instead,
# * measure the scale of a latent space and show what happens without it,
# * see in a spectrum which frequencies were left out.
#
# You need notebooks 01, 02 and 10. The weights ship with the course; one small autoencoder is trained here. The quick profile uses the 2,000 pictures that ship, the full one all 60,000 if they are there.

# %%
from minidiff.notebook import budget, plots, setup

rng = setup(seed=12)
import matplotlib.pyplot as plt
import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode
from minidiff import Gaussian, Schedule
from minidiff.course import check
from minidiff.learn import FirstStage, NetworkDenoiser, Training, Weights, descend, first_stage_objective, first_stage_terms, fit
from minidiff.metrics import sliced_wasserstein
from minidiff.nn import MLP, UNet, blocks, count_parameters
from minidiff.nn.autoencoder import Autoencoder, ConvBlock, straight_through, vq_loss
from minidiff.nn.discriminator import PatchDiscriminator, fooled, hinge
from minidiff.nn.linear import Principal
from minidiff.notebook.card import kept
from minidiff.run import cifar10, load_classifier, load_latent_space, scale
from minidiff.run.reconstruction import code_use, psnr, ssim

# %% [markdown]
# ## 1. What does a pixel cost?
#
# A convolution does the same work at every place of the map. Halve height and width and a quarter of the work is left: cost $\propto1/f^2$. Attention compares every place with every other: $\propto1/f^4$. A U-Net has both.
#
# **Before you run:** the same U-Net, the same weights, told maps of $32^2$, $16^2$, $8^2$ and $4^2$ places. How much cheaper is the last than the first? (A map half as wide is a quarter of the cost: three halvings, $64$ times. Will it be more or less?)

# %%
def operations(run):  # a product and its sum count as two; attention by its formula
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()

unet = UNet(4, 4, (64, 128, 128), attention=(False, True, True), patch=1)
cost = {size: operations(lambda size=size: unet(torch.zeros(1, 4, size, size), torch.full((1,), 500))) for size in (32, 16, 8, 4)}
print(f"the same U-Net, {count_parameters(unet):,} weights:")
for size, c in cost.items():
    print(f"  {size:2d} x {size:2d} places: {c / 1e6:7.1f} MFLOP a call, 1 / {cost[32] / c:.1f}")
print(f"each halving divides the cost by {', '.join(f'{cost[2 * s] / cost[s]:.2f}' for s in (16, 8, 4))}")
assert 4 < cost[32] / cost[16] < 5 and 3 < cost[8] / cost[4] < 4

# %% [markdown]
# More than four at first, where attention counts, and less at the end, where what does not depend on the size (the layers that are told the time) counts. Three halvings save a factor of about sixty. *That* is the offer. Now the price.
#
# ## 2. The honest baseline: the best linear code
#
# Before any network: a picture $x$ is a vector of $D=3072$ numbers. Keep $k$ numbers $z=A^\top(x-m)$ with orthonormal columns $A$, and rebuild $\hat x=m+Az$. What is lost is the part of $x-m$ that is orthogonal to $A$, so with $C$ the covariance of pictures
#
# $$\mathbb{E}\|x-\hat x\|^2=\operatorname{tr}C-\operatorname{tr}A^\top CA ,$$
#
# smallest when the columns are the $k$ eigenvectors with the largest eigenvalues (Eckart and Young 1936), and then it is the sum of the other eigenvalues. These are *principal components*, and they need one line of linear algebra. A network that does not beat them has learned nothing.
#
# We measure $\text{PSNR}=10\log_{10}(4/\text{mean squared error})$ in dB (pixels run from $-1$ to $1$, so the peak is 2): 10 dB are a factor of 10 in squared error; 20 dB look rough, 30 dB good, 40 dB perfect.
#
# **Before you run:** how many of the 3,072 directions give 20 dB?

# %%
source = budget(quick="embedded", full="auto")
train, test = cifar10("train", source, quiet=True), cifar10("test", source, quiet=True)
x_train, x_test = (scale(p.images[: budget(quick=1500, full=20_000)]) for p in (train, test))
y_test = torch.from_numpy(test.labels[: len(x_test)].astype(np.int64))
linear = Principal.fit(x_train, 1024)
variances = linear.encode(x_train).mean.flatten(1).double().var(0, unbiased=False)
total = (x_train - x_train.mean(0)).double().square().flatten(1).sum(1).mean()
pca = {}
for k in (16, 64, 256, 1024):
    some = linear.first(k)
    lost, there = (((x - some.decode(some.encode(x).mean)).double() ** 2).flatten(1).sum(1).mean() for x in (x_train, x_test))
    assert abs(lost - (total - variances[:k].sum())) < 1e-4 * total  # the eigenvalues that were left out
    pca[k] = psnr(some.decode(some.encode(x_test).mean), x_test).mean().item()
    print(f"k = {k:4d}: {float(variances[:k].sum() / total):6.1%} of the variance kept, test pictures {pca[k]:.1f} dB, {3072 / k:.0f} times fewer numbers")

# %% [markdown]
# Natural pictures are smooth: 16 numbers hold seven tenths of the variance. (Fitted on 20,000 pictures and measured on all 10,000 of the test set, 64 numbers reach 21.4 dB, 256 reach 26.6, 1,024 reach 37.6. With the 1,500 pictures that ship, large $k$ suffer: there are hardly more pictures than directions.) The latents that we are about to learn have
# $4\times(32/f)^2$ numbers: 1,024 for $f=2$, 256 for $f=4$, 64 for $f=8$. (At $f=1$ we give them three channels, 3,072 numbers: as many as the picture has. Nothing *need* be lost there.)
#
# ## 3. An encoder, block by block
#
# Nothing new is needed. Fold $2\times2$ pixels into channels (as the U-Net of notebook 10 does); convolve in a residual block; halve by a convolution of stride 2; convolve again; and answer, at each place of the small map, with $2c$ numbers: a mean and a log-variance for each of $c$ channels. The decoder is the same thing backwards.
#
# **Before you run:** one number of the latent for $f=4$ sits on a $4\times4$ tile of pixels. How large is the square of pixels that it can *see*?

# %%
torch.manual_seed(0)
small = Autoencoder(factor=4, z_channels=4, channels=(32, 64), blocks=1)
h = x_test[:1]
print(f"{'picture':32s} {tuple(h.shape[1:])}")
for layer in small.encoder.layers:
    h = layer(h)
    if isinstance(layer, (torch.nn.PixelUnshuffle, torch.nn.Conv2d, ConvBlock, blocks.Downsample)):
        print(f"{type(layer).__name__:32s} {tuple(h.shape[1:])}")
mean, log_var = h.chunk(2, dim=1)
q = small.encode(x_test[:1])
assert torch.equal(q.mean, mean) and torch.allclose(q.var, log_var.exp())

# %%
x = x_test[:1].clone().requires_grad_()
for norm in (m for m in small.encoder.modules() if isinstance(m, torch.nn.GroupNorm)):
    norm.forward = lambda h: h  # group norm looks at the whole map; by the convolutions alone:
small.encode(x).mean[0, 0, 4, 4].backward()
rows = x.grad[0].abs().sum((0, 2)).nonzero().flatten()
print(f"a latent number sees {len(rows)} x {len(rows)} pixels and stands for 4 x 4")
torch.manual_seed(0)
small = Autoencoder(factor=4, z_channels=4, channels=(32, 64), blocks=1)

# %% [markdown]
# From the middle it sees the whole picture. That is what lets it say "edge of a wheel" instead of "these sixteen pixels are dark".
#
# ## 4. The loss, term by term
#
# $$\underbrace{\|x-\hat x\|^2}_{\text{reconstruction}}+\lambda_{\rm KL}\,\underbrace{\mathrm{KL}\big(q(z\mid x)\,\|\,\mathcal N(0,I)\big)}_{\text{regulariser}}+\lambda_{\rm p}\underbrace{\|\phi(x)-\phi(\hat x)\|^2}_{\text{perceptual}}+\lambda_{\rm a}\underbrace{\big(-D_\psi(\hat x)\big)}_{\text{adversarial}},\qquad \hat x=\mathcal D(z),\ z\sim q(z\mid x).$$
#
# * The **regulariser** is notebook 01's $\frac12\sum(\mu^2+\sigma^2-1-\ln\sigma^2)$. With weight 1 this would be the bound of a VAE. Latent diffusion takes $\lambda\approx10^{-6}$: hardly any pull. It only keeps the latent from running away, and the noise of $q$ makes the decoder smooth.
# * The **perceptual** term compares features $\phi$ of a frozen classifier (here: ours, of CIFAR-10), each place's channels scaled to length 1 (Zhang et al. 2018). It asks whether the same things are *seen*.
# * The **adversarial** term lets a small network $D_\psi$ judge patches. It comes late, when the rest is good, or it spoils everything. The weights that ship were trained without it: `train.adversarial` and `train.late` turn it on.
#
# Two players and one optimiser: the decoder goes down on $-D_\psi(\hat x)$, the discriminator on $\max(0,1-D_\psi(x))+\max(0,1+D_\psi(\hat x))$ (a hinge: being right by more than 1 earns nothing). Each term must reach one of them only. **Before you run:** let $p$ and $q$ be the densities of real and of made patches at a point. Which score is best for the hinge where $p>q$?

# %%
torch.manual_seed(0)
critic, picture = PatchDiscriminator(8), x_test[1:2].clone().requires_grad_()
fooled(critic, picture).sum().backward()
print(f"-D: gradient on the picture {bool(picture.grad.abs().sum() > 0)}, on the discriminator {any(p.grad is not None for p in critic.parameters())}")
assert picture.grad.abs().sum() > 0 and all(p.grad is None for p in critic.parameters())
picture.grad = None
hinge(critic, x_test[:1], picture).sum().backward()
print(f"hinge: gradient on the picture {picture.grad is not None}, on the discriminator {all(p.grad is not None for p in critic.parameters())}")
assert picture.grad is None and all(p.grad is not None for p in critic.parameters())
scores = np.linspace(-3, 3, 601)
for p, q in ((0.9, 0.1), (0.2, 0.3)):
    cost_of = p * np.maximum(0, 1 - scores) + q * np.maximum(0, 1 + scores)
    print(f"p = {p}, q = {q}: best score {scores[cost_of.argmin()]:+.0f}, which costs {cost_of.min():.1f} = 2 min(p, q)")
    assert np.isclose(cost_of.min(), 2 * min(p, q))

# %% [markdown]
# The best score is $\pm1$, whichever density is the larger, and what remains, $2\min(p,q)$, is smallest when the two laws differ most: the discriminator measures how much they overlap.
#
# Now train 80 steps with the code that made the weights that ship. **Before you run:** after 80 steps of 16 pictures, will a network of 200,000 weights beat the linear code of 256 numbers?

# %% tags=["nbval-ignore-output"]
stage = FirstStage(small)
x, noise = x_test[:64], torch.randn(64, 4, 8, 8, generator=torch.Generator().manual_seed(0))
before = first_stage_terms(stage, x, noise)
q, one = small.encode(x), torch.Generator().manual_seed(1)
z = q.mean + q.var.sqrt() * torch.randn((4000, *q.mean.shape[1:]), generator=one)[:, None]  # Monte Carlo over z, for each picture
log_ratio = (Gaussian(q.mean, q.var).log_prob(z) - Gaussian(torch.zeros_like(q.mean), 1.0).log_prob(z)).flatten(2).sum(2)
error = log_ratio.std(0) / len(z) ** 0.5
assert torch.all((log_ratio.mean(0) - before["regulariser"]).abs() < 5 * error)
print("the KL term agrees with Monte Carlo over z, for each of 64 pictures, within 5 standard errors")

def batch(g):
    return scale(train.images[torch.randint(0, len(train), (16,), generator=g).numpy()]), None
training = Training(stage, steps=budget(quick=80, full=3000), lr=2e-3, warmup=20, ema=0.99)
for step in descend(training, first_stage_objective(training, batch, Weights(regulariser=1e-6))):
    if step.step % (training.steps // 4) == 0:
        print(f"step {step.step}: loss per pixel {step.loss:.4f}")
made = training.average(x_test[:500])
print(f"test pictures: {psnr(made.clamp(-1, 1), x_test[:500]).mean():.1f} dB; 256 principal components {pca[256]:.1f} dB, 16 of them {pca[16]:.1f} dB")

# %% [markdown]
# Not yet. The best linear code is a serious opponent: it is *exactly* optimal in its class, from one eigendecomposition. The network's advantage is that its code need not be linear and that its few weights serve every place alike. It takes some thousand steps to pay.
#
# ## 5. Rate and distortion: f = 1, 2, 4, 8
#
# These ship, trained on 50,000 pictures, each with the perceptual term at weight 0.03. What they keep of 10,000 test pictures stands in the weights; `kept` reads it. Beside PSNR: SSIM (structure in small windows), how often our classifier sees *the same class* as in the original, and the Fréchet distance of its features between reconstructions and the same originals.
#
# **Before you run:** which of these numbers will tell $f=4$ from the linear code of as many numbers most clearly?

# %%
stages = {f: load_latent_space(f"cifar-autoencoder-f{f}") for f in (1, 2, 4, 8)}
judge = load_classifier("cifar-classifier")
n = budget(quick=300, full=5000)
x, seen = x_test[:n], judge(x_test[:n]).argmax(1)
rebuilt = {f"f = {f}": torch.cat([s.decode(s.encode(part).mean).clamp(-1, 1) for part in x.split(100)]) for f, s in stages.items()}
rebuilt |= {f"{k} linear": linear.first(k).decode(linear.first(k).encode(x).mean).clamp(-1, 1) for k in (1024, 256, 64)}
numbers = {f"f = {f}": s.encode(x[:1]).mean.numel() for f, s in stages.items()} | {f"{k} linear": k for k in (1024, 256, 64)}
print(f"{n} test pictures here        numbers     dB   SSIM   same class seen")
found = {}
for name, y in rebuilt.items():
    found[name] = psnr(y, x).mean().item(), ssim(y, x).mean().item(), (judge(y).argmax(1) == seen).double().mean().item()
    print(f"{name:26s} {numbers[name]:9d}   {found[name][0]:4.1f}   {found[name][1]:.2f}   {found[name][2]:15.0%}")
assert found["f = 4"][0] > found["256 linear"][0] - 0.5 and found["f = 4"][2] > found["256 linear"][2] + 0.1

# %% alt="Ten photographs and what five codes keep of them. At f = 2 there is hardly a difference; at f = 4 lettering and fur are smoothed; 256 linear numbers leave coloured speckle; f = 8 is soft but things can be known; 64 linear numbers are a blur."
print("10,000 test pictures         dB    SSIM   same class   Fréchet distance   latent std")
for f in (1, 2, 4, 8):
    k = kept(f"cifar-autoencoder-f{f}")
    print(f"f = {f}, {k['numbers']:4d} numbers      {k['psnr']:5.1f}   {k['ssim']:.3f}   {k['kept_label']:10.1%}   {k['frechet']:16.1f}   {k['latent_std']:10.2f}")
plots.images(torch.cat([x[:10], *(rebuilt[name][:10] for name in ("f = 2", "f = 4", "256 linear", "f = 8", "64 linear"))]), columns=10,
             title="original; f = 2; f = 4; 256 linear; f = 8; 64 linear")
plt.show()

# %% [markdown]
# **See.** Start at the top: $f=1$ need not lose anything, and after 4,000 steps it still loses something, 39 dB. An autoencoder is a network that was trained for a while, not a projection.
#
# Did you guess PSNR? It hardly tells $f=4$ from the linear code. Over all 10,000 test pictures $f=4$ has 26.9 dB and 256 principal components have 26.6; $f=8$ has 21.8, and 64 components 21.4. At $f=2$ the autoencoder *loses*, 35.1 dB against 37.6 for 1,024 components, and in what is seen too: so many numbers are enough for a linear code, which is at its optimum at once, while the network was trained for eight minutes. Were squared error all that counts, nobody would need it.
#
# But ask what is still *seen*. Rebuilt from 256 linear numbers, little more than half of the pictures are taken for what they were; from the 256 of the network, four in five. From 64 linear numbers one in five; from 64 learned ones more than half. The linear code spends its numbers on what is large, the learned one on what is noticed, because the perceptual term told it to. Trained for as many steps without that term, $f=4$ has
# 27.1 dB, 0.2 more than now, but keeps only 56 % of the classes, and the Fréchet distance of its reconstructions is 78 instead of 15: hardly better than the linear code. **The better PSNR belongs to the worse pictures.** (A caution: the classifier that judges is the one that taught. A judge of another kind would be kinder to the linear code.)
#
# And which would you rather diffuse? The ones that reconstruct best, $f=1$ and $f=2$, have twelve and four times as many numbers to get right as $f=4$. The next notebook has the answer.
#
# ## 6. Look at the latents
#
# A latent of $f=4$ is a map of $8\times8$ places with four channels. **Before you run:** would you know the picture from its map? And is $z$ standard normal, as the KL term "wants"?

# %% alt="Eight photographs in grey, and below each the four channels of its latent as 8 by 8 tiles. Outlines can be found again, such as the horse's, in some channels bright and in one dark; other tiles say little to the eye."
space = stages[4]
q = space.encode(x_test[:n])
z, std = q.mean, q.var.sqrt()
print(f"scale {space.scale:.3f}: one over the standard deviation of raw latents, measured in training")
print("scaled, by channel: mean", z.mean((0, 2, 3)).numpy().round(2), " std", z.std((0, 2, 3)).numpy().round(2), " noise of q", std.mean((0, 2, 3)).numpy().round(3))
kl = Gaussian(z / space.scale, (std / space.scale) ** 2).kl(Gaussian(torch.zeros_like(z), 1.0)).flatten(1).sum(1).mean()
print(f"KL(q || N(0, I)): {kl:.0f} nats a picture, {kl / 256:.1f} a number")
left, right, below = z[..., :-1], z[..., 1:], z[..., 1:, :]
near = [np.corrcoef(left[:, c].flatten(), right[:, c].flatten())[0, 1] for c in range(4)]
print("correlation of neighbours, by channel:", np.round(near, 2))
assert 0.8 < z.std() < 1.2 and kl / 256 > 1
maps = torch.cat([x_test[:8].mean(1, keepdim=True), torch.nn.functional.interpolate((z[:8] / 3).transpose(0, 1).reshape(-1, 1, 8, 8), scale_factor=4)])
plots.images(maps, columns=8, title="eight pictures in grey, and their four channels")
plt.show()

# %% [markdown]
# **See.** You would know some of them: the outline of the horse is there, in two channels bright, in one dark. A latent is a *small picture of features*, not a code in which every number means something to every pixel: that is why a convolutional U-Net, made for pictures, can work on it. Neighbours are correlated, but far less than neighbouring pixels are (above 0.9): what can be foretold
# from the neighbour has been taken out.
#
# And it is not standard normal. The noise of $q$ has a standard deviation of about a thousandth, and the KL divergence to $\mathcal N(0,I)$ is almost 8 nats a number: at weight $10^{-6}$ the "KL-regularised" autoencoder is, for all purposes, a plain one whose latents have been kept from running away. Nobody could sample it by drawing $z\sim\mathcal N(0,I)$, as one samples a VAE. The diffusion model is the prior that is missing.
#
# **Explore: a walk.** Two photographs, `first` and `second`, and three ways from one to the other: their pixels blended; their latents blended (*straight*); and the latent *turned* from one to the other so that its length is kept (*spherical*). On the right, the contrast (how much neighbouring pixels differ) at each stop.
#
# **Before you run:** half-way from an aeroplane to a car, what will the decoder draw: some third vehicle? Which of the three ways turns pale in the middle, and how pale, if the two pictures have nothing to do with each other?

# %%
from minidiff.notebook.latent_widgets import latent_explorer

explorer = latent_explorer({f"f = {f}": s for f, s in stages.items()}, x_test[:24])
explorer

# %%
for name in ("f = 8", "f = 4"):
    explorer.controls.space.value = name  # what a hand on the controls does
    print(f"{name}: {explorer.text}")
a, b = x_test[:100], x_test[100:200]
blend = (a + b) / 2
print("half-way in 100 pairs          dB to the blend of pixels   the blend itself, encoded and decoded")
for f, s in stages.items():
    halfway, itself = s.decode((s.encode(a).mean + s.encode(b).mean) / 2), s.decode(s.encode(blend).mean)
    near, best = (psnr(y.clamp(-1, 1), blend).mean().item() for y in (halfway, itself))
    print(f"f = {f} {near:51.1f} {best:39.1f}")
    assert best - 2 < near < best + 1

# %% [markdown]
# **See.** A double exposure, the plane on the car, in the latents as in the pixels. A straight line in this latent space *is* the blend of pixels: half-way it comes within about 1.5 dB as near to it as the autoencoder can draw it at all. An encoder that must keep everything about a picture of any kind has no reason to bend the road, and at $f=8$ it has not bent it either. What lies half-way between two photographs is not a photograph, and the decoder cannot know that: nobody has told it what photographs are.
#
# The contrast falls to about 0.7. The mean of two independent numbers has half their variance, $1/\sqrt2$ of their deviation, for pixels and latents alike. The turn keeps the length, and it keeps the contrast: the *length* of a latent is how strong the picture is. But it is the same double exposure, only stronger. For a walk on which every stop is a picture, walk where all points are alike, in the noise $x_T$, and let the diffusion model do the decoding (notebook 11, section 8).
#
# ## 7. Why the scale must be measured
#
# A schedule decides how much noise is how much *relative to data of variance 1*. Latents of variance $s^2$ have signal-to-noise ratio $s^2\,\bar\alpha_t/(1-\bar\alpha_t)$: the whole schedule is shifted, by $2\ln s$. With Gaussian latents, the best $\epsilon$-loss becomes $\bar\alpha_ts^2/(\bar\alpha_ts^2+1-\bar\alpha_t)$ per number (`latent 1-2` in the ledger).
# Small latents drown at once, and the network spends nearly all its levels on nothing but noise; large ones are still there at $t=T$, where the sampler starts from pure noise that the network has never met.
#
# Train with and without: the two moons, as they are and shrunk and blown up, the same small network and steps for all. Samples are scaled back before they are judged. **Before you run:** which is worse, ten times too small or ten times too large?

# %% tags=["nbval-ignore-output"]
from minidiff.sample import heun, last
from minidiff.toy import moons

real, more = moons(6000, rng), moons(6000, rng)
real, more = ((p - p.mean(0)) / p.std() for p in (real, more))
schedule, n_moons, quality, shown = Schedule.cosine(200), budget(quick=1000, full=2000), {}, {"real": real[:1500]}
for s in (0.1, 1.0, 10.0):
    torch.manual_seed(0)
    model, cloud = NetworkDenoiser(MLP(2, 2, 96, 3), schedule, "v"), torch.from_numpy(s * real).float()
    training = Training(model, steps=budget(quick=500, full=5000), lr=5e-3, warmup=50, ema=0.99)
    for _ in fit(training, lambda g, cloud=cloud: (cloud[torch.randint(0, len(cloud), (256,), generator=g)], None)):
        pass
    start = torch.randn(n_moons, 2, generator=torch.Generator().manual_seed(1))
    y = last(heun(training.averaged(), start, schedule.times(40))).double().numpy() / s
    quality[s] = sliced_wasserstein(y, more[:n_moons], more[n_moons : 2 * n_moons], rng, resamples=50)
    shown[f"std {s:g}"] = y[:1500]
    print(f"latents of standard deviation {s:4g}: distance {quality[s].value:.3f}, real against real {quality[s].floor:.3f}")

# %% alt="Two moons, and samples of a diffusion model whose latents had std 0.1, 1 and 10. At 1 the moons are there, with a few points between; at 0.1 there is a shapeless cloud; at 10 the points have left the moons for thin arcs at the edges."
plots.points(shown, limit=2.4)
plt.show()
assert quality[1.0].value < min(quality[0.1].value, quality[10.0].value)

# %% [markdown]
# **See.** Ten times too large is a catastrophe: at $t=T$ the training data are still there beneath the noise, the sampler starts without them, and never finds its way back. Ten times too small is only bad: the network's levels are wasted where nothing is to be seen, and the last steps have to do everything. The latents of our four autoencoders have standard deviations between 0.6 and 1.3 by themselves, so here
# forgetting the scale would nearly be forgiven. The ones of Stable Diffusion have about 5.5 (hence its constant 0.18215): there it is not. A number that depends on the weights belongs to the weights. `LatentSpace.measure` computes it, and the file keeps it.
#
# ## 8. KL or codebook?
#
# The other way to keep a latent in bounds: allow only $K$ vectors. Each place of the map is replaced by the nearest of $K=512$ codes (van den Oord et al. 2017), and the index of a code is all the decoder hears: $\log_2512=9$ bits a place. "Nearest" has no slope, so the gradient is passed *straight through*: $z+\mathrm{sg}(z_q-z)$ has the value of $z_q$ and the gradient of $z$.
# Two more terms move the codes to the latents and the latents to their codes: $\|\mathrm{sg}(z)-e\|^2+\beta\|z-\mathrm{sg}(e)\|^2$.
#
# **Before you run:** $L=\|z_q\|^2$ for $z_q=\mathrm{straight\_through}(z, e)$, with $z=0.3$, $e=0.5$. What is $\partial L/\partial z$? And how many bits hold one picture at $f=4$?

# %%
z_, e = torch.tensor([[0.3]], requires_grad=True), torch.tensor([[0.5]], requires_grad=True)
straight_through(z_, e).square().sum().backward()
print(f"dL/dz = {z_.grad.item():.1f} = 2 e, taken at the code and handed to z; dL/de = {e.grad}")
assert z_.grad.item() == 1.0 and e.grad is None
z_.grad = None
vq_loss(z_, e, beta=0.25).sum().backward()
print(f"of the codebook's loss: dL/de = {e.grad.item():.2f} = 2 (e - z), dL/dz = {z_.grad.item():.2f} = 2 beta (z - e)")
assert np.allclose([e.grad.item(), z_.grad.item()], [0.4, -0.1])

# %% alt="Ten photographs, the KL autoencoder and the one with a codebook. Both are a little softer than the original; the codebook's lose more: lettering, fur and wheels are rubbed out, while shapes and colours stay."
vq = load_latent_space("cifar-autoencoder-vq-f4")
y, book = vq.decode(vq.encode(x).mean).clamp(-1, 1), vq.autoencoder.codebook
with torch.no_grad():
    raw = vq.autoencoder.encode(x[:8]).mean
    by_hand = ((raw.movedim(1, -1)[..., None, :] - book.codes) ** 2).sum(-1).argmin(-1)  # every distance, written out
    assert (book.nearest(raw) == by_hand).double().mean() > 0.99
use = code_use(vq.autoencoder, x)
print(f"codes used by {n} pictures: {use['codes_used']:.0%}, perplexity {use['perplexity']:.0f} of 512: {64 * np.log2(use['perplexity']):.0f} bits a picture of {8 * 3072}")
for name in ("cifar-autoencoder-f4", "cifar-autoencoder-vq-f4"):
    k = kept(name)
    print(f"{name:24s} {k['psnr']:.1f} dB, SSIM {k['ssim']:.2f}, same class {k['kept_label']:.0%}, Fréchet distance {k['frechet']:.1f} (10,000 test pictures)")
plots.images(torch.cat([x[:10], rebuilt["f = 4"][:10], y[:10]]), columns=10, title="original, KL, VQ")
plt.show()

# %% [markdown]
# **See.** A codebook makes the latent a list of 64 words, and its bits can be counted: about 560 for a picture of 24,576. For so few it does well; it is worse than the KL one by two and a half decibels, which tells itself a number with a noise of a thousandth at each of 256 places: some ten bits each, if one counts them. (It was also trained for fewer steps, 2,500 against 4,000.) The weakness of codebooks is that a code which no place chooses never moves: most of one can die in the
# first hundred steps. `Codebook.revive` puts dead codes where latents are, and here nearly all are alive. For diffusion the quantisation belongs to the decoder (Rombach et al., section 3.1): the model works on the vectors *before* they are quantised, and the decoder forgives what falls short of a code.
#
# ## 9. What is lost
#
# The mean squared error says how much, not what. Take the discrete Fourier transform of each channel and add up $|\hat x(k)|^2$ over all waves of equal $|k|$ (in waves per picture): the *power spectrum*. Natural pictures have little power in fine waves, so losing them costs little squared error. **Before you run:** at which $|k|$ does each reconstruction stop following the original, and where is that in relation to its map's own finest wave, $16/f$?

# %%
def spectrum(x):  # mean power of waves with |k| in [b, b + 1), b = 1..15
    power = torch.fft.fft2(x.double(), norm="ortho").abs().square().mean((0, 1))
    k = torch.fft.fftfreq(32) * 32
    radius = (k[:, None] ** 2 + k**2).sqrt().floor()
    return np.array([power[radius == b].mean().item() for b in range(1, 16)])

reference = spectrum(x)
shares = {name: spectrum(rebuilt[name]) / reference for name in ("f = 1", "f = 2", "f = 4", "f = 8")}
coherent = {name: 1 - spectrum(rebuilt[name] - x) / reference for name in shares}

# %% alt="Left: power spectra fall together and part at the fine end. Middle and right, over waves a picture: f = 1 keeps nearly all, f = 2 drops only at the finest, f = 4 falls off from 7 or 8 waves on, f = 8 from 4 on; less of it is right than is there."
fig, axes = plots.panel(3, width=3.9)
waves = np.arange(1, 16)
plots.curves(axes[0], waves, {name: share * reference for name, share in shares.items()} | {"original": reference}, "|k|, waves a picture", "power", "power spectrum", log="xy")
plots.curves(axes[1], waves, shares, "|k|", "power / original", "how much is there")
plots.curves(axes[2], waves, coherent, "|k|", "1 - power of the error / original", "how much is right")
axes[0].legend(fontsize=8)
_ = [a.get_legend().remove() for a in axes[1:]]  # the same colours
plt.show()
half = {name: next((int(k) for k, c in zip(waves, values, strict=True) if c < 0.5), None) for name, values in coherent.items()}
print("first |k| of which less than half is right:", half)
assert half["f = 8"] < half["f = 4"] and all(c > 0.9 for c in (coherent["f = 4"][0], coherent["f = 2"][3]))

# %% [markdown]
# **See.** Each curve follows the original up to an edge and falls off it: near $|k|=8$ for $f=4$, near 4 for $f=8$. That is *twice* the finest wave of the map itself, $16/f$: there are four numbers at each place, as many as a $2\times2$ block, and they are used to hold waves twice as fine. Beyond the edge something is still there (middle), but most of it is not right (right): the decoder
# invents a plausible grain, and the perceptual term pays it for doing so. The waves beyond the edge hold little of the power (left, mind the logarithms), so the squared error hardly minds. Our classifier does: it looks at texture.
#
# ## Exercises
#
# Replace the `...` and run both cells; the check says what is wrong, not only that something is. After a restart, first Run > Run All Above Selected Cell. A cell that ends in red has defined nothing: the check then still judges what was there before.
#
# ### Exercise 1: the size of a latent
# Pictures of $256\times256\times3$, $f=8$, $c=4$ (Stable Diffusion's numbers for half its size). How many numbers has a latent, and how many times fewer is that than the picture? Return both, in this order.

# %%
def my_size(H, W, f, c):
    ### BEGIN SOLUTION
    # 32 * 32 * 4 = 4096 numbers, 3 f^2 / c = 48 times fewer. A factor of 8 is not an eighth.
    return H // f * (W // f) * c, 3 * f * f / c
    ### END SOLUTION

# %%
check("size of a latent", my_size, 256, 256, 8, 4)

# %% [markdown]
# ### Exercise 2: the KL term
# Return $\mathrm{KL}(\mathcal N(\mu,\sigma^2)\,\|\,\mathcal N(0,1))$ in nats for a mean and a *log-variance*, entry by entry.

# %%
def my_kl(mean, log_var):
    ### BEGIN SOLUTION
    # at mean 0 and log-variance 0 it is 0
    return 0.5 * (mean**2 + np.exp(log_var) - 1 - log_var)
    ### END SOLUTION

# %%
check("KL of an encoder", my_kl, np.array([0.5, -2.0, 0.0]), np.array([-1.0, 0.3, 0.0]))

# %% [markdown]
# ### Exercise 3: what the scale does to the schedule
# Latents have standard deviation $s$ and nobody scaled them. At which $\bar\alpha$ has the *scaled* space the same signal-to-noise ratio as the unscaled one has at $\bar\alpha_t$? Return it.

# %%
def my_alpha_bar(alpha_bar, s):
    ### BEGIN SOLUTION
    # SNR = s^2 alpha_bar / (1 - alpha_bar), and the alpha_bar of an SNR is SNR / (1 + SNR). With s = 5 half noise
    # (alpha_bar = 0.5) has become 4 % noise.
    return alpha_bar * s**2 / (alpha_bar * s**2 + 1 - alpha_bar)
    ### END SOLUTION

# %%
check("alpha_bar of equal SNR", my_alpha_bar, np.array([0.1, 0.5, 0.9]), 5.0)

# %% [markdown]
# ### Exercise 4: the bill
# At $f=4$ our encoder costs 44 MFLOP a picture and the decoder 143; the network of notebook 13 costs 193 MFLOP a call in that space and 780 in pixels. Sampling takes 20 calls and one decoding. Return the ratio of the cost in pixels to the cost in latents.

# %%
def my_ratio(pixel, latent, encoder, decoder, calls):
    ### BEGIN SOLUTION
    # 3.9. The decoder is called once; with few steps it is no longer free.
    return calls * pixel / (calls * latent + decoder)
    ### END SOLUTION

# %%
check("bill of latent sampling", my_ratio, 780, 193, 44, 143, 20)

# %% [markdown]
# ## What to try next
#
# * You have 60 seconds of training and want the best samples. Which $f$? Guess now; the next notebook measures.
# * `minidiff train cifar-autoencoder-f4 --set train.perceptual=0` (and `0.1`): watch PSNR and "same class seen" pull in opposite directions.
# * Train with $\lambda_{\rm KL}=1$, a true VAE. What happens to PSNR, to the noise of $q$, and to the latents' law?
# * Twice as many channels at $f=8$ ($c=16$): as many numbers as $f=4$. Which reconstructs better, and which would you rather diffuse?
#
# ## References
#
# * Rombach et al. 2022, *High-Resolution Image Synthesis with Latent Diffusion Models*: section 3.1 (the factor), appendix G (the loss, the scale).
# * van den Oord et al. 2017, *Neural Discrete Representation Learning*: Eq. 3. Kingma & Welling 2014: the KL term. Esser et al. 2021 (VQGAN): perceptual and adversarial terms.
# * Zhang et al. 2018, *The Unreasonable Effectiveness of Deep Features as a Perceptual Metric*. Wang et al. 2004: SSIM. Eckart & Young 1936: the best linear code.
# * In the ledger: `latent 1-2`, `latent 25`, `latent factor`, `latent KL`, `latent VQ`.
