# %% [markdown]
# # 06 · What does `loss.backward()` do, and could you do it yourself?
#
# Notebook 05 ended with a loss: a network is shown $x_t$ and $t$, and should say $\epsilon$. To train it you need one more thing, the derivative of that loss with respect to every weight, and in
# every program you will ever read it comes out of one line, `loss.backward()`. Here we write that line. No torch: a denoiser in NumPy, its backward pass, its optimiser, its training and its samples.
#
# **When you have worked through it you can**
# * derive the backward pass of a linear layer, of SiLU, of a time embedding and of the loss, each in two lines,
# * check a gradient to eight digits, and choose the step of the check by theory,
# * write Adam, and say what its two odd denominators are for,
# * tell whether a loss is good *in absolute terms*, because the best possible loss is known,
# * explain why a network with a **wrong** gradient usually trains, and why nobody notices.
#
# You need the chain rule, matrices, and notebooks 02 and 05. The finished functions live in `minidiff/nn/by_hand.py` (two hundred lines).

# %%
from minidiff.notebook import budget, plots, setup

rng = setup(seed=6)

# %%
from unittest.mock import patch

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F

from minidiff import ExactDenoiser, Schedule, ddim, ddpm, last, marginal, toy
from minidiff.arrays import normal
from minidiff.course import check
from minidiff.learn.by_hand import HandDenoiser, fit_by_hand
from minidiff.metrics import sliced_wasserstein
from minidiff.nn import by_hand
from minidiff.nn.by_hand import Adam, HandMLP, by_differences, silu, silu_backward, sinusoidal, squared_error

# %% [markdown]
# ## 1. The machine, in four lines
#
# A batch of $B$ points, one to a row. The time enters as sines and cosines $f(t)$ of many frequencies, passes one layer, and the result $e$ is handed to *every* layer:
#
# $$e=\mathrm{silu}(f W_{\rm time}+b_{\rm time}),\qquad z_k=h_{k-1}W_k+b_k+e\,U_k,\qquad h_k=\mathrm{silu}(z_k),\qquad \mathrm{out}=h_3W_{\rm out}+b_{\rm out},$$
#
# with $h_0=x_t$ and $\mathrm{silu}(z)=z\,\sigma(z)=z/(1+e^{-z})$. The parameters are a plain `dict` of arrays. We take a small one (width 8) for the checks, and put random numbers into *all* its arrays; section 5 says why.

# %%
schedule, swirl = Schedule.cosine(100, max_beta=0.5), toy.swirl()
network = HandMLP(rng, width=8)
for a in network.params.values():
    a += 0.3 * rng.standard_normal(a.shape)
t = rng.integers(1, schedule.T + 1, 20)
eps = rng.standard_normal((20, 2))
x_t = marginal(schedule, swirl.sample(20, rng), t).sample(eps)

p, f = network.params, sinusoidal(t, 16)
e, h = silu(f @ p["W_time"] + p["b_time"]), x_t
for k in (1, 2, 3):
    h = silu(h @ p[f"W_{k}"] + p[f"b_{k}"] + e @ p[f"U_{k}"])
assert np.allclose(network.forward(x_t, t), h @ p["W_out"] + p["b_out"], rtol=0, atol=1e-14)
print(", ".join(f"{name} {a.shape}" for name, a in p.items()))
print("numbers to be learned:", sum(a.size for a in p.values()))

# %% [markdown]
# ## 2. One rule, and the linear layer
#
# For any array $a$ on the way to the number $L$ write $g_a$ for $\partial L/\partial a$, **in the shape of $a$**. Backpropagation is one rule, applied from the end to the start: *if $y=\varphi(a)$ and you know $g_y$, then*
#
# $$(g_a)_j=\sum_i (g_y)_i\,\frac{\partial y_i}{\partial a_j}.$$
#
# The matrix of all $\partial y_i/\partial a_j$ is never formed; for each kind of layer the sum is worked out once, on paper. For $Y=XW+b$, in indices, $Y_{in}=\sum_m X_{im}W_{mn}+b_n$, and so
#
# $$(g_X)_{im}=\sum_n (g_Y)_{in}W_{mn},\qquad (g_W)_{mn}=\sum_i X_{im}(g_Y)_{in},\qquad (g_b)_n=\sum_i (g_Y)_{in},$$
#
# $$\boxed{\;g_X=g_YW^\top,\qquad g_W=X^\top g_Y,\qquad g_b=\text{sum of } g_Y \text{ over the batch}\;}$$
#
# (If you forget where the transposes go: there is only one way to make the shapes fit. Unless $W$ is square; section 10 shows what that can cost.) Whatever a forward pass *copies*, here $b$ into every row, the backward pass *adds*.
#
# To check a formula we need a second route that knows no calculus: move one entry by $\pm h$ and look at $L$. That is `by_differences`.

