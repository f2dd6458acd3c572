"""Parts of one global batch: for several processes under torchrun, for several goes in one process, or both.

Every process draws the whole batch of step k, a function of (seed, k) alone, and works on its rows of it. A loss is a sum over
rows, so the sum of the parts' gradients is the gradient of the whole batch, also where it does not divide evenly: up to the order
of summation the run is that of one process. Checked by tests/test_distributed.py.

Why a plain all_reduce and not DistributedDataParallel: DDP takes means of shares that it supposes equal, wraps the network (which a
denoiser holds, and whose names a state keeps) and has a mode of its own for several goes. One sum a step leaves the training loop
what it is. DDP's gain, to send while it still computes, is for networks far larger than these.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from minidiff.learn.condition import Condition


@contextmanager
def processes(device: str = "cpu") -> Iterator[str]:
    """Join the processes that torchrun started; yields the device of this one. Without torchrun: one process, nothing to join.

    device: "cpu" (gloo) or "cuda" (nccl, one GPU for each process of a machine). ValueError where there is no such GPU.
    """
    local = int(os.environ.get("LOCAL_RANK", 0))
    if device == "cuda" and local >= torch.cuda.device_count():
        raise ValueError(f"process {local} of this machine finds {torch.cuda.device_count()} GPU(s); leave out --device, or start fewer")
    mine = f"cuda:{local}" if device == "cuda" else device
    if not (dist.is_available() and dist.is_torchelastic_launched()):
        yield mine
        return
    if device == "cuda":
        torch.cuda.set_device(mine)
    dist.init_process_group("cpu:gloo,cuda:nccl" if device == "cuda" else "gloo")  # what lies on the CPU goes by gloo in either case
    try:
        yield mine
    finally:
        dist.destroy_process_group()


def leave(status: int = 0) -> None:
    """End a process that torchrun started, at once, when its work is done; in any other process do nothing.

    An orderly exit runs the destructors of torch's threads, and with gloo (torch 2.13) these abort the process now and then: 3 of 22
    runs of two processes ended so, after everything was written, and torchrun called them failed.
    """
    if dist.is_available() and dist.is_torchelastic_launched():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is; 0 writes the files and prints."""
    return dist.get_rank() if size() > 1 else 0


def shares(n: int, accumulate: int = 1) -> list[slice]:
    """The rows of a global batch of n that this process works on, as `accumulate` slices one after the other.

    Sizes differ by at most one row. ValueError if there are fewer rows than parts.
    """
    parts = size() * accumulate
    if n < parts:
        raise ValueError(f"a batch of {n} is too small for {size()} process(es) x train.accumulate = {accumulate}: enlarge train.batch")
    bounds = [n * i // parts for i in range(parts + 1)]
    first = rank() * accumulate
    return [slice(*bounds[i : i + 2]) for i in range(first, first + accumulate)]


def part(value: Any, rows: slice, device: Any) -> Any:
    """These rows of a tensor or a Condition, on the device; None stays None."""
    if value is None:
        return None
    if isinstance(value, Condition):
        return Condition(*[part(v, rows, device) for v in (value.vector, value.tokens, value.image)])
    if isinstance(value, Tensor):
        return value[rows].to(device)
    raise TypeError(f"a batch is x_0 and a Condition or None; got {type(value).__name__}, of which no rows can be taken")


def total(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by its sum over all processes, the same to the last bit on each of them. ConnectionError if one is gone."""
    if size() == 1:
        return
    flat = torch.cat([x.reshape(-1) for x in tensors])  # one message instead of one for each weight
    try:
        dist.all_reduce(flat)
    except RuntimeError as e:
        raise ConnectionError("another process of this training is gone; the same command goes on from the last state saved") from e
    for x, summed in zip(tensors, flat.split([x.numel() for x in tensors]), strict=True):
        x.copy_(summed.view(x.shape))


def gathered(mine: Tensor, n: int) -> Tensor:
    """The values (n,) of the whole batch, in its order, from those of this process's rows."""
    whole = mine.new_zeros(n)
    whole[shares(n)[0]] = mine
    total([whole])  # the others have zeros there: no value is changed, NaN and infinity included
    return whole


def check_agreement(what: str, number: int) -> None:
    """ValueError, on every process, unless all bring the same number (below 2**53): what they share must be the same from the start."""
    numbers = gathered(torch.tensor([number], dtype=torch.float64), size()).tolist()
    if len(set(numbers)) > 1:
        raise ValueError(f"the processes do not agree on {what}: all machines need the same data and a shared --out folder")
