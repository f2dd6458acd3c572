"""Real photographs: CIFAR-10 where it is at hand, otherwise the few of its pictures that come with minidiff.

The original *binary* archive is read member by member, never unpacked, and no pickle is ever opened. A packed form, lossless
pictures joined end to end in an .npz, is read too: that is how the embedded ones are kept.
"""

from __future__ import annotations

import hashlib
import io
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from minidiff.run.store import DataError, Pictures, cache_dir, check, content_sha256, data_dir, download, say_once, where

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
ARCHIVE = "cifar-10-binary.tar.gz"
MIRRORS = ("https://www.cs.toronto.edu/~kriz/",)
SHA256 = {
    ARCHIVE: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    "train-1.npz": "4f5aaa0d9ee850bf77c313c72a39ba2d5d08e202eaf120c373c1c07e2b16f22a",
    "train-2.npz": "b4272ff29c7a844b8223fbe137eb97d78c31968242c14d26896146694d2bdb1d",
    "train-3.npz": "5f525e6e05ed96a57becd401f55de4b9b7b51088c37d185edc6c69237c54e949",
    "train-4.npz": "983aa1774ac315c90c0ef68796f6357c9ffb6e6d4c869214026a982d4b524ec4",
    "train-5.npz": "9c4719147f016585b9f0ca0ff56d80927a2999e8fa14918f16826cf2d5df7396",
    "test.npz": "e6802eb6331188d1454a02fe3aba532b03c87e1531675167dab5c95a66eaaa25",
    "cifar10-2k-train.npz": "bbf4ffe22e31bb38e502c0b2fe41b3cffbf341c053c43b10424f40fc5e9e2390",  # these two: the embedded pictures
    "cifar10-2k-test.npz": "125c715af97e23c9f2b6f3ac0d5e1a3a1dacffc4a9e25e31aa71ec05e8447396",
}
MEMBERS = {
    "train": tuple(f"cifar-10-batches-bin/data_batch_{i}.bin" for i in range(1, 6)),
    "test": ("cifar-10-batches-bin/test_batch.bin",),
}
PACKED = {"train": tuple(f"train-{i}.npz" for i in range(1, 6)), "test": ("test.npz",)}
EMBEDDED = "cifar10-2k"
PER_FILE = 10_000
RECORD = np.dtype([("label", "u1"), ("pixels", "u1", (32, 32, 3))])  # as one row of what is kept decoded

Records = NDArray[Any]


def cifar10(split: str = "train", source: str = "auto", *, quiet: bool = False) -> Pictures:
    """The photographs of Krizhevsky 2009, uint8 (N, 32, 32, 3), RGB; says once per process, on stderr, which ones and how many.

    split: "train" or "test". source: "auto" = the full set if `where` has it, otherwise the embedded pictures; "embedded" = 1,500 and 500,
    each from the same split of the full set; "full" = 50,000 and 10,000, downloaded if they are nowhere. The full set is decoded once,
    into the user's cache, and memory-mapped from there. Raises DataError for damaged files and when no mirror answers.
    Checked by tests/test_cifar.py.
    """
    if split not in MEMBERS:
        raise ValueError(f'split must be "train" or "test"; got {split!r}')
    if source not in ("auto", "embedded", "full"):
        raise ValueError(f'source must be "auto", "embedded" or "full"; got {source!r}')
    files = [] if source == "embedded" else _find(split)
    if not files and source == "full":
        files = [fetch_cifar10()]
    pictures = _full(split, files) if files else _embedded(split)
    if not quiet:
        hint = " (`minidiff data fetch cifar10` gets all 60,000)" if source == "auto" else ""
        say_once("CIFAR-10", split, pictures, f"pictures, the full set, from {files[0].parent}" if files else f"embedded pictures{hint}")
    return pictures


def fetch_cifar10() -> Path:
    """The original binary archive, downloaded into the user's cache unless it is at hand."""
    for folder in where("cifar10"):
        if (folder / ARCHIVE).is_file() and folder != cache_dir() / "cifar10":
            check(folder / ARCHIVE, SHA256[ARCHIVE])
            return folder / ARCHIVE
    folder = cache_dir() / "cifar10"
    instead = f'set MINIDIFF_DATA to a folder that holds cifar10/{ARCHIVE}, or use the pictures that come with minidiff: source="embedded"'
    download(ARCHIVE, SHA256[ARCHIVE], folder, MIRRORS, instead)
    return folder / ARCHIVE


