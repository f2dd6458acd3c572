"""Where files of data lie, what their checksums must be, and how they are downloaded: the same for every data set.

The checksum of every file is known, so a partial or altered one is never used.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Bytes = NDArray[np.uint8]


class DataError(ValueError):
    """Data that are missing, damaged or out of reach; one line that says which file and what to do."""


@dataclass(frozen=True, eq=False)
class Pictures:
    """images uint8 (N, H, W), 0 = background, or (N, H, W, 3), RGB; labels uint8 (N,), 0..9; both read-only.

    name: "embedded" or "full". checksum: SHA-256 of the pixels and labels, the same wherever the files lay.
    """

    images: Bytes
    labels: Bytes
    name: str
    checksum: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "checksum", content_sha256(self.images, self.labels))

    def __len__(self) -> int:
        return len(self.labels)


def content_sha256(images: Bytes, labels: Bytes) -> str:
    """SHA-256 of the pixels and then the labels, both in C order; a memory-mapped array is read piece by piece."""
    digest = hashlib.sha256()
    for i in range(0, len(images), 10_000):
        digest.update(images[i : i + 10_000].tobytes())
    digest.update(labels.tobytes())
    return digest.hexdigest()


def scale(images: Bytes) -> Tensor:
    """Pixels as the models see them, k / 127.5 - 1 in [-1, 1]: uint8 (N, H, W) -> float32 (N, 1, H, W), (N, H, W, 3) -> (N, 3, H, W)."""
    import torch  # here, so that reading and fetching data needs no torch

    if images.dtype != np.uint8 or not (images.ndim == 3 or (images.ndim == 4 and images.shape[3] == 3)):
        raise ValueError(f"images must be uint8 of shape (N, H, W) or (N, H, W, 3); got {images.dtype} {images.shape}")
    channels_first = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(channels_first, dtype=np.float32)) / 127.5 - 1


def data_dir() -> Path:
    """What comes with minidiff (pictures, weights): minidiff/data in the installed package, data/ in the repository."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "data", package.parent / "data"):
        if (folder / "mnist-5k").is_dir():
            return folder
    raise DataError(f"the data that come with minidiff are missing beside {package}; install minidiff again")


def cache_dir() -> Path:
    """Where downloads go: $MINIDIFF_CACHE, otherwise the operating system's folder for caches."""
    import pooch

    return Path(os.environ.get("MINIDIFF_CACHE") or pooch.os_cache("minidiff")).expanduser()


def where(name: str) -> list[Path]:
    """The folders in which a full set is looked for, in this order; DataError if $MINIDIFF_DATA is no folder."""
    own = os.environ.get("MINIDIFF_DATA")
    if own and not Path(own).expanduser().is_dir():
        raise DataError(f"MINIDIFF_DATA is set to {own}, which is not a folder; correct it or unset it")
    roots = [Path(own).expanduser()] if own else []
    return [root / name for root in (*roots, data_dir(), cache_dir())]


def check(path: Path, sha256: str) -> None:
    """DataError unless the file is there and has this checksum."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as f:
            for piece in iter(lambda: f.read(1 << 20), b""):
                digest.update(piece)
    except OSError as e:
        raise DataError(f"{path}: cannot be read ({e.strerror or e}); check its permissions") from None
    actual = digest.hexdigest()
    if actual != sha256:
        raise DataError(f"{path}: SHA-256 must begin {sha256[:12]}, got {actual[:12]}: partial or altered; delete it and fetch it again")


def download(file: str, sha256: str, folder: Path, mirrors: Sequence[str], instead: str) -> None:
    """One file, from the first mirror that gives it whole; pooch checks it under a temporary name and then renames it.

    instead: what to do if none does, for the one-line error. Raises DataError then, and where the folder cannot be written.
    """
    import pooch
    import requests

    bar: Any = sys.stderr.isatty()
    reasons = []
    for mirror in mirrors:
        get = pooch.HTTPDownloader(progressbar=bar, chunk_size=1 << 16, timeout=20)
        try:
            pooch.retrieve(mirror + file, f"sha256:{sha256}", fname=file, path=folder, downloader=get)
            return
        except requests.RequestException as e:
            status = getattr(e.response, "status_code", None)
            reasons.append(f"{_host(mirror)}: {f'HTTP {status}' if status else 'no connection'}")
        except ValueError:
            reasons.append(f"{_host(mirror)}: wrong SHA-256")
        except OSError as e:
            raise DataError(f"cannot write to {folder} ({e.strerror or e}); set MINIDIFF_CACHE to a folder that can be written") from e
    raise DataError(f"no mirror gave {file} ({'; '.join(reasons)}); {instead}")


def _host(address: str) -> str:
    return address.split("/")[2]


_said: set[tuple[str, str, str]] = set()


def say_once(set_name: str, split: str, pictures: Pictures, text: str) -> None:
    """Say once per process, on stderr, which pictures these are and how many."""
    if (set_name, split, pictures.name) not in _said:
        _said.add((set_name, split, pictures.name))
        print(f"{set_name} {split}: {len(pictures):,} {text}", file=sys.stderr)