# %%
X, W, b, c = (rng.standard_normal(shape) for shape in ((20, 3), (3, 5), (5,), (20, 5)))

def L():
    return float(np.sum(c * (X @ W + b)))  # any function of Y will do; this one has g_Y = c

ours = {"X": c @ W.T, "W": X.T @ c, "b": c.sum(0)}
for (name, g), array, library in zip(ours.items(), (X, W, b), by_hand.linear_backward(c, X, W), strict=True):
    numerical = by_differences(L, array)
    print(f"g_{name} {g.shape!s:8s} largest gradient {np.abs(g).max():.2f}, agrees with differences to 1e-8: {np.abs(g - numerical).max() < 1e-8}")
    assert np.abs(g - numerical).max() < 1e-8 and np.array_equal(g, library)

# %% [markdown]
# ## 3. SiLU
#
# It acts on each number alone, so the sum has one term: $g_z=g_h\cdot\mathrm{silu}'(z)$. From $\sigma'=\sigma(1-\sigma)$ and the product rule,
#
# $$\mathrm{silu}'(z)=\sigma+z\,\sigma(1-\sigma)=\sigma\,\big(1+z(1-\sigma)\big).$$
#
# **Before you run:** far left the slope is 0, far right it is 1. Does it stay between 0 and 1 on the way?

# %% alt="SiLU, its slope, and the sigmoid alone over z. SiLU dips below zero before it rises. Its slope is a little below zero left of the dip and goes above 1 around z = 2 before it settles at 1, while the sigmoid rises from 0 to 1 and never leaves that range."
z = np.linspace(-7, 7, 1401)
sigma = 1 / (1 + np.exp(-z))
slope = sigma * (1 + z * (1 - sigma))
assert np.allclose(slope, silu_backward(np.ones_like(z), z), rtol=0, atol=1e-14)
assert np.abs(slope - (silu(z + 1e-5) - silu(z - 1e-5)) / 2e-5).max() < 1e-9
fig, ax = plots.panel(1, width=6, height=3)
plots.curves(ax, z, {"silu": silu(z), "its slope": slope, "sigmoid alone": sigma}, "z", "")
ax.set_ylim(-0.6, 3)
plt.show()
print(f"slope: smallest {slope.min():.4f} at z = {z[slope.argmin()]:.2f}, largest {slope.max():.4f} at z = {z[slope.argmax()]:.2f}; silu has its minimum at z = {z[silu(z).argmin()]:.2f}")
assert slope.min() < 0 and slope.max() > 1

# %% [markdown]
# **See.** It does not: from $-0.0998$ to $1.0998$. SiLU dips before it rises, so left of $z=-1.28$ an increase of $z$ *lowers* $h$, and a gradient changes its sign there. The green curve is the slope of somebody who forgot the
# product rule. Keep it in mind.
#
# ## 4. A value that is used three times
#
# $f(t)$ has no parameters, so nothing flows into it. But $e$ feeds three layers. Move $e$ a little, and $L$ changes along three ways at once; to first order these changes add:
#
# $$g_e=\sum_{k=1}^{3} g_{z_k}U_k^\top .$$
#
# This is the whole content of "gradients accumulate", and of `zero_grad()`: a framework *adds* what comes back to a value, because a value may have been used more than once, and so somebody has to empty the sum before the next step.
#
# **Before you run:** take only the last way into account (an `=` where a `+=` belongs). How far off is the gradient: a little, or hopelessly?

# %% alt="The time features as a picture, a column for each t from 1 to 100. Eight cosines above, eight sines below: in each half the top row flickers fast, the next ones wave ever more slowly, and the lower rows hardly change from left to right."
ways = [(rng.standard_normal((8, 8)), rng.standard_normal((20, 8))) for _ in range(3)]
e = rng.standard_normal((20, 8))
numerical = by_differences(lambda: sum(float(np.sum(c * silu(e @ U))) for U, c in ways), e)
parts = [silu_backward(c, e @ U) @ U.T for U, c in ways]
summed, overwritten = sum(parts), parts[-1]
cosine = float(np.sum(overwritten * numerical) / np.linalg.norm(overwritten) / np.linalg.norm(numerical))
print(f"the sum agrees to 1e-8: {np.abs(summed - numerical).max() < 1e-8}")
print(f"the last way alone: relative error {np.linalg.norm(overwritten - numerical) / np.linalg.norm(numerical):.2f}, cosine with the true gradient {cosine:.2f}")
assert np.abs(summed - numerical).max() < 1e-8 and 0.3 < cosine < 0.9

fig, ax = plots.panel(1, width=7, height=2.6)
picture = ax.imshow(sinusoidal(np.arange(1, 101), 16).T, aspect="auto", cmap="RdBu", extent=(0.5, 100.5, 15.5, -0.5))
ax.set(xlabel="t", ylabel="feature", title="f(t): eight cosines, then eight sines, fast to slow", yticks=(0, 7, 8, 15))
ax.grid(False)
fig.colorbar(picture)
plt.show()

