"""Malformed calls: each is refused at the door, in one line that says what was expected, what came and what is allowed."""

import numpy as np
import pytest
import torch

import minidiff as md
from minidiff.arrays import like, namespace, normal, slope_along, sum_features
from minidiff.bound import check_grid
from minidiff.learn import Condition, LossAwareTimes, NetworkDenoiser, Training, UniformTimes, fit, hybrid_loss, vlb_loss
from minidiff.likelihood import hutchinson, richardson
from minidiff.metrics import mmd
from minidiff.nn import MLP, UNet
from minidiff.toy import checkerboard, quantised_entropy, ring

S = md.Schedule.linear(10)
X = np.zeros((4, 2))
TX = torch.zeros(4, 2)
EXACT = md.ExactDenoiser(ring(), S)
NET = NetworkDenoiser(MLP(width=8), S)
PRED = md.Prediction(X, X)
RNG = np.random.default_rng(0)
draw = normal(RNG)
ones = np.ones(11)
MASK = np.zeros((4, 2), dtype=bool)
CLASSES = md.ClassDenoiser([ring(2), ring(3)], [0.5, 0.5], S)
THREE = md.GaussianMixture([1.0], [[0.0, 0.0, 0.0]], [1.0])


def first(steps):
    return next(steps)


def table(**changes):
    alpha_bar = np.linspace(1, 0.1, 10)
    for i, value in changes.items():
        alpha_bar[int(i[1:])] = value
    return md.Schedule(alpha_bar)


TIMES = {
    "a denoiser at t = 0": (lambda: EXACT(X, 0), ValueError, r"t must lie in 1\.\.10; got 0"),
    "a network at t = 0": (lambda: NET(TX, 0), ValueError, r"t must lie in 1\.\.10; got 0"),
    "a denoiser beyond T": (lambda: EXACT(X, 11), ValueError, r"in 1\.\.10; got 11"),
    "a network beyond T in one example": (lambda: NET(TX, [1, 2, 3, 11]), ValueError, r"in 1\.\.10; got 11"),
    "t = T + 1": (lambda: md.marginal(S, X, 11), ValueError, r"t must lie in 0\.\.10; got 11"),
    "t = -1, which Python would index from the end": (lambda: S.scales(-1), ValueError, r"in 0\.\.10; got -1"),
    "float t": (lambda: md.marginal(S, X, 3.0), TypeError, r"t must be an int or ints, in 0\.\.10; got float64"),
    "float t in a tensor": (lambda: md.marginal(S, TX, torch.tensor([1.0] * 4)), TypeError, "got float32"),
    "bool t": (lambda: S.scales(True), TypeError, "got bool"),
    "t is a word": (lambda: S.snr("5"), TypeError, "t must be an int or ints"),
    "t is None": (lambda: md.marginal(S, X, None), TypeError, "got NoneType"),
    "2-D t": (lambda: S.scales(np.ones((4, 1), int)), ValueError, r"a row of shape \(B,\); got shape \(4, 1\)"),
    "no t at all": (lambda: S.scales(np.zeros(0, int)), ValueError, "got none at all"),
    "t of another batch": (
        lambda: md.marginal(S, X, [1, 2, 3]),
        ValueError,
        r"shape \(3,\) does not fit \(4, 2\): .* for each example",
    ),
    "t of another batch, exact denoiser": (lambda: EXACT(X, [1, 2, 3]), ValueError, r"shape \(3,\) does not fit \(4, 2\)"),
    "s = t": (lambda: md.posterior(S, X, X, 5, 5), ValueError, r"s must be earlier than t .*0\.\.10.*; got s = 5, t = 5"),
    "s > t": (lambda: md.transition(S, X, 6, 5), ValueError, "got s = 6, t = 5"),
    "s >= t in one example of many": (
        lambda: md.posterior(S, np.zeros((40, 2)), np.zeros((40, 2)), [1] * 40, [2] * 39 + [1]),
        ValueError,
        "got s = 1, t = 1",
    ),
    "s below 0": (lambda: md.transition(S, X, -1, 5), ValueError, r"s must lie in 0\.\.10; got -1"),
    "s and t of different lengths": (lambda: S.beta_ts([1, 2], [3, 4, 5]), ValueError, "rows of one length; got lengths 2 and 3"),
}

