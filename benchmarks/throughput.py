"""Where the seconds of a training step go: operations, the machine's peak, the share reached, and what else was tried.

    OMP_NUM_THREADS=1 python benchmarks/throughput.py

Everything that is compared is measured in turns in this one run: quote the ratios. Writes throughput.json and .md.
"""

import argparse
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch
from measure import Timing, in_turns, publish, ratio, table
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from minidiff import Schedule
from minidiff.learn import NetworkDenoiser, Training, fit
from minidiff.nn import UNet, count_parameters
from minidiff.run.networks import make_network
from minidiff.run.recipes import find

# The first matching word of an operation's name says where its own seconds belong.
CLASSES = (
    ("convolution_backward", "convolutions, backward"), ("conv", "convolutions, forward"), ("group_norm", "group norm"), ("silu", "SiLU"),
    ("attention", "attention"), ("mm", "linear layers"), ("cat", "concatenation"), ("copy", "copies"), ("lerp", "average of the weights"),
    ("vector_norm", "clipping"), ("add", "sums and products"), ("mul", "sums and products"), ("div", "sums and products"),
)  # fmt: skip


def training_step(network: nn.Module, batch: int, size: int = 28, **how: object) -> Callable[[], object]:
    """One whole step of minidiff's training: noise, forward, backward, clipping, AdamW, average of the weights. how: see Training."""
    x = torch.randn((batch, 1, size, size), generator=torch.Generator().manual_seed(0)).clip(-1, 1)
    loop = fit(Training(NetworkDenoiser(network, Schedule.linear()), steps=1_000_000, **how), lambda rng: (x, None))
    return lambda: next(loop)


def recipe_network(name: str, memory_format: torch.memory_format = torch.channels_last) -> nn.Module:
    """The network of a recipe with fresh weights."""
    return make_network(find(name)).to(memory_format=memory_format)


def operations(step: Callable[[], object]) -> int:
    """Floating-point operations of a step, a product and its sum as two; attention by its formula: the fused kernel is not counted."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def best_rates(sizes: list[int], rounds: int) -> dict[str, float]:
    """The best float32 rates seen, operations a second: square torch.mm, and wide convolutions at full tilt.

    Both, for they may come from libraries that know different processors: torch.mm from MKL, convolutions from oneDNN.
    """
    rates = {}
    for n in sizes:
        a, b, out = torch.randn(n, n), torch.randn(n, n), torch.empty(n, n)
        timing = in_turns({"mm": lambda a=a, b=b, out=out: torch.mm(a, b, out=out)}, rounds)["mm"]
        rates[f"torch.mm, {n} x {n}"] = 2 * n**3 / min(timing.wall)
    for shape, batch in (((96, 96, 3, 1, 56), 8), ((256, 256, 3, 1, 28), 16)):
        cases, count, _ = convolution(shape, batch)
        rates[f"a convolution, {named(shape)}"] = count / min(in_turns({"it": cases["forward"]}, rounds)["it"].wall)
    return rates


def convolutions(network: nn.Module, batch: int) -> Counter[tuple]:
    """How often each convolution stands in the network: (inputs, outputs, kernel, stride, height)."""
    seen: Counter[tuple] = Counter()

    def note(m: nn.Conv2d, inputs: tuple[Tensor], _: Tensor) -> None:
        seen[m.in_channels, m.out_channels, m.kernel_size[0], m.stride[0], inputs[0].shape[-1]] += 1

    hooks = [m.register_forward_hook(note) for m in network.modules() if isinstance(m, nn.Conv2d)]
    with torch.no_grad():
        network(torch.randn(batch, 1, 28, 28), torch.ones(batch, dtype=torch.int64))
    for hook in hooks:
        hook.remove()
    return seen


def named(shape: tuple) -> str:
    c_in, c_out, kernel, stride, size = shape
    return f"{c_in} to {c_out}, {kernel} x {kernel}{f', stride {stride}' if stride > 1 else ''}, {size} x {size}"


def convolution(shape: tuple, batch: int) -> tuple[dict[str, Callable[[], object]], int, int]:
    """One convolution alone, forward and backward (gradients of input, weights and bias), and the operations of its forward pass.

    Operations twice: without the products with zeros of the padding, which a kernel may skip, and with them, as they are usually counted.
    """
    c_in, c_out, kernel, stride, size = shape
    layer = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2).to(memory_format=torch.channels_last)
    x = torch.randn(batch, c_in, size, size).to(memory_format=torch.channels_last).requires_grad_()
    y = layer(x)
    slope, wanted = torch.randn_like(y), (x, *layer.parameters())
    cases = {"forward": lambda: layer(x), "backward": lambda: torch.autograd.grad(y, wanted, slope, retain_graph=True)}
    inside = sum(0 <= at + tap - kernel // 2 < size for at in range(0, size, stride) for tap in range(kernel))
    return cases, 2 * batch * c_in * c_out * inside**2, 2 * y.numel() * c_in * kernel**2


def convolution_table(network: nn.Module, batch: int, peak: float, rounds: int) -> tuple[str, dict[str, float]]:
    """Every convolution of the network at its own shape, alone: the share of the peak that its kernel reaches."""
    rows, total = [], {"operations": 0.0, "padding": 0.0, "seconds": 0.0}
    for shape, times in sorted(convolutions(network, batch).items(), key=lambda item: -item[1]):
        cases, forward, padded = convolution(shape, batch)
        took = {name: min(timing.wall) for name, timing in in_turns(cases, rounds).items()}
        total["operations"] += 3 * times * forward
        total["padding"] += 3 * times * (padded - forward)
        total["seconds"] += times * sum(took.values())
        shares = [f"{100 * k * forward / took[name] / peak:.0f} %" for name, k in (("forward", 1), ("backward", 2))]
        rows.append([named(shape), times, f"{3 * times * forward / 1e9:.2f}", *shares])
    head = ["convolution", "times", "GFLOP a step", "of the peak, forward", "backward"]
    return table(head, rows, f"Each convolution alone, batch {batch}, best of {rounds}"), total


def breakdown(step: Callable[[], object], steps: int) -> dict[str, float]:
    """Share of CPU seconds by class of operation."""
    step()
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        for _ in range(steps):
            step()
    spent: Counter[str] = Counter()
    for event in recorded.events():
        spent[where(event)] += event.self_cpu_time_total
    whole = sum(spent.values())
    return {name: seconds / whole for name, seconds in spent.most_common()}


def where(event: object) -> str:
    """The class of a recorded operation; all that the optimiser calls is the optimiser's."""
    above = event
    while above is not None:
        if above.name.startswith("Optimizer."):
            return "optimiser"
        above = above.cpu_parent
    return next((label for word, label in CLASSES if word in event.name), "the rest, Python included")