# %% [markdown]
# **See.** Wrong by most of its size, and yet its cosine with the truth is well above zero: it still points *downhill*. Section 10 comes back to this. In the picture, every $t$ has its own column: the fast features at the top of each half tell neighbours apart, the slow ones near from far.
# (The slowest hardly move in a hundred steps. They are made for $T=1000$.)
#
# ## 5. The loss, and a check that proves nothing
#
# $L=\frac1{2B}\sum_{i,d}(\mathrm{out}_{id}-\epsilon_{id})^2$, the mean over the batch and the two features, so $g_{\rm out}=\frac{2}{2B}(\mathrm{out}-\epsilon)$. Many programs (ours too) start with $W_{\rm out}=0$, so that the untrained network says 0 and its loss is that of knowing nothing, about 1.
#
# **Before you run:** which of the 13 arrays have a gradient that is *not* zero in the very first step?

# %%
fresh = HandMLP(rng, width=8)
out = fresh.forward(x_t, t)
g_out = 2 * (out - eps) / out.size
assert np.array_equal(g_out, by_hand.squared_error_backward(out, eps)) and np.isclose(squared_error(out, eps), np.mean(eps**2))
grads = fresh.backward(g_out)
print(f"loss {squared_error(out, eps):.3f}; gradient not zero: {', '.join(name for name, g in grads.items() if g.any())}")
assert {name for name, g in grads.items() if g.any()} == {"W_out", "b_out"}

# %% [markdown]
# Only the last layer learns in step one: $g_{h_3}=g_{\rm out}W_{\rm out}^\top=0$, and 0 is what travels on. After that step $W_{\rm out}\neq0$ and everything moves. But somebody who checks gradients on a *fresh* network compares 0 with 0 in eleven arrays, whatever the code says. Check at a random point.
#
# ## 6. The whole pass, and the check of every number
#
# Now string the pieces together, from the end to the start. `forward` has left in `network.kept` what each layer was given ($h_{k-1}$, $z_k$, $e$, $f$): the memory that training needs and sampling does not. The two arrays of the time embedding are missing below: they are **exercise 1**.

# %%
out = network.forward(x_t, t)
kept, g_out = network.kept, by_hand.squared_error_backward(out, eps)
hand, g_z = {"W_out": kept.h.T @ g_out, "b_out": g_out.sum(0)}, {}
g_h = g_out @ p["W_out"].T
for k in (3, 2, 1):
    h_before, z = kept.layers[k - 1]
    g_z[k] = silu_backward(g_h, z)
    hand |= {f"W_{k}": h_before.T @ g_z[k], f"b_{k}": g_z[k].sum(0), f"U_{k}": kept.e.T @ g_z[k]}
    g_h = g_z[k] @ p[f"W_{k}"].T
grads = network.backward(g_out)
assert all(np.allclose(hand[name], grads[name], rtol=0, atol=1e-14) for name in hand)
print("as in the library:", ", ".join(hand))
print("left for exercise 1:", ", ".join(sorted(grads.keys() - hand.keys())))

# %%
def loss():
    return squared_error(network.forward(x_t, t), eps)

print("array     largest gradient   differences agree to 1e-7 of it")
for name, a in p.items():
    numerical = by_differences(loss, a)
    error = np.abs(grads[name] - numerical).max() / np.abs(numerical).max()
    print(f"{name:8s} {np.abs(numerical).max():14.4f}        {error < 1e-7}")
    assert error < 1e-7

# %% [markdown]
# ### How small should the step be?
#
# By Taylor, $\frac{L(a+h)-L(a-h)}{2h}=L'+\frac{h^2}{6}L'''+\dots$, while $L$ itself is known only to about $10^{-16}|L|$, which the division turns into $10^{-16}|L|/h$. One error falls with $h$, the other rises. They meet at $h\sim(10^{-16})^{1/3}\approx 10^{-5}$, with an error of about $10^{-10}$.
#
# **Before you run:** do the same for the one-sided $\frac{L(a+h)-L(a)}{h}$. Where is its minimum, and how low? And what is the best one can get if $L$ is rounded to float32, as in every ordinary training program?

# %%
def one_sided(loss, array, h):
    base, up = loss(), np.zeros_like(array)
    for i in np.ndindex(array.shape):
        middle = array[i]
        array[i] = middle + h
        up[i], array[i] = loss(), middle
    return (up - base) / h

hs = np.logspace(-0.5, -12, 24)
routes = {"central": lambda h: by_differences(loss, p["W_2"], h), "one-sided": lambda h: one_sided(loss, p["W_2"], h),
          "central, L rounded to float32": lambda h: by_differences(lambda: float(np.float32(loss())), p["W_2"], h)}
scale = np.abs(grads["W_2"]).max()
error = {name: np.array([np.abs(route(h) - grads["W_2"]).max() / scale for h in hs]) for name, route in routes.items()}