SCHEDULES = {
    "unsorted alpha_bar": (lambda: table(_3=0.9), ValueError, r"must fall strictly; alpha_bar\[3\] = 0.9 follows 0.8"),
    "alpha_bar stands still": (lambda: md.Schedule([1, 0.5, 0.5]), ValueError, r"alpha_bar\[2\] = 0.5 follows 0.5"),
    "alpha_bar[0] != 1": (lambda: md.Schedule([0.999, 0.5]), ValueError, r"alpha_bar\[0\] must be exactly 1 .*; got 0.999"),
    "alpha_bar is NaN": (lambda: table(_4=np.nan), ValueError, "must be finite; entry 4"),
    "alpha_bar is negative": (lambda: table(_9=-0.1), ValueError, r"must stay positive; alpha_bar\[9\] = -0.1"),
    "alpha_bar reaches 0": (lambda: md.Schedule([1, 0.5, 0]), ValueError, r"alpha_bar\[2\] = 0"),
    "alpha_bar is a matrix": (
        lambda: md.Schedule(np.ones((2, 2))),
        ValueError,
        r"one row of T \+ 1 >= 2 numbers; got shape \(2, 2\)",
    ),
    "alpha_bar is one number": (lambda: md.Schedule([1.0]), ValueError, r"got shape \(1,\)"),
    "a beta of 1": (
        lambda: md.Schedule.from_betas([0.1, 1.0]),
        ValueError,
        "strictly between 0 and 1, for t = 1..T; got 0.1, 1.0",
    ),
    "a beta of 0": (lambda: md.Schedule.linear(10, beta_1=0), ValueError, "strictly between 0 and 1"),
    "T = 0": (lambda: md.Schedule.linear(0), ValueError, "T must be an int >= 1; got 0"),
    "T is a float": (lambda: md.Schedule.cosine(1e3), ValueError, "T must be an int >= 1; got 1000.0"),
    "a sigmoid backwards": (lambda: md.Schedule.sigmoid(9, 3, -3), ValueError, "start < end and tau > 0"),
    "more steps than T": (lambda: S.times(11), ValueError, r"an int in 1\.\.10; got 11"),
    "no steps": (lambda: S.times(0), ValueError, r"in 1\.\.10; got 0"),
    "a float number of steps": (lambda: S.times(5.0), ValueError, r"an int in 1\.\.10; got 5.0"),
    "unknown spacing": (lambda: S.times(5, "leading"), ValueError, '"trailing" or "quadratic"; got \'leading\''),
}