def modes(args: argparse.Namespace) -> tuple[str, dict[str, Timing]]:
    """The same step in other ways, against the recipe's own."""
    contiguous = torch.contiguous_format
    cases = {
        "float32, channels last (the recipe)": training_step(recipe_network(args.recipe), args.batch),
        "float32, contiguous": training_step(recipe_network(args.recipe, contiguous), args.batch),
        "bfloat16 autocast, channels last": training_step(recipe_network(args.recipe), args.batch, precision="bfloat16"),
    }
    if not args.no_compile:
        cases["torch.compile, channels last"] = training_step(recipe_network(args.recipe), args.batch, compile=True)
        cases["torch.compile, contiguous"] = training_step(recipe_network(args.recipe, contiguous), args.batch, compile=True)
    return against(cases, args, "Training, the same network in other ways")


def shapes(args: argparse.Namespace) -> tuple[str, dict[str, Timing]]:
    """The recipe's network against those of other shapes."""
    made = {
        f"{args.recipe}": recipe_network(args.recipe),
        "folded 2 x 2, widths 32-96": UNet(channels=(32, 96), attention=(False, True), patch=2),
        "full resolution, widths 32-64-64": UNet(channels=(32, 64, 64), attention=(False, False, True), patch=1),
    }
    cases = {
        f"{name}: {count_parameters(net):,} parameters": training_step(net.to(memory_format=torch.channels_last), args.batch)
        for name, net in made.items()
    }
    return against(cases, args, "Training, other networks, channels last")


def against(cases: dict[str, Callable[[], object]], args: argparse.Namespace, title: str) -> tuple[str, dict[str, Timing]]:
    """Pictures a second of each case, and its speed in units of the first."""
    timings = in_turns(cases, args.rounds)
    base = next(iter(timings.values()))
    rows = []
    for name, timing in timings.items():
        middle, low, high = ratio(timing, base)
        speed = f"{middle:.2f} ({low:.2f} to {high:.2f})"
        rows.append([name, f"{args.batch / timing.median:.0f}", speed, f"{100 * timing.spread:.0f} %", f"{timing.quiet:.2f}"])
    return table(["case", "pictures/s", "speed (quartiles)", "spread", "CPU s per s"], rows, f"{title}, batch {args.batch}"), timings


def peak_table(step: Callable[[], object], rates: dict[str, float], conv: dict[str, float], args: argparse.Namespace) -> tuple[str, dict]:
    """The whole step against the best rate seen and against its own convolutions alone."""
    took, padded, peak = in_turns({"step": step}, args.rounds)["step"], operations(step), max(rates.values())
    count = padded - conv["padding"]
    rates = rates | {"the network's convolutions alone, forward and backward": conv["operations"] / conv["seconds"]}
    rates[f"the training step, {count / args.batch / 1e6:.0f} MFLOP a picture"] = count / took.median
    rows = [[what, f"{rate / 1e9:.1f}", f"{100 * rate / peak:.0f} %"] for what, rate in rates.items()]
    share, alone = conv["operations"] / count, conv["seconds"] / took.median
    note = f"Convolutions are {100 * share:.1f} % of the operations; alone they would take {100 * alone:.0f} % of the step."
    note += f" Products with zeros of the padding ({100 * conv['padding'] / padded:.0f} %) are not counted."
    found = {"flop_per_picture": count / args.batch, "rates": rates, "step_seconds": took.wall, "convolutions": conv}
    return table(["what", "GFLOP/s", "of the best"], rows, "Share of the best rate seen, float32") + "\n\n" + note, found


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--recipe", default="mnist-ddpm")
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--rounds", type=int, default=20)
    p.add_argument("--sizes", type=int, nargs="+", default=[256, 512, 1024, 2048], help="square matrices of the peak")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--no-compile", action="store_true", help="leave torch.compile out: it needs a C++ compiler and a minute")
    p.add_argument("--out", type=Path, default=Path("out/throughput"))
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    network = recipe_network(args.recipe)
    step, rates = training_step(network, args.batch), best_rates(args.sizes, args.rounds)
    each, conv = convolution_table(network, args.batch, max(rates.values()), args.rounds)
    peak, found = peak_table(step, rates, conv, args)
    parts = breakdown(step, max(2, args.rounds // 4))
    shares = table(["operations", "of the CPU seconds"], [[k, f"{100 * v:.1f} %"] for k, v in parts.items()], "Where a training step goes")
    sections, results = [peak, each, shares], {"peak": found, "breakdown": parts}
    for compare in (shapes, modes):
        text, timings = compare(args)
        sections.append(text)
        results[compare.__name__] = {name: timing.wall for name, timing in timings.items()}
        publish(args.out, "throughput", results, sections)


if __name__ == "__main__":
    main()