# %% alt="Relative error of numerical gradients against step h, both axes logarithmic: three Vs. Central differences reach the lowest point, near h = 1e-5; one-sided ones bottom out three digits higher at a smaller h; with a loss in float32 the V is far up and to the right."
fig, ax = plots.panel(1, width=6.5, height=3.4)
plots.curves(ax, hs, {name: np.maximum(v, 1e-12) for name, v in error.items()}, "step h", "relative error", "the V of a gradient check", log="xy")
ax.legend(fontsize=9, loc="upper right")
ax.set_ylim(1e-11, 1e6)
plt.show()
tiny, single = np.finfo(np.float64).eps, np.finfo(np.float32).eps
for (name, v), best_h in zip(error.items(), (tiny ** (1 / 3), tiny ** (1 / 2), single ** (1 / 3)), strict=True):
    steep, factor = np.polyfit(np.log(hs[:3]), np.log(v[:3]), 1)[0], hs[v.argmin()] / best_h
    print(f"{name:30s} slope {steep:.0f}; best h predicted {best_h:.0e}, found within a factor 10: {0.1 < factor < 10}; nine digits: {v.min() < 1e-9}")
    assert 0.1 < factor < 10
assert error["central"].min() < 1e-9 < error["one-sided"].min() and error["central, L rounded to float32"].min() > 1e-6

# %% [markdown]
# **See.** Two straight arms each: slope 2 or 1 on the right (Taylor), slope $-1$ on the left (rounding). The best $h$ is the cube root of the machine precision for central differences, the square root for one-sided ones, which are worse by three digits. And a check in float32 bottoms out between four and five digits, where a forgotten small term and rounding look alike (far left both $L$ are the *same* float32 number, and the error is 100 %). That is why this notebook and `by_hand.py` are float64 throughout.
#
# ## 7. Against torch, and the price
#
# The same function of the same numbers in torch. Autograd applies the rule of section 2 to whatever you wrote, so it must give what we have.

# %%
theirs = {name: torch.tensor(a, requires_grad=True) for name, a in p.items()}
e_torch, h_torch = F.silu(torch.tensor(sinusoidal(t, 16)) @ theirs["W_time"] + theirs["b_time"]), torch.tensor(x_t)
for k in (1, 2, 3):
    h_torch = F.silu(h_torch @ theirs[f"W_{k}"] + theirs[f"b_{k}"] + e_torch @ theirs[f"U_{k}"])
out_torch = h_torch @ theirs["W_out"] + theirs["b_out"]
F.mse_loss(out_torch, torch.tensor(eps)).backward()
worst = max(np.abs(theirs[name].grad.numpy() - g).max() / np.abs(g).max() for name, g in grads.items())
print(f"all {len(grads)} gradients agree with autograd to 1e-10: {worst < 1e-10}")
assert worst < 1e-10 and np.abs(out_torch.detach().numpy() - out).max() < 1e-10

sizes = {name: a.size for name, a in HandMLP(rng).params.items()}  # the network that we train below
forward = sum(n for name, n in sizes.items() if name[0] in "WU")  # multiplications for one point: one for each weight
backward = 2 * forward - sizes["W_1"] - sizes["W_time"]  # g_W and g_X for each; nobody asks for the gradient at x_t and at f
print(f"{sum(sizes.values())} parameters. Multiplications for one point: forward {forward}, backward {backward}, ratio {backward / forward:.2f}")
print(f"the same gradient by differences: {2 * sum(sizes.values())} forward passes")

# %% [markdown]
# One backward pass costs two forward passes, *however many parameters there are*. That is the discovery; the chain rule is older. Going from the input towards the loss instead, or by differences, costs a pass for each parameter: here 44,036 forward passes for what backpropagation has for the price of three.
#
# ## 8. Adam
#
# Down the gradient, then; but by how much? Adam keeps two running means for each number, of the gradient and of its square:
#
# $$m_k=\beta_1m_{k-1}+(1-\beta_1)g_k,\qquad v_k=\beta_2v_{k-1}+(1-\beta_2)g_k^2,\qquad \theta\leftarrow\theta-\mathrm{lr}\,\frac{m_k/(1-\beta_1^k)}{\sqrt{v_k/(1-\beta_2^k)}+\varepsilon}.$$
#
# (These betas are decay rates and have nothing to do with the noise.) The odd denominators: unrolled, $m_k=(1-\beta_1)\sum_{i\le k}\beta_1^{k-i}g_i$, and these weights sum to $1-\beta_1^k$, not to 1, because $m_0=0$. Dividing makes $m$ a mean. Without it, the first step would not be smaller but *larger*: exercise 3.
#
# **Before you run:** multiply the loss by 1000, so that every gradient is a thousand times larger. What happens to Adam's steps?