ARRAYS = {
    "NumPy noise for a tensor": (lambda: md.marginal(S, TX, 5).sample(np.zeros((4, 2))), TypeError, "mixed: convert one"),
    "x_0 NumPy, x_t torch": (lambda: md.posterior(S, X, TX, 1, 2), TypeError, "mixed: convert one"),
    "a list for x_0": (lambda: md.marginal(S, [[0.0, 1.0]], 5), TypeError, "expected a NumPy array or a torch tensor, got list"),
    "noise of another shape": (
        lambda: md.marginal(S, X, 5).sample(np.zeros((4, 3))),
        ValueError,
        r"shape \(4, 2\); got \(4, 3\)",
    ),
    "one noise for the whole batch": (
        lambda: md.marginal(S, X, 5).sample(np.zeros(2)),
        ValueError,
        r"shape \(4, 2\); got \(2,\)",
    ),
    "noise is None": (lambda: md.marginal(S, X, 5).sample(None), TypeError, "got NoneType"),
    "x_0 and x_t of different shapes": (lambda: md.posterior(S, X, X[:2], 1, 2), ValueError, r"got \(4, 2\) and \(2, 2\)"),
    "a legacy RandomState": (
        lambda: normal(np.random.RandomState(0)),
        TypeError,
        "Generator or torch.Generator, got RandomState",
    ),
    "a seed for a generator": (lambda: normal(0), TypeError, "got int"),
    "a coefficient that does not fit": (lambda: like(np.ones(3), X), ValueError, "one number, or one for each example"),
    "a module for an array": (lambda: namespace(np), TypeError, "got module"),
    "features of a number": (lambda: sum_features(np.float64(3)), ValueError, r"needs shape \(B, \.\.\.\)"),
    "negative variance": (lambda: md.Gaussian(X, -1.0), ValueError, "must be a number >= 0"),
    "NaN variance": (lambda: md.Gaussian(X, np.nan), ValueError, "must be a number >= 0; got a negative one or NaN"),
    "a variance of another shape": (
        lambda: md.Gaussian(X, np.ones((4, 3))),
        ValueError,
        r"broadcast against .* \(4, 2\); got \(4, 3\)",
    ),
    "a variance of more axes": (lambda: md.Gaussian(np.zeros(2), np.ones((4, 2))), ValueError, r"broadcast against"),
    "tensor variance of a NumPy mean": (lambda: md.Gaussian(X, torch.ones(4, 2)), TypeError, "mixed"),
    "density of a point": (lambda: md.Gaussian(X, 0.0).log_prob(X), ValueError, "point mass has no density"),
    "KL to a point": (lambda: md.Gaussian(X, 1.0).kl(md.Gaussian(X, 0.0)), ValueError, "point mass has no density"),
    "Bayes without any doubt": (lambda: md.Gaussian(X, 0.0).given(1.0, 0.0, X), ValueError, "both variances are 0"),
    "seen with negative variance": (lambda: md.Gaussian(X, 1.0).given(1.0, -0.5, X), ValueError, "must be a number >= 0"),
}

