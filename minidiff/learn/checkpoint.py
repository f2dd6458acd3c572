"""Files: published weights (safetensors with metadata) and training states (one torch file, opened without pickle).

Both are written to a temporary name, flushed to the disk and renamed: a kill leaves the old file or the new one, never
half of one.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import nn

from minidiff.learn.denoiser import NetworkDenoiser
from minidiff.learn.train import Training


class FileError(ValueError):
    """A file that cannot be used, with one line that says which, why, and what to do."""


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path`; on leaving, its content is synced and renamed to `path`, on an error removed."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
    except OSError as e:
        raise FileError(f"cannot write {path}: {e.strerror}; choose another folder with --out") from e
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as f:
            os.fsync(f.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as e:
        raise FileError(f"cannot write {path}: {e.strerror or e}; nothing was changed") from e
    finally:
        temporary.unlink(missing_ok=True)


def save(
    path: str | Path, network: nn.Module | Mapping[str, torch.Tensor], metadata: Mapping[str, Any], dtype: torch.dtype | None = None
) -> None:
    """Publish weights as safetensors; every value of metadata (recipe, checksums, results) is kept as JSON.

    network: a module, or its tensors. dtype: torch.float16 halves the file and rounds each weight by up to 5e-4 of itself; loading makes
    float32 of it again. None keeps what there is. Raises ValueError for a weight that is too large for dtype.
    """
    tensors = network.state_dict() if isinstance(network, nn.Module) else network
    tensors = {k: v.detach().cpu().to(dtype if dtype and v.is_floating_point() else v.dtype).contiguous() for k, v in tensors.items()}
    for name, tensor in tensors.items():
        if dtype and not torch.isfinite(tensor).all():
            raise ValueError(f"weight {name!r} is too large for {dtype}: publish it as float32")
    with replacing(path) as temporary:
        temporary.write_bytes(to_bytes(tensors, {k: json.dumps(v) for k, v in metadata.items()}))


def load(path: str | Path, build: Callable[[Any], NetworkDenoiser]) -> NetworkDenoiser:
    """The denoiser whose weights lie at path, rebuilt from the recipe inside the file.

    build: turns the recipe into a denoiser (`minidiff.run.build`). Raises FileError for a missing, truncated or altered
    file and for weights that do not fit their recipe.
    """
    tensors, metadata = read(path)
    if "recipe" not in metadata:
        raise FileError(f"{path}: no recipe inside, so the network cannot be rebuilt; was it written by minidiff?")
    denoiser = build(metadata["recipe"])
    fill(denoiser.network, tensors, path)
    denoiser.network.eval().requires_grad_(False)
    return denoiser


def read(path: str | Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors and metadata of a safetensors file; FileError if it is missing, truncated or altered."""
    if not Path(path).is_file():
        raise FileError(f"{path}: no such file; `minidiff train` makes one; shipped ones go by name, such as mnist-ddpm")
    try:
        with safe_open(str(path), framework="pt") as f:
            metadata = {k: json.loads(v) for k, v in (f.metadata() or {}).items()}
            tensors = {k: f.get_tensor(k) for k in f.keys()}  # noqa: SIM118 (safe_open is no mapping)
    except (SafetensorError, OSError, ValueError) as e:
        raise FileError(f"{path}: not a readable safetensors file ({e}); fetch or train it again") from e
    return tensors, metadata


def read_metadata(path: str | Path) -> dict[str, Any]:
    """What published weights say of themselves: recipe, data checksum, steps, machine, measured results."""
    return read(path)[1]


def fingerprint(tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 of weights, names and shapes included: the same for a file whose metadata have changed."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def fill(network: nn.Module, tensors: Mapping[str, torch.Tensor], path: str | Path) -> None:
    """Put tensors into the network; FileError names the first that is missing, unknown, misshapen or not finite."""
    own = network.state_dict()
    for name in [*own, *tensors]:
        if name not in tensors or name not in own:
            problem = "missing" if name in own else "unknown to this network"
            raise FileError(f"{path}: weight {name!r} is {problem}; the file belongs to another recipe")
        if own[name].shape != tensors[name].shape:
            raise FileError(f"{path}: weight {name!r} has shape {tuple(tensors[name].shape)}, the recipe needs {tuple(own[name].shape)}")
        if not torch.isfinite(tensors[name]).all():
            raise FileError(f"{path}: weight {name!r} holds NaN or infinity; the file is damaged or the training diverged")
    network.load_state_dict(dict(tensors))


def save_state(path: str | Path, training: Training, recipe: Mapping[str, Any]) -> None:
    """Write all that resuming needs: step, seconds, weights, average, optimiser, times, and the recipe to compare with; on the CPU."""
    state = {
        "step": training.step,
        "seconds": training.seconds,
        "recipe": json.dumps(recipe, sort_keys=True),
        "network": training.network.state_dict(),
        "ema": training.average.state_dict(),
        "optimizer": training.optimizer.state_dict(),
        "times": {} if training.times is None else training.times.state_dict(),
    }
    buffer = io.BytesIO()  # torch reports a full disk as an internal error; a plain write reports it as what it is
    torch.save(_on_cpu(state), buffer)
    with replacing(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def load_state(
    path: str | Path, training: Training, recipe: Mapping[str, Any], renewed: Callable[[Any], Mapping[str, Any]] = lambda old: old
) -> None:
    """Continue where the file stopped. FileError if it is damaged or belongs to a run of another recipe.

    renewed: brings a recipe that an earlier version wrote up to today's form, before the two are compared.
    """
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
        step, other = int(state["step"]), json.loads(state["recipe"])
    except Exception as e:  # torch raises many kinds for a damaged file; all mean the same to the reader
        raise FileError(f"{path}: not a readable training state ({type(e).__name__}); delete it to start again") from e
    if json.dumps(renewed(other), sort_keys=True) != json.dumps(recipe, sort_keys=True):
        raise FileError(f"{path}: belongs to a run with other settings; give another --out, or delete it to start again")
    if training.times is not None:
        try:
            training.times.load_state_dict(state.get("times", {}))  # states older than the choice of t are of uniform runs
        except ValueError as e:
            raise FileError(f"{path}: {e}; give another --out, or delete it to start again") from e
    fill(training.network, state["network"], path)
    fill(training.average, state["ema"], path)
    training.optimizer.load_state_dict(state["optimizer"])
    training.step, training.seconds = step, float(state.get("seconds", 0.0))  # older states did not count them


def _on_cpu(value: Any) -> Any:
    """The same tensors, dictionaries and lists, on the CPU."""
    if isinstance(value, dict):
        return {k: _on_cpu(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_on_cpu(v) for v in value]
    return value.cpu() if isinstance(value, torch.Tensor) else value


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