# %%
hand, stepped = ({name: a.copy() for name, a in p.items()} for _ in range(2))
adam, optimizer = Adam(stepped, lr=0.01), torch.optim.Adam(theirs.values(), lr=0.01)
m, v = dict.fromkeys(p, 0.0), dict.fromkeys(p, 0.0)
history = [{name: g * rng.uniform(-1, 2) for name, g in grads.items()} for _ in range(20)]  # of changing size and sign
for k, step_grads in enumerate(history, 1):
    for name, g in step_grads.items():
        m[name], v[name] = 0.9 * m[name] + 0.1 * g, 0.999 * v[name] + 0.001 * g**2
        hand[name] -= 0.01 * (m[name] / (1 - 0.9**k)) / (np.sqrt(v[name] / (1 - 0.999**k)) + 1e-8)
        theirs[name].grad = torch.tensor(g)
    adam.step(step_grads)
    optimizer.step()
worst = max(np.abs(other - stepped[name]).max() for name in p for other in (hand[name], theirs[name].detach().numpy()))
print(f"after 20 steps: equal to the formula and to torch.optim.Adam to 1e-12: {worst < 1e-12}")
assert worst < 1e-12

# %%
scaled = {name: a.copy() for name, a in p.items()}
loud = Adam(scaled, lr=0.01)
for step_grads in history:
    loud.step({name: 1000 * g for name, g in step_grads.items()})
ratio = np.concatenate([((scaled[name] - p[name]) / (stepped[name] - p[name])).ravel() for name in p])
print(f"a thousand times the loss moves the parameters {np.median(ratio):.3f} times as far")
assert abs(np.median(ratio) - 1) < 1e-3

# %% [markdown]
# Nothing happens: the size of the gradient cancels in $m/\sqrt v$. The learning rate of Adam is a *length*: in each step each number moves by about lr, or less where its gradient keeps changing sign. That makes lr independent of the units of the loss. It also hides mistakes: section 10.
#
# ## 9. Training, down to the floor
#
# Algorithm 1 of DDPM: draw $x_0$, $t$ and $\epsilon$, form $x_t$, ask, compare, go back, step. `fit_by_hand` is these lines. The data are the swirl of `minidiff.toy`, a mixture of sixty narrow Gaussians along a spiral, so the best possible answer, $\mathbb E[\epsilon\mid x_t]$, is known (`ExactDenoiser`).
#
# **Before you run:** the loss starts at 1. Where will it be after four thousand steps, and where after a million?

# %%
def train(steps, seed=0):
    """A network of width 64 on the swirl: the denoiser, and the loss of each step."""
    denoiser = HandDenoiser(HandMLP(np.random.default_rng(seed)), schedule)
    steps = fit_by_hand(denoiser, lambda g: swirl.sample(256, g), steps, np.random.default_rng(seed + 1))
    return denoiser, np.array([step.loss for step in steps])

def against_the_floor(denoiser, repeats=100, seed=9):
    """Squared errors of the network, of the exact denoiser, and of one against the other, on the same held-out points: (n,) each."""
    g, ts = np.random.default_rng(seed), np.tile(np.arange(1, schedule.T + 1), repeats)
    x_0, eps = swirl.sample(len(ts), g), g.standard_normal((len(ts), 2))
    x_t = marginal(schedule, x_0, ts).sample(eps)
    said, right = denoiser(x_t, ts).eps, ExactDenoiser(swirl, schedule)(x_t, ts).eps
    return [(d**2).mean(1) for d in (eps - said, eps - right, said - right)]

trained, losses = train(budget(quick=4000, full=30_000))

# %% alt="Training loss of the NumPy network over 4,000 steps, on a logarithmic axis. Single batches jitter widely; their mean falls fast from above 0.3, then slowly, and ends on the dashed Bayes floor just above 0.2, which it does not go below by more than its own wobble."
held_out, floor, excess = against_the_floor(trained)
fig, ax = plots.panel(1, width=6.5, height=3.2)
step = np.arange(1, len(losses) + 1)
ax.plot(step, losses, color="C0", alpha=0.25, linewidth=0.6, label="each batch")
ax.plot(step[24:-25], np.convolve(losses, np.ones(50) / 50, "valid"), color="C0", label="mean of 50")
ax.axhline(floor.mean(), color="C1", linestyle="--", label="Bayes floor: the exact denoiser")
ax.set(xlabel="step", ylabel="L_simple per dimension", ylim=(0, 1.05), xscale="log", title="NumPy, gradients by hand")
ax.legend()
plt.show()
print(f"held out: network {held_out.mean():.2f}, exact denoiser {floor.mean():.2f}, ratio {held_out.mean() / floor.mean():.2f}; within 5 % of the floor: {held_out.mean() < 1.05 * floor.mean()}")
cross = held_out - floor - excess
print(f"loss = floor + excess, on average, within 4 standard errors: {abs(cross.mean()) < 4 * cross.std() / np.sqrt(len(cross))}")
assert floor.mean() < held_out.mean() < 1.05 * floor.mean() and abs(cross.mean()) < 4 * cross.std() / np.sqrt(len(cross))