PREDICTIONS = {
    "unknown kind read": (
        lambda: md.from_output("epsilon", X, X, 0.8, 0.6),
        ValueError,
        "one of eps, x_0, v, score; got 'epsilon'",
    ),
    "unknown kind trained": (lambda: md.target("x0", X, X, 0.8, 0.6), ValueError, "one of eps, x_0, v, score; got 'x0'"),
    "unknown kind of network": (lambda: NetworkDenoiser(MLP(width=8), S, "noise"), ValueError, "one of eps, x_0, v, score"),
    "a prediction at t = 0": (lambda: md.from_output("x_0", X, X, *S.scales(0)), ValueError, "at t = 0 there is no noise"),
    "a score at t = 0": (lambda: md.target("score", X, X, *S.scales(0)), ValueError, "a score needs noise > 0"),
    "output of another shape": (lambda: md.from_output("eps", X[:, :1], X, 0.8, 0.6), ValueError, r"got \(4, 1\) and \(4, 2\)"),
    "x_0 and eps of different shapes": (
        lambda: md.target("v", X, X[:1], 0.8, 0.6),
        ValueError,
        "x_0 and eps must have one shape",
    ),
    "unknown variance": (
        lambda: md.reverse_transition(S, PRED, X, 1, 2, "fixed"),
        ValueError,
        '"small", "large", "learned" or .*\'fixed\'',
    ),
    "variance is a number": (
        lambda: md.reverse_transition(S, PRED, X, 1, 2, 0.1),
        TypeError,
        r"an array of shape \(T \+ 1,\); got float",
    ),
    "variance is None": (lambda: md.reverse_transition(S, PRED, X, 1, 2, None), TypeError, "got NoneType"),
    "T explicit variances": (
        lambda: md.reverse_transition(S, PRED, X, 1, 2, ones[1:]),
        ValueError,
        r"shape \(11,\), .*; got \(10,\)",
    ),
    "a negative explicit variance": (
        lambda: md.reverse_transition(S, PRED, X, 1, 2, -ones),
        ValueError,
        "numbers >= 0; entry 1 is -1",
    ),
    "a NaN explicit variance": (
        lambda: md.reverse_transition(S, PRED, X, 1, 2, np.r_[ones[:4], np.nan, ones[:6]]),
        ValueError,
        "entry 4 is nan",
    ),
    "learned without var_mix": (
        lambda: md.reverse_transition(S, PRED, X, 1, 2, "learned"),
        ValueError,
        "needs a denoiser that predicts var_mix",
    ),
    "var_mix of another shape": (
        lambda: md.reverse_transition(S, md.Prediction(X, X, X[:, :1]), X, 1, 2, "learned"),
        ValueError,
        "pred.var_mix and x_t must have one shape",
    ),
    "x_0-hat of another shape": (
        lambda: md.reverse_transition(S, PRED, X[:1], 1, 2),
        ValueError,
        "pred.x_0 and x_t must have one shape",
    ),
    "from T to 0 at once": (lambda: md.reverse_transition(S, PRED, X, 0, 10), ValueError, "the step from T = 10 to 0"),
    "guidance without a condition": (lambda: md.Guided(EXACT, 2.0)(X, 5), ValueError, "needs a condition"),
    "a condition without null": (
        lambda: md.Guided(EXACT, 2.0)(X, 5, "cat"),
        TypeError,
        r"offers null\(\), the empty one; got str",
    ),
    "guidance by NaN": (lambda: md.Guided(EXACT, np.nan), ValueError, "scale must be a finite number"),
    "clipping to nothing": (lambda: md.Clipped(EXACT, 1, -1), ValueError, "low must be below high; got 1 and -1"),
    "a condition for the exact denoiser": (lambda: EXACT(X, 5, "cat"), ValueError, "takes no condition"),
    "points of another dimension": (lambda: EXACT(np.zeros((4, 3)), 5), ValueError, r"shape \(B, 2\); got \(4, 3\)"),
    "one point without its batch": (lambda: ring().score(np.zeros(2)), ValueError, r"shape \(B, 2\); got \(2,\)"),
    "NumPy for a network": (lambda: NET(X, 5), TypeError, "denoises torch tensors; got ndarray"),
    "as many t as there are no examples": (lambda: NET(TX, [1, 2, 3]), ValueError, "one for each of the 4 examples; got 3"),
    "a network of the wrong width": (lambda: NetworkDenoiser(MLP(out_dim=3, width=8), S)(TX, 5), ValueError, r"got \(4, 3\)"),
    "a label for a network without": (lambda: NET(TX, 5, Condition(vector=torch.ones(4, 3))), ValueError, "vector of width 0"),
    "a picture of odd size": (
        lambda: UNet(channels=(8, 8))(torch.zeros(1, 1, 6, 6), torch.tensor([1])),
        ValueError,
        "multiples of 4",
    ),
    "a mask that is not bool": (lambda: Condition(vector=torch.ones(4, 3)).drop(torch.ones(4)), ValueError, "mask must be bool"),
}

BOUNDS = {
    "x_0 off the 256 levels": (
        lambda: md.decoder_term(S, PRED, X + 0.1234, X),
        ValueError,
        "256 levels k / 127.5 - 1; .* density_term",
    ),
    "pixels 0..255": (lambda: md.decoder_term(S, PRED, np.full((4, 2), 200), X), ValueError, "256 levels"),
    "NaN pixels": (lambda: md.decoder_term(S, PRED, X * np.nan, X), ValueError, "256 levels"),
    "a decoder without width": (lambda: md.decoder_term(S, PRED, X + 1, X, 0 * ones), ValueError, "needs a variance > 0"),
    "the decoder's step as a KL": (lambda: md.step_term(S, PRED, X, X, 0, 1), ValueError, "use decoder_term"),
    "a bound that starts late": (lambda: check_grid(S, [9, 4, 0]), ValueError, "go from T = 10 to 0; got 9 to 0"),
    "a bound that stops early": (lambda: check_grid(S, [10, 1]), ValueError, "got 10 to 1"),
    "a bound with rising times": (
        lambda: md.variational_bound(EXACT, X, draw, times=[10, 5, 5, 0]),
        ValueError,
        "strictly decreasing",
    ),
    "a bound with a generator for draw": (
        lambda: md.variational_bound(EXACT, X, RNG),
        TypeError,
        r"draw\(x\) -> noise, .*; got Generator",
    ),
    "no dimensions": (lambda: md.bits_per_dim(1.0, 0), ValueError, "an int >= 1, the number of features; got 0"),
    "half a dimension": (lambda: md.bits_per_dim(1.0, 2.5), ValueError, "got 2.5"),
}