def read_archive(path: Path, split: str, per_file: int = PER_FILE) -> Records:
    """The records of one split from the original archive; DataError unless each member is exactly as the format says.

    A record is a label and 3 x 32 x 32 bytes: red, then green, then blue, each by rows. Nothing is written to disk, so that no name in
    the archive can lead out of a folder.
    """
    out = np.empty(per_file * len(MEMBERS[split]), RECORD)
    try:
        with tarfile.open(path, "r:gz") as tar:
            for i, name in enumerate(MEMBERS[split]):
                member = tar.getmember(name)
                if not member.isreg() or member.size != per_file * RECORD.itemsize:
                    raise DataError(f"{path}: {name} must be a file of {per_file * RECORD.itemsize} bytes; it has {member.size}")
                raw = np.frombuffer(tar.extractfile(member).read(), np.uint8).reshape(per_file, RECORD.itemsize)  # type: ignore[union-attr]
                rows = out[i * per_file : (i + 1) * per_file]
                rows["label"], rows["pixels"] = raw[:, 0], raw[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    except KeyError as e:
        raise DataError(f"{path}: not the binary CIFAR-10 archive ({e.args[0]}); delete it and fetch it again") from None
    except (tarfile.TarError, EOFError, OSError, ValueError) as e:
        if isinstance(e, DataError):
            raise
        raise DataError(f"{path}: not a whole tar.gz archive ({e}); delete it and fetch it again") from None
    return _checked(out, path)


def read_packed(path: Path) -> Records:
    """The records of a packed .npz: `bytes` (lossless pictures end to end), `offsets` (N + 1,), `labels` (N,); otherwise DataError."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as z:  # given a path, np.load leaves a broken file open
            raw, offsets, labels = z["bytes"].tobytes(), z["offsets"], z["labels"]
    except KeyError as e:
        raise DataError(f"{path}: lacks {e.args[0]}; a packed set holds bytes, offsets and labels") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as e:
        raise DataError(f"{path}: not a readable .npz ({e}); delete it and fetch it again") from None
    if labels.dtype != np.uint8 or labels.ndim != 1 or offsets.shape != (len(labels) + 1,) or offsets.dtype != np.int64:
        raise DataError(f"{path}: needs N labels (uint8) and N + 1 offsets (int64); got {labels.dtype} {labels.shape}, {offsets.shape}")
    if offsets[0] != 0 or offsets[-1] != len(raw) or (np.diff(offsets) <= 0).any():
        raise DataError(f"{path}: the offsets must rise from 0 to the number of bytes, {len(raw)}")
    out = np.empty(len(labels), RECORD)
    for i, label in enumerate(labels):
        try:
            with Image.open(io.BytesIO(raw[offsets[i] : offsets[i + 1]]), formats=("PNG", "WEBP", "JPEG")) as picture:
                out[i] = label, _pixels(picture)
        except (UnidentifiedImageError, OSError, ValueError) as e:
            raise DataError(f"{path}: picture {i} cannot be decoded ({e}); delete it and fetch it again") from None
    return _checked(out, path)


def _pixels(picture: Image.Image) -> NDArray[np.uint8]:
    if picture.size != (32, 32):  # before it is decoded: a small file may announce a huge picture
        raise ValueError(f"it must be 32 x 32; it is {picture.size[0]} x {picture.size[1]}")
    return np.asarray(picture.convert("RGB"))


def _checked(records: Records, path: Path) -> Records:
    if len(records) and records["label"].max() > 9:
        raise DataError(f"{path}: labels are 0..9; got {records['label'].max()}")
    return records


def _find(split: str) -> list[Path]:
    """The files of a split in the first folder that has them: the archive, or all its packed parts; none if it is nowhere."""
    for folder in where("cifar10"):
        for names in ((ARCHIVE,), PACKED[split]):
            if all((folder / name).is_file() for name in names):
                return [folder / name for name in names]
    return []


def _full(split: str, files: list[Path]) -> Pictures:
    """Decoded once and kept: the name tells of which files, and the checksum of what is inside, so that no damage goes unseen."""
    source = hashlib.sha256("".join(SHA256[file.name] for file in files).encode()).hexdigest()[:16]
    folder = cache_dir() / "decoded"
    for path in sorted(folder.glob(f"cifar10-{split}-{source}-*.npy")):
        pictures = _mapped(path)
        if pictures is not None:
            return pictures
    for file in files:
        check(file, SHA256[file.name])
    records = read_archive(files[0], split) if files[0].name == ARCHIVE else np.concatenate([read_packed(file) for file in files])
    digest = content_sha256(records["pixels"], records["label"])
    try:
        return _kept(folder / f"cifar10-{split}-{source}-{digest[:16]}.npy", records)
    except (OSError, ValueError) as e:  # a read-only home or a full disk need not stop anybody
        print(f"CIFAR-10 {split}: cannot be kept decoded in {folder} ({e}), so every run decodes it anew", file=sys.stderr)
    return _pictures(records)


def _kept(path: Path, records: Records) -> Pictures:
    from minidiff.learn.checkpoint import replacing  # here: reading data needs no torch

    with replacing(path) as temporary, temporary.open("wb") as f:
        np.save(f, records)
    pictures = _mapped(path)
    if pictures is None:
        raise OSError("what was written cannot be read back")
    return pictures


def _mapped(path: Path) -> Pictures | None:
    """The pictures kept at path, memory-mapped; None, and the file removed, if its content is not what its name says."""
    try:
        records = np.load(path, mmap_mode="r", allow_pickle=False)
        pictures = _pictures(records) if records.dtype == RECORD else None
    except (OSError, ValueError, EOFError):
        pictures = None
    if pictures is None or pictures.checksum[:16] != path.stem[-16:]:
        path.unlink(missing_ok=True)
        return None
    return pictures


def _pictures(records: Records, name: str = "full") -> Pictures:
    records.flags.writeable = False
    return Pictures(records["pixels"], records["label"], name)


def _embedded(split: str) -> Pictures:
    path = data_dir() / EMBEDDED / f"{EMBEDDED}-{split}.npz"
    check(path, SHA256[path.name])
    return _pictures(read_packed(path), "embedded")