# %% [markdown]
# **See.** Neither at 0 after four thousand steps nor after a million: a quarter of $\epsilon$'s variance cannot be known from $x_t$ by anybody. Our network is about one percent above what is possible, and the curve of an ideal network would look the same to the eye. (Both numbers are taken on the *same* points; otherwise their own noise
# would be as large as the difference.) Where is what is missing?
#
# ### Where it is wrong
# The distance between the network's answer and the exact one, over the plane, with the density of $x_t$ as contours. **Before you run:** will the error be largest on the spiral, beside it, or far away from it?

# %% alt="Error of the network over the plane at t = 5, 20 and 60, with contours of where x_t lives. At t = 5 the error is small in a spiral band along the contours and large outside; at 20 it is small nearly everywhere inside; at 60 it is small in the whole square."
axis = np.linspace(-1.6, 1.6, 81)
plane = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
fig, axes = plots.panel(3, width=3.6, height=3.3)
for ax, at in zip(axes, (5, 20, 60), strict=True):
    signal, noise = schedule.scales(at)
    off = np.sqrt(((trained(plane, at).eps - ExactDenoiser(swirl, schedule)(plane, at).eps) ** 2).mean(1))
    density = np.exp(swirl.push(signal, noise**2).log_prob(plane))
    image = ax.imshow(np.log10(off.reshape(81, 81)), origin="lower", extent=(-1.6, 1.6, -1.6, 1.6), cmap="viridis", vmin=-2, vmax=0.5)
    ax.contour(axis, axis, density.reshape(81, 81), levels=density.max() * np.array([0.01, 0.1, 0.5]), colors="white", linewidths=0.7)
    ax.set(title=f"t = {at}", xlabel="$x_t$", xticks=(-1, 0, 1), yticks=(-1, 0, 1))
    ax.grid(False)
    seen, everywhere = np.sqrt(density @ off**2 / density.sum()), np.sqrt(np.mean(off**2))
    print(f"t = {at:2d}: root mean square error where x_t lives {seen:.2f}, over the whole square {everywhere:.2f}")
    assert seen < everywhere
fig.colorbar(image, ax=axes, label="$\\log_{10}$ error of eps")
plt.show()

# %% [markdown]
# **See.** Dark is right. The network is right where $x_t$ lives and wrong where it never is: no loss has ever asked it there. Between the turns at $t=5$ the error is large too, in the middle of the picture, because almost no $x_t$ is *there* either; at $t=60$ it lives nearly everywhere, and little is left to get wrong. A sampler that is thrown off the
# contours gets advice that nobody has trained.
#
# ## 10. A wrong gradient trains too
#
# Four mistakes in the backward pass. The forward pass and the loss stay right, so the loss that is printed is honest.
#
# **Before you run:** which of them will you notice in the loss after 600 steps? Which would make you look for a bug, rather than for a better learning rate?

# %%
def no_product_rule(grad, z):
    return grad * by_hand.sigmoid(z)  # the green curve of section 3

def no_slope(grad, z):
    return grad  # SiLU forgotten on the way back

def transpose_forgotten(grad, x, W):
    return grad @ (W if W.shape[0] == W.shape[1] else W.T), x.T @ grad, grad.sum(0)  # square: no shape complains

def mean_for_sum(grad, x, W):
    return grad @ W.T, x.T @ grad, grad.mean(0)

mistakes = {"none": ("silu_backward", silu_backward), "SiLU: sigmoid for the slope": ("silu_backward", no_product_rule), "SiLU: no slope": ("silu_backward", no_slope),
            "W for W^T where W is square": ("linear_backward", transpose_forgotten), "bias: mean for sum": ("linear_backward", mean_for_sum)}

# %%
def flat(gradients):
    return np.concatenate([gradients[name].ravel() for name in p])

results, losses = {}, {}
print("backward pass                  gradient check   cosine   loss / floor")
for name, (function, wrong) in mistakes.items():
    with patch.object(by_hand, function, wrong):  # inside this block, HandMLP.backward uses the wrong one
        network.forward(x_t, t)
        found, right = flat(network.backward(g_out)), flat(grads)
        denoiser, losses[name] = train(budget(quick=600, full=5000))
    off, cosine = np.abs(found - right).max() / np.abs(right).max(), found @ right / np.linalg.norm(found) / np.linalg.norm(right)
    ours, best, _ = against_the_floor(denoiser, repeats=30)
    results[name] = ours.mean() / best.mean()
    print(f"{name:30s} {f'off by {off:.0%}' if off > 1e-10 else 'exact':14s} {cosine:8.2f} {results[name]:14.2f}")