SAMPLERS = {
    "times that rise": (
        lambda: first(md.ddpm(EXACT, X, [0, 5, 10], draw)),
        ValueError,
        "strictly decreasing within 10..0; got 0, 5, 10",
    ),
    "times beyond T": (lambda: first(md.ddim(EXACT, X, [11, 0])), ValueError, r"times must lie in 0\.\.10; got 11"),
    "one time": (lambda: first(md.ddim(EXACT, X, [10])), ValueError, "two or more"),
    "a number for times": (lambda: first(md.ddim(EXACT, X, 10)), ValueError, "two or more"),
    "float times": (lambda: first(md.ddim(EXACT, X, np.linspace(10, 0, 3))), TypeError, "times must be an int or ints"),
    "eta above 1": (lambda: first(md.ddim(EXACT, X, [10, 0], draw, eta=1.5)), ValueError, r"eta must lie in 0\.\.1 .*; got 1.5"),
    "eta below 0": (lambda: first(md.ddim(EXACT, X, [10, 0], draw, eta=-0.1)), ValueError, "got -0.1"),
    "eta is NaN": (lambda: first(md.ddim(EXACT, X, [10, 0], draw, eta=np.nan)), ValueError, "got nan"),
    "eta > 0 without draw": (lambda: first(md.ddim(EXACT, X, [10, 0], eta=0.5)), ValueError, "adds noise, so it needs draw"),
    "ddpm without draw": (
        lambda: first(md.ddpm(EXACT, X, [10, 0], None)),
        TypeError,
        r"function draw\(x\) -> noise, .*; got NoneType",
    ),
    "a generator for draw": (lambda: first(md.ddim(EXACT, X, [10, 0], RNG, eta=1)), TypeError, "got Generator"),
    "a draw of another shape": (
        lambda: md.last(md.ddpm(EXACT, X, [10, 5, 0], lambda x: x[:1])),
        ValueError,
        "noise must have the mean's shape",
    ),
    "a sampler that yields nothing": (lambda: md.last([]), ValueError, "yielded nothing"),
    "order 3": (lambda: first(md.dpm_solver(EXACT, X, [10, 0], order=3)), ValueError, r"order must be 1 .DDIM. or 2 .*; got 3"),
    "order in words": (lambda: first(md.dpm_solver(EXACT, X, [10, 0], order="2M")), ValueError, "got '2M'"),
    "DPM-Solver with times that rise": (lambda: first(md.dpm_solver(EXACT, X, [0, 10])), ValueError, "strictly decreasing"),
    "Heun with times beyond T": (lambda: first(md.heun(EXACT, X, [12, 0])), ValueError, r"times must lie in 0\.\.10; got 12"),
    "a list for the start of Heun": (lambda: md.last(md.heun(EXACT, [[0.0, 1.0]], [10, 0])), TypeError, "got list"),
}

