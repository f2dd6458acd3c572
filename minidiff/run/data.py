"""Real digits: the full MNIST where it is at hand, otherwise the 5,000 of it that come with minidiff.

The checksum of every file is known, so a partial or altered one is never used.
"""

from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minidiff.run.idx import Bytes, DataError, read_idx

if TYPE_CHECKING:
    from torch import Tensor

FILES = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}
SHA256 = {  # the last two: the embedded digits
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    "images-idx3-ubyte.gz": "59e7782115eb67ae1578bf50652a25a28b277565cc9fe25fbe2b0136f0b331f2",
    "labels-idx1-ubyte.gz": "19f02bba1d74fca1abebfe8a954a8ab495d72c53b2f0453b844d2279c3401036",
}
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
EMBEDDED = "mnist-5k"
EMBEDDED_TRAIN = 4500  # the file is interleaved by class, so this prefix holds 450 of each and the rest 50 of each

_said: set[tuple[str, str]] = set()


@dataclass(frozen=True, eq=False)
class Digits:
    """images uint8 (N, 28, 28), 0 = background; labels uint8 (N,), 0..9; both read-only.

    name: "embedded" or "full". checksum: SHA-256 of the pixels and labels, the same wherever the files lay.
    """

    images: Bytes
    labels: Bytes
    name: str
    checksum: str = field(init=False)

    def __post_init__(self) -> None:
        digest = hashlib.sha256(self.images.tobytes() + self.labels.tobytes()).hexdigest()
        object.__setattr__(self, "checksum", digest)

    def __len__(self) -> int:
        return len(self.labels)


def mnist(split: str = "train", source: str = "auto", *, quiet: bool = False) -> Digits:
    """The handwritten digits of LeCun, Cortes and Burges; says once per process, on stderr, which ones and how many.

    split: "train" or "test". source: "auto" = the full set if `where()` has it, otherwise the embedded digits;
    "embedded" = 4,500 and 500 digits, always at hand; "full" = 60,000 and 10,000, downloaded if they are nowhere.
    Every embedded digit, those of its test split too, is one of the full training set: judge a model that was trained
    on the full set by the full test split only. Raises DataError for a damaged file and when no mirror answers.
    """
    if split not in FILES:
        raise ValueError(f'split must be "train" or "test"; got {split!r}')
    if source not in ("auto", "embedded", "full"):
        raise ValueError(f'source must be "auto", "embedded" or "full"; got {source!r}')
    folder = None if source == "embedded" else _find(FILES[split])
    if folder is None and source == "full":
        folder = fetch("mnist")
    images, labels = FILES[split]
    digits = _embedded(split) if folder is None else Digits(*_read(folder / images, folder / labels), "full")
    if not quiet:
        _say(split, digits, source, folder)
    return digits


def fetch(name: str = "mnist") -> Path:
    """The folder with all four files of the full set, downloaded into the user's cache unless they are at hand."""
    if name != "mnist":
        raise ValueError(f'there is no data set {name!r} to fetch; there is "mnist"')
    files = (*FILES["train"], *FILES["test"])
    cache = cache_dir() / "mnist"
    folder = _find(files)
    if folder is not None and folder != cache:
        for file in files:
            _check(folder / file)
        return folder
    for file in files:  # a file of the cache that is whole is left alone; one that is not is replaced
        _download(file, cache)
    return cache


def scale(images: Bytes) -> Tensor:
    """Pixels as the models see them: uint8 (N, 28, 28) -> float32 tensor (N, 1, 28, 28), k / 127.5 - 1 in [-1, 1]."""
    import torch  # here, so that reading and fetching data needs no torch

    if images.dtype != np.uint8 or images.ndim != 3:
        raise ValueError(f"images must be uint8 of shape (N, H, W); got {images.dtype} {images.shape}")
    return torch.from_numpy(images[:, None].astype(np.float32)) / 127.5 - 1