# %% alt="Loss curves of five backward passes, one right and four wrong. All fall at once and flatten within a hundred steps. The right one is hidden under the bias mistake, both nearest the dashed floor; the one without any slope of SiLU stays highest, but only a little above."
fig, ax = plots.panel(1, width=6.5, height=3.2)
for name, curve in losses.items():
    ax.plot(np.arange(5, len(curve) - 4), np.convolve(curve, np.ones(10) / 10, "valid"), label=name, linewidth=1.2)
ax.axhline(best.mean(), color="0.4", linestyle="--", linewidth=1)
ax.set(xlabel="step", ylabel="loss, mean of 10", ylim=(0, 1.05), xscale="log")
ax.legend(fontsize=9)
plt.show()
none, same, *worse = (results[name] for name in ("none", "bias: mean for sum", *list(mistakes)[1:4]))
assert abs(same / none - 1) < 0.01 and none < min(worse) and max(worse) < 1.5

# %% [markdown]
# **See.** All of them learn, and at once (the curve of "none" is hidden under the last one). "Mean for sum" is off by 95 % and its training is the *same* as the right one: Adam cancels a constant factor (section 8). Sigmoid for the slope costs 3 %, the forgotten transpose 6 %, and even without any slope of SiLU the loss ends only 15 % higher
# than it should. Without the right curve beside it, and without a dashed line, would you have called any of these a bug, or a network that needs more width?
#
# Why do they learn at all? A wrong gradient with a positive cosine still goes downhill (section 4), only not by the shortest way, and the network adapts to the wrong messages that it gets. (With *random fixed* matrices in the place of $W^\top$ this was published as "feedback alignment".)
# So a falling loss proves nothing about a backward pass. One call of `by_differences` does.
#
# ## 11. Samples, still without torch
#
# `HandDenoiser` is a denoiser like any other: the samplers of the course run on it. 2,000 samples by DDPM (100 steps) and by DDIM (50 steps), held against data by the sliced Wasserstein distance, whose floor is what 2,000 real points score against 2,000 others; and, since the density is known, by the share of samples
# that lie where only 1 % of the data do.

# %% alt="Scatter plots of a spiral: the data, 100 steps of DDPM, and 50 steps of DDIM. Both samplers draw the spiral, with a few stray points between its turns; the arm of DDIM is thinner than that of the data."
n, start = 2000, rng.standard_normal((2000, 2))
samples = {"DDPM, 100 steps": last(ddpm(trained, start, schedule.times(100), normal(rng), variance="large")),
           "DDIM, 50 steps": last(ddim(trained, start, schedule.times(50)))}
real, spare = swirl.sample(n, rng), swirl.sample(8 * n, rng)
plots.points({"data": real, **samples}, limit=1.15)
plt.show()
rare = np.quantile(swirl.log_prob(spare), 0.01)
untrained = last(ddim(HandDenoiser(HandMLP(rng), schedule), start, schedule.times(50)))
for name, x in {**samples, "untrained": untrained}.items():
    found = sliced_wasserstein(np.clip(x, -3, 3), real, spare, rng, resamples=50)
    print(f"{name:16s} distance {found.value:.3f}, floor {found.floor:.3f}; where 1% of the data lie: {np.mean(swirl.log_prob(x) < rare):.0%}")
    assert (found.over_floor < 4) == (name != "untrained") and type(x) is np.ndarray and x.dtype == np.float64

# %% [markdown]
# **See.** By the distance, not far from real points: within a factor of two (the untrained network: two hundred). By the density one sees more: 5 % of the points, not 1 %, fray off, mostly between the turns, where section 9 found the network wrong. (Notebook 07 goes into this.) DDIM's arm is a little thin: its last step, from $t=2$, jumps to the *mean* of all $x_0$ that could have led there, across the width of the arm.
#
# A network, its derivative, its optimiser, its training and its samples, and every number of it checked. From notebook 07 on torch does this part. You know now what it does.
#
# ## Exercises
#
# Replace the `...` and run both cells; the check says what is wrong, not only that something is. After a restart, first Run > Run All Above Selected Cell. A cell that ends in red has defined nothing: the check then still judges what was there before.
#
# ### Exercise 1: the time embedding's gradient
# Complete section 6. Given are $g_{z_1},g_{z_2},g_{z_3}$ (`g_z[1]`, ..., each (20, 8)), the parameters `p`, and `kept` with `kept.features` $=f$, `kept.z_time` $=fW_{\rm time}+b_{\rm time}$ and `kept.e`. Return the gradient at `W_time`, (16, 8).

# %%
def my_time_gradient(g_z, p, kept):
    ### BEGIN SOLUTION
    # Three gradients come back to e and are added; then through SiLU, at the z that it was given; then a linear layer whose
    # input was f. The bias gets the same without f: summed over the batch. (silu_backward is written out here: g times the slope.)
    g_e = g_z[1] @ p["U_1"].T + g_z[2] @ p["U_2"].T + g_z[3] @ p["U_3"].T
    s = 1 / (1 + np.exp(-kept.z_time))
    return kept.features.T @ (g_e * s * (1 + kept.z_time * (1 - s)))
    ### END SOLUTION