LIKELIHOODS = {
    "codes with times that rise": (lambda: md.last(md.invert(EXACT, X, [0, 5, 10])), ValueError, "strictly decreasing"),
    "a list for a picture": (lambda: md.flow_log_prob(EXACT, [[0.0, 1.0]]), TypeError, "a NumPy array or a torch tensor, got list"),
    "a likelihood at one time": (lambda: md.flow_log_prob(EXACT, X, times=[10]), ValueError, "times must be two or more"),
    "signs of another shape": (
        lambda: md.flow_log_prob(EXACT, X, hutchinson(np.ones((4, 1)))),
        ValueError,
        r"x and z must have one shape; got \(4, 2\) and \(4, 1\)",
    ),
    "signs of another library": (lambda: md.flow_log_prob(EXACT, X, hutchinson(TX)), TypeError, "mixed: convert one"),
    "a slope without a graph": (lambda: slope_along(lambda x: x.detach(), TX, TX), ValueError, "no gradient flows .*torch.no_grad"),
    "Richardson with an odd number of steps": (
        lambda: richardson(lambda times: 0.0, [10, 5, 2, 0]),
        ValueError,
        "number of steps must be even; got 3 steps",
    ),
    "Richardson with nothing to leave out": (lambda: richardson(lambda times: 0.0, [10]), ValueError, "must be even; got 0 steps"),
}

EDITS = {
    "a mask of numbers": (
        lambda: first(md.inpaint(EXACT, X, [10, 0], draw, X, np.ones((4, 2)))),
        TypeError,
        "mask must be bool, True where x_0 is known; got float64",
    ),
    "a mask of uint8": (
        lambda: first(md.inpaint(NET, TX, [10, 0], draw, TX, torch.ones(4, 2, dtype=torch.uint8))),
        TypeError,
        "mask must be bool, .*; got torch.uint8",
    ),
    "a mask for one example": (lambda: first(md.inpaint(EXACT, X, [10, 0], draw, X, MASK[:1])), ValueError, "mask must have one shape"),
    "a mask as a list": (lambda: first(md.inpaint(EXACT, X, [10, 0], draw, X, MASK.tolist())), TypeError, "got list"),
    "known of another shape": (
        lambda: first(md.inpaint(EXACT, X, [10, 0], draw, X[:, :1], MASK)),
        ValueError,
        r"x and known must have one shape; got \(4, 2\) and \(4, 1\)",
    ),
    "known of another library": (lambda: first(md.inpaint(EXACT, X, [10, 0], draw, TX, MASK)), TypeError, "mixed: convert one"),
    "no tries": (lambda: first(md.inpaint(EXACT, X, [10, 0], draw, X, MASK, resample=0)), ValueError, "int >= 1 .*; got 0"),
    "half a try": (lambda: first(md.inpaint(EXACT, X, [10, 0], draw, X, MASK, resample=1.5)), ValueError, "int >= 1 .*; got 1.5"),
    "yes for a number of tries": (lambda: first(md.inpaint(EXACT, X, [10, 0], draw, X, MASK, resample=True)), ValueError, "got True"),
    "inpainting with a generator for draw": (lambda: first(md.inpaint(EXACT, X, [10, 0], RNG, X, MASK)), TypeError, "got Generator"),
    "inpainting with times that rise": (lambda: first(md.inpaint(EXACT, X, [0, 10], draw, X, MASK)), ValueError, "strictly decreasing"),
    "no strength": (
        lambda: md.start_from(S, X, S.times(5), 0.0, draw),
        ValueError,
        r"strength must lie in 0\.\.1 and leave at least one of the 5 steps; got 0.0",
    ),
    "more strength than there is": (lambda: md.start_from(S, X, S.times(5), 1.1, draw), ValueError, "of the 5 steps; got 1.1"),
    "strength in percent": (lambda: md.start_from(S, X, S.times(5), 60, draw), ValueError, r"in 0\.\.1 .*; got 60"),
    "strength is NaN": (lambda: md.start_from(S, X, S.times(5), np.nan, draw), ValueError, "got nan"),
    "too little strength for a step": (lambda: md.start_from(S, X, S.times(5), 0.05, draw), ValueError, "leave at least one of the 5"),
    "start_from with a generator for draw": (lambda: md.start_from(S, X, S.times(5), 0.5, RNG), TypeError, "got Generator"),
    "start_from with a number of steps": (lambda: md.start_from(S, X, 5, 0.5, draw), ValueError, "times must be two or more"),
}

