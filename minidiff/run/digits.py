"""Real digits: the full MNIST where it is at hand, otherwise the 5,000 of it that come with minidiff."""

from __future__ import annotations

from pathlib import Path

from minidiff.run.idx import read_idx
from minidiff.run.store import Bytes, DataError, Pictures, cache_dir, check, data_dir, download, say_once, where

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


def mnist(split: str = "train", source: str = "auto", *, quiet: bool = False) -> Pictures:
    """The handwritten digits of LeCun, Cortes and Burges, uint8 (N, 28, 28); says once per process, on stderr, which ones and how many.

    split: "train" or "test". source: "auto" = the full set if `where` has it, otherwise the embedded digits;
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
        folder = fetch_mnist()
    images, labels = FILES[split]
    digits = _embedded(split) if folder is None else Pictures(*_read(folder / images, folder / labels), "full")
    if not quiet:
        hint = " (`minidiff data fetch mnist` gets all 70,000)" if source == "auto" else ""
        which = f"the embedded part of the set{hint}" if folder is None else f"the full set, from {folder}"
        say_once("MNIST", split, digits, f"digits, {which}")
    return digits


def fetch_mnist() -> Path:
    """The folder with all four files of the full set, downloaded into the user's cache unless they are at hand."""
    files = (*FILES["train"], *FILES["test"])
    cache = cache_dir() / "mnist"
    folder = _find(files)
    if folder is not None and folder != cache:
        for file in files:
            _check(folder / file)
        return folder
    for file in files:  # a file of the cache that is whole is left alone; one that is not is replaced
        instead = f"set MINIDIFF_DATA to a folder that holds mnist/{file}, or use the digits that come with minidiff: source=\"embedded\""
        download(file, SHA256[file], cache, MIRRORS, instead)
    return cache


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


def _embedded(split: str) -> Pictures:
    folder = data_dir() / EMBEDDED
    x, y = _read(folder / "images-idx3-ubyte.gz", folder / "labels-idx1-ubyte.gz")
    part = slice(None, EMBEDDED_TRAIN) if split == "train" else slice(EMBEDDED_TRAIN, None)
    return Pictures(x[part], y[part], "embedded")


def _find(files: tuple[str, ...]) -> Path | None:
    return next((folder for folder in where("mnist") if all((folder / file).is_file() for file in files)), None)


def _check(path: Path) -> None:
    check(path, SHA256[path.name])