def data_dir() -> Path:
    """What comes with minidiff (digits, weights): minidiff/data in the installed package, data/ in the repository."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "data", package.parent / "data"):
        if (folder / EMBEDDED).is_dir():
            return folder
    raise DataError(f"the data that come with minidiff are missing beside {package}; install minidiff again")


def cache_dir() -> Path:
    """Where downloads go: $MINIDIFF_CACHE, otherwise the operating system's folder for caches."""
    import pooch

    return Path(os.environ.get("MINIDIFF_CACHE") or pooch.os_cache("minidiff")).expanduser()


def where() -> list[Path]:
    """The folders in which the full set is looked for, in this order; DataError if $MINIDIFF_DATA is no folder."""
    own = os.environ.get("MINIDIFF_DATA")
    if own and not Path(own).expanduser().is_dir():
        raise DataError(f"MINIDIFF_DATA is set to {own}, which is not a folder; correct it or unset it")
    roots = [Path(own).expanduser()] if own else []
    return [root / "mnist" for root in (*roots, data_dir(), cache_dir())]


def _read(images: Path, labels: Path) -> tuple[Bytes, Bytes]:
    _check(images)
    _check(labels)
    x, y = read_idx(images, 3), read_idx(labels, 1)
    if x.shape[1:] != (28, 28):
        raise DataError(f"{images}: digits are 28 x 28 pixels; got {x.shape[1]} x {x.shape[2]}")
    if len(x) != len(y):
        raise DataError(f"{labels}: holds {len(y)} labels for the {len(x)} images of {images.name}; the counts must agree")
    if len(y) and y.max() > 9:
        raise DataError(f"{labels}: labels are 0..9; got {y.max()}")
    return x, y


def _embedded(split: str) -> Digits:
    folder = data_dir() / EMBEDDED
    x, y = _read(folder / "images-idx3-ubyte.gz", folder / "labels-idx1-ubyte.gz")
    part = slice(None, EMBEDDED_TRAIN) if split == "train" else slice(EMBEDDED_TRAIN, None)
    return Digits(x[part], y[part], "embedded")


def _find(files: tuple[str, ...]) -> Path | None:
    return next((folder for folder in where() if all((folder / file).is_file() for file in files)), None)


def _check(path: Path) -> None:
    try:
        actual = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as e:
        raise DataError(f"{path}: cannot be read ({e.strerror or e}); check its permissions") from None
    expected = SHA256[path.name]
    if actual != expected:
        raise DataError(f"{path}: SHA-256 must begin {expected[:12]}, got {actual[:12]}: partial or altered; delete it and fetch it again")


def _download(file: str, folder: Path) -> None:
    """One file, from the first mirror that gives it whole; pooch checks it under a temporary name and then renames it."""
    import pooch
    import requests

    bar: Any = sys.stderr.isatty()
    reasons = []
    for mirror in MIRRORS:
        get = pooch.HTTPDownloader(progressbar=bar, chunk_size=1 << 16, timeout=20)
        try:
            pooch.retrieve(mirror + file, f"sha256:{SHA256[file]}", fname=file, path=folder, downloader=get)
            return
        except requests.RequestException as e:
            status = getattr(e.response, "status_code", None)
            reasons.append(f"{_host(mirror)}: {f'HTTP {status}' if status else 'no connection'}")
        except ValueError:
            reasons.append(f"{_host(mirror)}: wrong SHA-256")
        except OSError as e:
            raise DataError(f"cannot write to {folder} ({e.strerror or e}); set MINIDIFF_CACHE to a folder that can be written") from e
    raise DataError(
        f"no mirror gave {file} ({'; '.join(reasons)}); set MINIDIFF_DATA to a folder that holds mnist/{file}, "
        'or use the digits that come with minidiff: source="embedded"'
    )


def _host(address: str) -> str:
    return address.split("/")[2]


def _say(split: str, digits: Digits, source: str, folder: Path | None) -> None:
    if (split, digits.name) in _said:
        return
    _said.add((split, digits.name))
    text = f"MNIST {split}: {len(digits):,} digits, "
    text += "the embedded part of the set" if folder is None else f"the full set, from {folder}"
    if folder is None and source == "auto":
        text += " (`minidiff data fetch mnist` gets all 70,000)"
    print(text, file=sys.stderr)
