"""What the benchmarks share: the machine they ran on, timing in turns, results as JSON and Markdown."""

import argparse
import json
import multiprocessing
import os
import platform
import random
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from minidiff.learn.checkpoint import replacing


@dataclass
class Timing:
    """Seconds of each repetition, by the wall clock and of this process's CPU."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def time(self, work: Callable[[], object]) -> None:
        """Do the work once and note how long it took."""
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        self.cpu.append(time.process_time() - cpu)
        self.wall.append(time.perf_counter() - wall)

    @property
    def median(self) -> float:
        """The middle of the wall-clock seconds."""
        return float(np.median(self.wall))

    @property
    def spread(self) -> float:
        """Distance between the quartiles, as a share of the median."""
        low, high = np.quantile(self.wall, (0.25, 0.75))
        return float((high - low) / self.median)

    @property
    def quiet(self) -> float:
        """CPU seconds per wall second: the number of threads at work on a quiet machine, less where others took the cores."""
        return sum(self.cpu) / sum(self.wall)


def in_turns(cases: dict[str, Callable[[], object]], rounds: int, warm_up: int = 2) -> dict[str, Timing]:
    """Every case once per round, in a new random order each time, so that noise of the machine hits all alike."""
    timings = {name: Timing() for name in cases}
    for work in cases.values():
        for _ in range(warm_up):
            work()
    order, shuffle = list(cases), random.Random(0).shuffle
    for _ in range(rounds):
        shuffle(order)
        for name in order:
            timings[name].time(cases[name])
    return timings


Result = TypeVar("Result")


def alone(work: Callable[..., Result], *arguments: object) -> Result:
    """work(*arguments) in a fresh process, so that the peak of memory is its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def cost(work: Callable[[], object]) -> dict[str, float]:
    """CPU seconds of the work, and the MB that it held at its peak more than before; Linux only, in a process of its own."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew; that of getrusage would be inherited from the parent
    before, start = held("VmRSS"), time.process_time()
    work()
    return {"seconds": time.process_time() - start, "mb": held("VmHWM") - before}


def held(what: str) -> float:
    """MB of memory of this process: "VmRSS" now, "VmHWM" at the peak."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) / 1024


def sampling_options(p: argparse.ArgumentParser) -> None:
    """How canvases are sampled, the same for every benchmark of them."""
    p.add_argument("--sampler", default="dpm_solver")
    p.add_argument("--calls", type=int, default=20)
    p.add_argument("--scale", type=float, default=1.0)
    p.add_argument("--seed", type=int, default=0)


def ratio(timing: Timing, base: Timing) -> tuple[float, float, float]:
    """Speed in units of base's speed: median and quartiles of the ratios round by round."""
    low, middle, high = np.quantile(np.array(base.wall) / np.array(timing.wall), (0.25, 0.5, 0.75))
    return float(middle), float(low), float(high)


def machine() -> dict[str, object]:
    """What the numbers belong to."""
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "load_average": [round(x, 2) for x in os.getloadavg()],
        "python": platform.python_version(),
        "versions": {name: installed(name) for name in ("torch", "numpy", "minidiff", "diffusers")},
        "date": time.strftime("%Y-%m-%d %H:%M", time.gmtime()) + " UTC",
    }


def cpu_model() -> str:
    """The processor's name, with its family and model where the system tells: "AMD EPYC" alone is many processors."""
    try:
        lines = [line.partition(":") for line in Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()]
    except OSError:
        return platform.processor() or platform.machine()
    found = {key.strip(): value.strip() for key, _, value in lines}
    return f"{found.get('model name', platform.machine())} (family {found.get('cpu family', '?')}, model {found.get('model', '?')})"


def installed(name: str) -> str:
    """The version of a package, "" where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def write(path: Path, text: str) -> None:
    """The whole text or the old file."""
    with replacing(path) as temporary:
        temporary.write_text(text)


def kept(file: Path, make: Callable[..., dict[str, Any]], *args: object) -> dict[str, Any]:
    """What the file holds; made by make(*args) and written first where there is none, so that a benchmark that was stopped goes on."""
    if not file.exists():
        write(file, json.dumps(make(*args), indent=1))
        print(f"{file.stem}: done", flush=True)
    return json.loads(file.read_text())


def publish(folder: Path, name: str, results: dict, sections: list[str]) -> None:
    """NAME.json with everything and NAME.md for the eye, which is printed too."""
    results = {"machine": machine(), **results}
    write(folder / f"{name}.json", json.dumps(results, indent=1))
    m = results["machine"]
    where = f"{m['cpu']}, {m['cores']} cores, {m['threads']} thread(s), {m['instructions']}, torch {m['versions']['torch']}, {m['date']}"
    text = "\n\n".join([where, *sections]) + "\n"
    write(folder / f"{name}.md", text)
    print(text, flush=True)


def table(head: list[str], rows: list[list[object]], title: str = "") -> str:
    """A Markdown table."""
    lines = [f"**{title}**", ""] if title else []
    lines += ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows)])