LEARNING = {
    "a variance for the best at T times": (
        lambda: md.optimal_variance(S, np.ones(10)),
        ValueError,
        r"mmse must .*shape \(11,\), entry t for time t; got shape \(10,\)",
    ),
    "a negative mmse": (lambda: md.optimal_variance(S, -ones), ValueError, "mmse must be numbers >= 0; entry 1 is -1"),
    "an mmse of NaN": (lambda: md.optimal_variance(S, np.r_[ones[:4], np.nan, ones[:6]]), ValueError, "numbers >= 0; entry 4 is nan"),
    "the bound's loss without var_mix": (lambda: vlb_loss(NET, TX + 1, 5, TX), ValueError, "needs a denoiser that predicts var_mix"),
    "the hybrid loss without var_mix": (lambda: hybrid_loss(NET, TX + 1, 5, TX), ValueError, "needs a denoiser that predicts var_mix"),
    "the bound's loss at t = 0": (lambda: vlb_loss(NET, TX + 1, 0, TX, variance="small"), ValueError, r"t must lie in 1\.\.10; got 0"),
    "the bound's loss off the levels": (
        lambda: vlb_loss(NET, TX + 0.1234, 1, TX, variance="small"),
        ValueError,
        "256 levels .* density_term as the decoder",
    ),
    "no t to choose from": (lambda: LossAwareTimes(0), ValueError, "T >= 1, history >= 1, 0 <= uniform < 1; got 0, 10, 0.001"),
    "no history": (lambda: LossAwareTimes(10, history=0), ValueError, "got 10, 0, 0.001"),
    "nothing but uniform": (lambda: LossAwareTimes(10, uniform=1.0), ValueError, "0 <= uniform < 1; got 10, 10, 1.0"),
    "a history of another T": (
        lambda: LossAwareTimes(10).load_state_dict(LossAwareTimes(9).state_dict()),
        ValueError,
        r"a history of losses of shape \(10, 10\) was expected; this state has \(9, 10\)",
    ),
    "a history of nothing": (lambda: LossAwareTimes(10).load_state_dict({}), ValueError, "was expected; this state has none"),
    "a history for uniform times": (
        lambda: UniformTimes(10).load_state_dict(LossAwareTimes(10).state_dict()),
        ValueError,
        "uniform times keep no history",
    ),
    "times of another schedule": (
        lambda: Training(NET, 1, times=LossAwareTimes(9)),
        ValueError,
        r"those of the schedule, 1\.\.10; got times in 1\.\.9",
    ),
    "fit of a module without times": (lambda: first(fit(Training(MLP(width=8), 1), draw)), TypeError, "fit trains a NetworkDenoiser"),
    "a width of 0": (lambda: mmd(X, X, X, RNG, width=0.0), ValueError, "width must be a number > 0, in the unit of the points; got 0.0"),
    "a width of NaN": (lambda: mmd(X, X, X, RNG, width=np.nan), ValueError, "got nan"),
}

