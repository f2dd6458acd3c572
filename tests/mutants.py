"""Typical mistakes, planted one at a time in a copy of minidiff: which check of the ledger notices?

    python tests/mutants.py          (make mutants)

Each mutant is a small patch of our own source. The runner copies the package, applies one patch, runs the ledger in a fresh
process until the first failure, and prints a Markdown table. It exits with 1 if a mutant survives or no longer applies.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Mutant:
    """Mistake `number` of the list of typical mistakes: in `file`, `old` (exactly once there) becomes `new`.

    first: the equations to try before all others, for speed; the verdict does not depend on it.
    """

    number: int
    title: str
    file: str
    old: str
    new: str
    first: tuple[str, ...] = ()


SMALL_RATIO = "np.abs(np.expm1(schedule.log_alpha_bar[s])) / -np.expm1(schedule.log_alpha_bar[t])"
LATER = "schedule.log_alpha_bar[np.minimum(t + 1, schedule.T)]"
C_0 = "c_0 = np.sqrt(schedule.alpha_bar[s]) * schedule.beta_ts(s, t) / gone"
LAST_STEP = " if s > 0 else pred.x_0\n"
CALL = "pred = denoiser(x, t, cond)\n            # On the step to 0"
NOISE = "np.sqrt(np.abs(np.expm1(self.log_alpha_bar[t])))"
COSINE = "math.pi / 2) ** 2\n        return cls.from_betas(np.minimum(1 - f[1:] / f[:-1], max_beta))"
PREDICT = "            pred = denoiser(x_t, t, cond)\n"
KL = "like(0.5 * (ratio - 1 - _log(ratio)), mean) + mean**2"
MIDDLE = "middle = log_sub_exp(log_ndtr(b), log_ndtr(a))"
NAIVE = "middle = xp.log(xp.clip(xp.exp(log_ndtr(high)) - xp.exp(log_ndtr(low)), 1e-12, None))"
Z = 'abs(exact - mean) / error, 5.0, "Monte Carlo"'

MUTANTS = [
    Mutant(1, "posterior variance, index off by one", "process.py", SMALL_RATIO,
           f"np.expm1(schedule.log_alpha_bar[t]) / np.expm1({LATER})", ("ddpm 6-7",)),
    Mutant(1, "posterior variance, ratio inverted", "process.py", SMALL_RATIO,
           "np.expm1(schedule.log_alpha_bar[t]) / np.expm1(schedule.log_alpha_bar[s] - 1e-9)", ("ddpm 6-7",)),
    Mutant(1, "posterior variance is beta", "process.py",
           SMALL_RATIO + " * schedule.beta_ts(s, t)", "schedule.beta_ts(s, t)", ("ddpm 6-7",)),
    Mutant(2, "tables from t = 0: beta_{t+1} for beta_t", "schedule.py",
           "np.cumsum(np.log1p(-betas))", "np.cumsum(np.log1p(-np.roll(betas, -1)))", ("ddpm 2",)),
    Mutant(2, "the sampler stops at t = 1", "sample.py", LAST_STEP, " if s > 0 else x\n", ("ddpm Alg. 2",)),
    Mutant(2, "abar at t - 1 read as abar at -1 when t = 1", "process.py", C_0, C_0.replace("bar[s]", "bar[s - 1]"), ("ddpm 6-7",)),
    Mutant(2, "the sampler passes t - 1 to the denoiser", "sample.py", CALL, CALL.replace("x, t,", "x, max(t - 1, 1),"),
           ("ddpm Alg. 2",)),
    Mutant(3, "alpha for alpha_bar", "schedule.py",
           "return np.sqrt(self.alpha_bar[t]), ", "return np.sqrt(1 - self.beta[t]), ", ("ddpm 4",)),
    Mutant(3, "variance for standard deviation as the scale of the noise", "gaussian.py", "like(_sqrt(self.var), self.mean)",
           "like(self.var, self.mean)", ("ddpm 2",)),
    Mutant(3, "1 - abar for its root", "schedule.py",
           NOISE, NOISE.replace("np.sqrt", ""), ("ddpm 4",)),
    Mutant(3, "sqrt(abar) missing: x_0 is not shrunk", "process.py", "like(signal, x_0) * x_0", "x_0", ("ddpm 4",)),
    Mutant(4, "posterior mean: 1 - abar_t without its power, so mu_theta lacks 1/sqrt(1 - abar)", "process.py", C_0,
           C_0.replace("gone", "np.sqrt(gone)"), ("ddpm 11",)),
    Mutant(4, "x_0 from eps: the noise scale missing", "prediction.py", "return Prediction((x_t - b * eps) / a, eps, var_mix)",
           "return Prediction((x_t - eps) / a, eps, var_mix)", ("ddpm 15",)),
    Mutant(5, "x_0 clipped inside the bound", "bound.py", PREDICT,
           PREDICT + "            pred = Prediction(pred.x_0.clip(-1, 1), pred.eps)\n", ("gaussian B10",)),
    Mutant(6, '"large" with sigma_1^2 = beta_1', "reverse.py", "np.where(s == 0, small, schedule.beta_ts(s, t))", "schedule.beta_ts(s, t)",
           ("gaussian B10",)),
    Mutant(6, '"small" with sigma_1^2 = 0', "reverse.py", "small = posterior_variance(schedule, start, end)",
           "small = posterior_variance(schedule, s, t)", ("gaussian B10",)),
    Mutant(6, '"small" with sigma_1^2 = beta_1', "reverse.py", 'return small if kind == "small" else',
           'return np.where(s == 0, schedule.beta_ts(s, t), small) if kind == "small" else', ("gaussian B10",)),
    Mutant(7, "in the check: the small variance expected to close the gap", "verify/gaussian_data.py",
           "EULER_LIMIT = 0.5 * np.euler_gamma + 0.5 * (1 - np.log(2))", "EULER_LIMIT = 0.0", ("gaussian B14",)),
    Mutant(7, "in the check: the same for a mixture", "verify/mixture_bound.py",
           "0.5 * np.euler_gamma + 0.5 * (1 - np.log(2))", "0.0", ("mixture B21",)),
    Mutant(8, "the bound as a mean over t", "bound.py", "self.steps.sum(0)", "self.steps.mean(0)", ("ddpm 5",)),
    Mutant(8, "the mean over features", "arrays.py",
           "math.prod(x.shape[1:])).sum(-1)", "math.prod(x.shape[1:])).mean(-1)", ("ddpm L_T",)),
    Mutant(8, "the constant C dropped", "gaussian.py", KL, "mean**2", ("ddpm 8",)),
    Mutant(8, "L_T forgotten in the total", "bound.py", "return self.prior + self.steps.sum(0)", "return self.steps.sum(0)", ("ddpm 5",)),
    Mutant(8, "the arguments of the KL swapped", "bound.py", "q.kl(reverse_transition(schedule, pred, x_t, s, t, variance))",
           "reverse_transition(schedule, pred, x_t, s, t, variance).kl(q)", ("ddpm 8",)),
    Mutant(9, "nats printed as bits: log 2 missing", "bound.py", "nats / (dims * math.log(2))", "nats / dims", ("ddpm bits/dim",)),
    Mutant(9, "bits per image, not per dimension", "bound.py", "nats / (dims * math.log(2))", "nats / math.log(2)", ("ddpm bits/dim",)),
    Mutant(9, "in the check: log 127.5 missing between density and codes", "verify/decoder.py",
           "smooth + np.log(127.5)", "smooth", ("ddpm bits/dim",)),
    Mutant(10, "decoder: half width 1/256", "bound.py", "HALF_BIN = 1 / 255", "HALF_BIN = 1 / 256", ("ddpm 13",)),
    Mutant(10, "decoder: half width 1/127.5", "bound.py", "HALF_BIN = 1 / 255", "HALF_BIN = 1 / 127.5", ("ddpm 13",)),
    Mutant(10, "decoder: end bins closed", "bound.py",
           "return xp.where(below & above, middle, xp.where(above, log_ndtr(-low), log_ndtr(high)))", "return middle", ("ddpm 13",)),
    Mutant(10, "decoder: levels k/128 - 1", "bound.py", "level = (x_0 + 1) * 127.5", "level = (x_0 + 1) * 128", ("ddpm 13",)),
    Mutant(10, "decoder: end levels found by == 1", "bound.py", "x < 1 - HALF_BIN, x > -1 + HALF_BIN", "x != 1, x != -1", ("ddpm 13",)),
    Mutant(11, "decoder: difference of cdfs, clamped at 1e-12", "bound.py", MIDDLE, NAIVE, ("ddpm 13",)),
    Mutant(11, "decoder: the upper tail not mirrored", "bound.py", "flip = low + high > 0", "flip = low > high", ("ddpm 13",)),
    Mutant(12, "cosine: the last beta not cut", "schedule.py", COSINE, COSINE.replace("max_beta)", "1 - 1e-15)"), ("improved_ddpm 17",)),
    Mutant(12, "cosine: abar not recomputed after the cut", "schedule.py", COSINE,
           "math.pi / 2) ** 2\n        return cls(f / f[0])", ("improved_ddpm 17",)),
    Mutant(12, "cosine: not divided by f(0)", "schedule.py", COSINE,
           COSINE.replace("f[:-1]", "np.concatenate([[1.0], f[1:-1]])"), ("improved_ddpm 17",)),
    Mutant(13, "in the check: 1e-4 to 0.02 whatever T is", "verify/routes.py",
           "1e-4 * 1000 / T, 0.02 * 1000 / T", "1e-4, 0.02", ("gaussian B14",)),
    Mutant(13, "the default linear schedule ends at 0.002", "schedule.py",
           "beta_T: float = 0.02)", "beta_T: float = 0.002)", ("ddpm 4", "ddpm L_T")),
    Mutant(18, "noise added on the step to t = 0", "sample.py", LAST_STEP, "\n", ("ddpm Alg. 2",)),
    Mutant(18, "no noise on any step", "sample.py", ".sample(draw(x))", ".mean", ("ddpm Alg. 2",)),
    Mutant(23, "score without 1/noise", "prediction.py", "return -eps / like(noise, eps)", "return -eps", ("ddpm 15",)),
    Mutant(23, "score with the wrong sign", "prediction.py",
           "return -eps / like(noise, eps)", "return eps / like(noise, eps)", ("ddpm 15",)),
    Mutant(23, "eps from the score without the noise scale", "prediction.py", "else -b * output", "else -output", ("ddpm 15",)),
    Mutant(23, "v with the wrong sign", "prediction.py", "* eps - like(noise, x_0) * x_0", "* eps + like(noise, x_0) * x_0", ("ddpm 15",)),
    Mutant(23, "the mixture's score with the wrong sign", "mixture.py", 'return -_einsum("bk,kde', 'return _einsum("bk,kde', ("mixture B02",)),
    Mutant(28, "alpha_bar kept in float32", "schedule.py", "table = np.array(self.alpha_bar, dtype=np.float64)",
           "table = np.array(self.alpha_bar, dtype=np.float32).astype(np.float64)", ("ddpm 4",)),
    Mutant(28, "1 - abar formed in float32", "schedule.py", NOISE,
           "np.sqrt(1 - self.alpha_bar[t].astype(np.float32)).astype(np.float64)", ("ddpm 4",)),
    Mutant(28, "coefficients cast before they are combined", "process.py", "return c_0, c_t\n",
           "return np.float32(np.sqrt(schedule.alpha_bar[s])) * np.float32(schedule.beta_ts(s, t)) / np.float32(gone), c_t\n",
           ("ddpm 6-7",)),
    Mutant(29, "Monte Carlo judged by a loose absolute tolerance", "verify/registry.py",
           Z, Z.replace("/ error, 5.0", "* 1.0, 0.5"), ("ledger power",)),
    Mutant(29, "shared noise goes unnoticed", "verify/registry.py", "> 5 / np.sqrt(n)", "> 2", ("ledger power",)),
    Mutant(29, "in a check: one seed for both sides", "verify/ddpm_bound.py", "_draws(40_000, 4)", "_draws(40_000, 3)", ("ddpm 3",)),
    Mutant(29, "NaN passes", "verify/registry.py",
           "bool(self.error <= self.tolerance)", "not self.error > self.tolerance", ("ledger power",)),
]  # fmt: skip

# Runs in the mutated copy: the hinted equations, then those that took long here last. Prints what noticed and exits with 3.
LEDGER = """
import sys, warnings
warnings.simplefilter("ignore")
from minidiff.verify import check, find
slow = ["ddpm bound of a pixel", "ddpm Alg. 1", "ddpm Alg. 2", "gaussian B14", "mixture B21", "mixture B16", "mixture torch"]
first = sys.argv[1:]
for e in sorted(find(), key=lambda e: (e.name not in first, e.name in slow)):
    r = check(e)
    if not r.passed:
        what = next((c.what for c in r.checks if not c.passed), r.failure)
        print(f"{e.name} ({e.function}): {what}")
        sys.exit(3)