# %%
check("gradient of the time embedding", my_time_gradient, g_z, p, kept)

# %% [markdown]
# ### Exercise 2: the gradient at the input
# Training stops at the parameters. But the same pass can go on to $x_t$; exact likelihoods (notebook 08) and steering a sampler by the gradient of a classifier need that. Return $\partial L/\partial x_t$, (20, 2), from `g_z` and `p`.

# %%
def my_input_gradient(g_z, p):
    ### BEGIN SOLUTION
    # x_t went into the first layer only. It is where the loop of section 6 ended: the last g_h.
    return g_z[1] @ p["W_1"].T
    ### END SOLUTION

# %%
check("gradient at the input", my_input_gradient, g_z, p)
numerical = by_differences(loss, x_t)
assert np.abs(g_h - numerical).max() < 1e-8 * np.abs(numerical).max() + 1e-11  # g_h: where the loop of section 6 ended

# %% [markdown]
# ### Exercise 3: Adam without its odd denominators
# In its first step Adam moves each number by lr. By how many lr would it move without the two divisions by $1-\beta^k$? ($\beta_1=0.9$, $\beta_2=0.999$; leave $\varepsilon$ out.)

# %%
first_step = None
### BEGIN SOLUTION
# m_1 = 0.1 g and v_1 = 0.001 g^2, so the step is 0.1 / sqrt(0.001) = 3.16 lr. After ten steps of the same gradient it is even
# (1 - 0.9^10) / sqrt(1 - 0.999^10) = 6.5: v forgets its zero start a hundred times more slowly than m. A large first step into
# an untrained network is what learning-rate warm-up is afraid of as well.
first_step = 0.1 / np.sqrt(0.001)
### END SOLUTION

# %%
check("Adam without its divisions", first_step)
just_one = {"a": np.zeros(1)}
Adam(just_one, lr=1.0).step({"a": np.array([-7.0])})
assert np.isclose(just_one["a"][0], 1.0)  # with them: one lr

# %% [markdown]
# ### Exercise 4: another target
# Let the network say $v=\sqrt{\bar\alpha_t}\,\epsilon-\sqrt{1-\bar\alpha_t}\,x_0$ (notebook 05) instead of $\epsilon$. Which lines of `minidiff/nn/by_hand.py` change? And of `minidiff/learn/by_hand.py`? Find them, then answer with the file that changes, `"minidiff/nn/by_hand.py"` or `"minidiff/learn/by_hand.py"`, or with `"both"`.

# %%
changed = None
### BEGIN SOLUTION
# Of the first: none. A backward pass knows a number L and how it was computed, not what it means. Of the second: two words. The
# target in loss_and_gradients becomes target("v", x_0, eps, signal, noise), and the answer is read with from_output("v", ...).
# The loss is then another one, in units of v: do not compare it with ours.
changed = "minidiff/learn/by_hand.py"
### END SOLUTION

# %%
check("what another target changes", changed)

# %% [markdown]
# ## What to try next
#
# * Put ReLU in the place of SiLU (`np.maximum(z, 0)`; slope 0 or 1) and repeat the check of section 6 with $h=10^{-5}$ and with $h=10^{-2}$. The larger step fails by far more than $h^2$, and yet your formula is right. Why?
# * Freeze the time embedding (set its two gradients to zero in `fit_by_hand`). How much of the ratio does it cost? And with $t$ not told at all ($f=0$)?
# * Train at width 24, 64 and 128 for equal numbers of *multiplications* (section 7). Which is nearest to the floor?
# * Go on: notebook 07 does the same in torch, on three data sets, and spends the network's bits.
#
# ## References
#
# * D. Rumelhart, G. Hinton, R. Williams 1986, *Learning representations by back-propagating errors*. S. Linnainmaa 1970 had the method, for rounding errors.
# * A. Griewank, A. Walther 2008, *Evaluating Derivatives*: why the reverse pass costs a small multiple of the forward one, whatever the number of parameters.
# * D. Kingma, J. Ba 2015, *Adam: A Method for Stochastic Optimization*: Algorithm 1, and section 3 for the bias correction.
# * S. Elfwing, E. Uchibe, K. Doya 2017, *Sigmoid-weighted linear units*. A. Vaswani et al. 2017, section 3.5: the sinusoidal features.
# * In the ledger: `ddpm 14`, `ddpm Alg. 1`.
# * J. Ho, A. Jain, P. Abbeel 2020, *Denoising Diffusion Probabilistic Models*: Algorithm 1, Eq. 14.
# * T. Lillicrap, D. Cownden, D. Tweed, C. Akerman 2016, *Random synaptic feedback weights support error backpropagation for deep learning*: what section 10 stumbled upon.