TOYS = {
    "weights that sum to 2": (lambda: md.GaussianMixture([1, 1], [[0], [1]], [1, 1]), ValueError, "sum to 1; got shape .* sum 2"),
    "a negative weight": (
        lambda: md.GaussianMixture([1.5, -0.5], [[0], [1]], [1, 1]),
        ValueError,
        "positive numbers that sum to 1",
    ),
    "means without an axis": (lambda: md.GaussianMixture([1], [0.0], [1]), ValueError, r"shape \(1, D\)"),
    "a negative variance": (lambda: md.GaussianMixture([1], [[0]], [-1]), ValueError, r"variances >= 0"),
    "a matrix that is not symmetric": (lambda: md.GaussianMixture([1], [[0, 0]], [[[1, 0.5], [0, 1]]]), ValueError, "symmetric"),
    "NaN means": (lambda: md.GaussianMixture([1], [[np.nan]], [1]), ValueError, "finite"),
    "density of a mixture of points": (
        lambda: md.GaussianMixture([1], [[0.0]], [0.0]).log_prob(X[:, :1]),
        ValueError,
        "no density",
    ),
    "entropy of an oblique mixture": (
        lambda: quantised_entropy(md.GaussianMixture([1], [[0, 0]], [[[1, 0.5], [0.5, 1]]])),
        ValueError,
        "round components",
    ),
    "an odd board": (lambda: checkerboard(5, RNG, 3), ValueError, "must be even"),
    "a blend with a weight too many": (
        lambda: md.GaussianMixture.blend([0.5, 0.3, 0.2], [ring(), ring()]),
        ValueError,
        r"one weight for each part, all of one dimension; got 2 parts, weights \(3,\)",
    ),
    "a blend of nothing": (lambda: md.GaussianMixture.blend([], []), ValueError, "got 0 parts"),
    "a blend of two dimensions": (lambda: md.GaussianMixture.blend([0.5, 0.5], [ring(), THREE]), ValueError, "all of one dimension"),
    "a blend of weights that sum to 2": (lambda: md.GaussianMixture.blend([1, 1], [ring(2), ring(2)]), ValueError, "sum to 1; .* sum 2"),
    "classes without weights": (lambda: md.ClassDenoiser([ring(), ring()], [1.0], S), ValueError, "one weight for each part"),
    "nothing known": (lambda: THREE.conditional([], []), ValueError, r"some of 0\.\.2, each once, .*; got \[\] and \[\]"),
    "everything known": (lambda: THREE.conditional([0, 1, 2], [0, 0, 0]), ValueError, r"some of 0\.\.2"),
    "known twice": (lambda: THREE.conditional([1, 1], [0, 0]), ValueError, "each once"),
    "a coordinate that is not there": (lambda: THREE.conditional([3], [0]), ValueError, r"some of 0\.\.2, .*; got \[3\]"),
    "a coordinate from the end": (lambda: THREE.conditional([-1], [0]), ValueError, r"some of 0\.\.2, .*; got \[-1\]"),
    "two values for one coordinate": (lambda: THREE.conditional([1], [0, 0]), ValueError, r"one value each; got \[1\] and \[0.0, 0.0\]"),
    "a mask for what is known": (lambda: THREE.conditional([True, False, False], [1, 0, 0]), ValueError, "known must .*; got .True"),
    "a coordinate of 0.7": (lambda: THREE.conditional([0.7], [1]), ValueError, r"known must be ints, .*; got \[0.7\]"),
    "known to be NaN": (lambda: THREE.conditional([0], [np.nan]), ValueError, "value finite; got .*nan"),
    "known of a point": (
        lambda: md.GaussianMixture([1], [[0.0, 0.0]], [0.0]).conditional([0], [0.0]),
        ValueError,
        "a component without width has no density here",
    ),
    "a class that is not there": (lambda: CLASSES(X, 5, md.Label(2)), ValueError, r"classes 0\.\.1 .or None, not told.; got 2"),
    "a number for a label": (lambda: CLASSES(X, 5, 1), TypeError, r"is a Label, such as Label\(0\); got int"),
    "a word for a label": (lambda: CLASSES(X, 5, "cat"), TypeError, r"is a Label, such as Label\(0\); got str"),
}

ALL = {**TIMES, **SCHEDULES, **ARRAYS, **PREDICTIONS, **BOUNDS, **SAMPLERS, **LIKELIHOODS, **EDITS, **LEARNING, **TOYS}


@pytest.mark.parametrize("name", ALL)
def test_refused_in_one_line_that_teaches(name):
    call, kind, fragment = ALL[name]
    with pytest.raises(kind, match=fragment) as error:
        call()
    assert type(error.value) is kind
    assert "\n" not in str(error.value) and 15 <= len(str(error.value)) <= 200


def test_there_are_enough_of_them():
    groups = (TIMES, SCHEDULES, ARRAYS, PREDICTIONS, BOUNDS, SAMPLERS, LIKELIHOODS, EDITS, LEARNING, TOYS)
    assert len(ALL) == sum(map(len, groups)) >= 160