"""


def attempt(mutant: Mutant | None) -> tuple[str, str, float]:
    """("killed" | "survived" | "does not apply", by what, seconds); None runs the package as it is."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "minidiff"
        shutil.copytree(ROOT / "minidiff", package, ignore=shutil.ignore_patterns("__pycache__", "data"))
        if mutant is not None:
            path = package / mutant.file
            text = path.read_text(encoding="utf-8")
            if text.count(mutant.old) != 1 or mutant.new == mutant.old:
                return "does not apply", f"{mutant.file} holds the text {text.count(mutant.old)} times", time.perf_counter() - start
            path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
        hints = mutant.first if mutant else ()
        done = subprocess.run([sys.executable, "-c", LEDGER, *hints], cwd=folder, env=_environment(folder), capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if done.returncode == 0:
        return "survived", "", seconds
    by = done.stdout.strip() or "at import: " + (done.stderr.strip().splitlines() or ["no message"])[-1]
    return "killed", by, seconds


def _environment(folder: str) -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}


def main() -> int:
    """Print the table; 1 if any mutant survives or does not apply, or if the package itself fails."""
    verdict, by, seconds = attempt(None)
    if verdict != "survived":
        print(f"The package fails without any mutant: {by}")
        return 1
    print("| mistake | what was changed | noticed by | s |\n|---|---|---|---|", flush=True)
    failed, total = [], seconds
    for mutant in MUTANTS:
        verdict, by, seconds = attempt(mutant)
        total += seconds
        cell = by if verdict == "killed" else f"**{verdict}** {by}"
        print(f"| {mutant.number} | {mutant.title} (`{mutant.file}`) | {cell.replace('|', '&#124;')} | {seconds:.1f} |", flush=True)
        if verdict != "killed":
            failed.append(mutant.title)
    print(f"\n{len(MUTANTS) - len(failed)} of {len(MUTANTS)} mutants were noticed, in {total:.0f} s.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
