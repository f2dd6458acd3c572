"""The photographs: what is embedded, the binary archive and the packed form, the decoded copy, and files that are damaged.

No test needs the network or the full set: small archives are written here.
"""

import hashlib
import io
import tarfile

import numpy as np
import pytest
from PIL import Image

from minidiff.run import cifar, store
from minidiff.run.store import DataError

PER_FILE = 4


def pictures(n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8), rng.integers(0, 10, n, dtype=np.uint8)


def binary(images, labels):
    """A member of the archive, byte by byte as its own page describes it: label, 1024 red, 1024 green, 1024 blue."""
    rows = []
    for image, label in zip(images, labels, strict=True):
        planes = [image[:, :, c].tobytes() for c in range(3)]
        rows.append(bytes([label]) + b"".join(planes))
    return b"".join(rows)


def archive(members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in members.items():
            info = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            raw = b"" if isinstance(content, tarfile.TarInfo) else content
            info.size = len(raw)
            tar.addfile(info, io.BytesIO(raw))
    return out.getvalue()


def packed(images, labels, **changes):
    files = []
    for image in images:
        out = io.BytesIO()
        Image.fromarray(image).save(out, "PNG")
        files.append(out.getvalue())
    offsets = np.concatenate([[0], np.cumsum([len(f) for f in files])]).astype(np.int64)
    out = io.BytesIO()
    np.savez(out, **{"bytes": np.frombuffer(b"".join(files), np.uint8), "offsets": offsets, "labels": labels} | changes)
    return out.getvalue()


def members(seed=0):
    made = {}
    for i, name in enumerate([*cifar.MEMBERS["train"], *cifar.MEMBERS["test"]]):
        made[name] = binary(*pictures(PER_FILE, seed + i))
    return made


@pytest.fixture
def own(monkeypatch, tmp_path):
    """A place for the full set of four pictures a file, whose checksums are taken for the real ones; caches are empty."""
    folder = tmp_path / "own" / "cifar10"
    folder.mkdir(parents=True)
    monkeypatch.setenv("MINIDIFF_DATA", str(tmp_path / "own"))
    monkeypatch.setenv("MINIDIFF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(store, "_said", set())
    monkeypatch.setattr(cifar, "MIRRORS", ("http://127.0.0.1:9/",))  # nobody listens there
    monkeypatch.setattr(cifar, "SHA256", dict(cifar.SHA256))
    monkeypatch.setattr(cifar.read_archive, "__defaults__", (PER_FILE,))

    def put(**files):
        for name, raw in files.items():
            name = cifar.ARCHIVE if name == "archive" else name.replace("_", "-") + ".npz"
            (folder / name).write_bytes(raw)
            cifar.SHA256[name] = hashlib.sha256(raw).hexdigest()
        return folder

    return put


# The embedded pictures


def test_embedded_pictures_are_balanced_in_every_slice_and_disjoint():
    train, test = (cifar.cifar10(split, "embedded", quiet=True) for split in ("train", "test"))
    assert train.images.shape == (1500, 32, 32, 3) and test.images.shape == (500, 32, 32, 3) and train.images.dtype == np.uint8
    assert (np.bincount(train.labels) == 150).all() and (np.bincount(test.labels) == 50).all()
    assert (np.bincount(train.labels[130:330]) == 20).all()
    seen = {x.tobytes() for x in train.images}
    assert len(seen) == 1500 and not any(x.tobytes() in seen for x in test.images)
    assert train.name == "embedded" and train.checksum != test.checksum and not train.images.flags.writeable


def test_embedded_pictures_are_photographs_in_colour():
    """Neighbouring pixels are alike, the channels are not the same, and ships are bluer than frogs."""
    train = cifar.cifar10("train", "embedded", quiet=True)
    x = train.images.astype(float)
    assert np.abs(np.diff(x, axis=1)).mean() < 0.35 * np.abs(x - x.mean()).mean() < 25
    blue = [(x[train.labels == c, :, :, 2] - x[train.labels == c, :, :, 0]).mean() for c in (8, 6)]
    assert blue[0] > 0 > blue[1]


def test_the_readme_of_the_data_names_every_file_with_its_checksum():
    folder = store.data_dir()
    readme = (folder / "README.md").read_text(encoding="utf-8")
    for path in (folder / "cifar10-2k").iterdir():
        assert f"`{path.name}`" in readme and str(path.stat().st_size) in readme
        assert hashlib.sha256(path.read_bytes()).hexdigest() == cifar.SHA256[path.name]
    assert cifar.SHA256[cifar.ARCHIVE] in readme and all(len(value) == 64 for value in cifar.SHA256.values())


# The full set


def test_the_archive_is_read_as_its_own_page_describes_it(own, capsys):
    own(archive=archive(members()))
    train = cifar.cifar10("train")
    wanted = [pictures(PER_FILE, i) for i in range(5)]
    assert np.array_equal(train.images, np.concatenate([x for x, _ in wanted]))
    assert np.array_equal(train.labels, np.concatenate([y for _, y in wanted]))
    assert train.name == "full" and "20 pictures, the full set" in capsys.readouterr().err
    assert np.array_equal(cifar.cifar10("test").images, pictures(PER_FILE, 5)[0])


def test_the_packed_form_gives_the_same_pictures_and_the_same_checksum(own, tmp_path, monkeypatch):
    folder = own(archive=archive(members()))
    from_archive = cifar.cifar10("train", quiet=True)
    (folder / cifar.ARCHIVE).unlink()
    own(**{f"train_{i + 1}": packed(*pictures(PER_FILE, i)) for i in (0, 2, 4)})
    assert cifar.cifar10("train", quiet=True).name == "embedded"  # a set that is not whole is no set
    own(**{f"train_{i + 1}": packed(*pictures(PER_FILE, i)) for i in range(5)})
    again = cifar.cifar10("train", quiet=True)
    assert again.name == "full" and again.checksum == from_archive.checksum


def test_it_is_decoded_once_and_memory_mapped(own, monkeypatch, tmp_path):
    own(archive=archive(members()))
    first = cifar.cifar10("train", quiet=True)
    monkeypatch.setattr(cifar, "read_archive", lambda *_: pytest.fail("decoded twice"))
    second = cifar.cifar10("train", quiet=True)
    assert np.array_equal(first.images, second.images)
    assert isinstance(second.images, np.memmap) and not second.images.flags.writeable


@pytest.mark.parametrize("damage", [lambda raw: raw[:-9], lambda raw: raw[:200] + b"x" + raw[201:], lambda raw: b""])
def test_a_damaged_decoded_copy_is_made_anew(own, tmp_path, damage):
    own(archive=archive(members()))
    good = cifar.cifar10("train", quiet=True).checksum
    (path,) = (tmp_path / "cache" / "decoded").glob("cifar10-train-*")
    path.write_bytes(damage(path.read_bytes()))
    assert cifar.cifar10("train", quiet=True).checksum == good
    assert len(list(path.parent.iterdir())) == 1


def test_a_cache_that_cannot_be_written_costs_time_only(own, tmp_path, capsys):
    own(archive=archive(members()))
    (tmp_path / "cache").write_text("a file, not a folder")
    assert len(cifar.cifar10("train", quiet=True)) == 20
    assert "cannot be kept decoded" in capsys.readouterr().err


# Damaged files


def bad_archives():
    good = members()
    first, *_ = good
    link = tarfile.TarInfo(first)
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    yield "a link", archive(good | {first: link}), "must be a file of 12292 bytes"
    yield "a short member", archive(good | {first: good[first][:-1]}), "must be a file of 12292 bytes; it has 12291"
    yield "a missing member", archive({k: v for k, v in good.items() if k != first}), "not the binary CIFAR-10 archive"
    yield "a label of 10", archive(good | {first: b"\x0a" + good[first][1:]}), "labels are 0..9; got 10"
    yield "not gzip", b"<html>404</html>", "not a whole tar.gz"
    yield "cut short", archive(good)[:-4000], "not a whole tar.gz"
    yield "empty", b"", "not a whole tar.gz"


@pytest.mark.parametrize(("raw", "message"), [pytest.param(raw, m, id=name) for name, raw, m in bad_archives()])
def test_a_malformed_archive_gives_one_line_that_names_it(own, raw, message):
    folder = own(archive=raw)
    with pytest.raises(DataError, match=message) as error:
        cifar.cifar10("train")
    assert str(error.value).startswith(str(folder / cifar.ARCHIVE)) and "\n" not in str(error.value)


def test_nothing_of_an_archive_is_ever_written(own, tmp_path):
    own(archive=archive({"../../outside": b"x", "/tmp/minidiff-outside": b"x", **members()}))
    before = sorted(tmp_path.rglob("*"))
    cifar.cifar10("train", quiet=True)
    assert {p.suffix for p in set(tmp_path.rglob("*")) - set(before) if p.is_file()} == {".npy"}


X, Y = pictures(3)
RAW = packed(X, Y)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "not a readable .npz"),
        (RAW[:-30], "not a readable .npz"),
        (packed(X, Y.astype(np.int64)), "labels .uint8."),
        (packed(X, Y, offsets=np.arange(4) * 10), "must rise from 0"),
        (packed(X, Y, offsets=np.arange(3)), "N . 1 offsets"),
        (packed(X, np.full(3, 10, np.uint8)), "labels are 0..9; got 10"),
        (packed(X[:, :16], Y), "picture 0 cannot be decoded .it must be 32 x 32; it is 32 x 16"),
        (packed(X, Y, bytes=np.zeros(len(RAW), np.uint8)), "must rise from 0"),
    ],
)
def test_a_malformed_packed_set_gives_one_line_that_names_it(tmp_path, raw, message):
    path = tmp_path / "train-1.npz"
    path.write_bytes(raw)
    with pytest.raises(DataError, match=message) as error:
        cifar.read_packed(path)
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


def test_a_pickle_is_not_opened(tmp_path):
    path = tmp_path / "train-1.npz"
    np.savez(path, bytes=np.array([{"a": 1}], dtype=object), offsets=np.arange(2), labels=Y[:1])
    with pytest.raises(DataError, match="not a readable .npz"):
        cifar.read_packed(path)


@pytest.mark.parametrize("name", ["archive", "train_1"])
def test_a_file_with_a_wrong_checksum_is_never_used(own, name):
    made = {"archive": archive(members())} if name == "archive" else {f"train_{i + 1}": packed(*pictures(PER_FILE, i)) for i in range(5)}
    folder = own(**made)
    path = next(folder.iterdir())
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(DataError, match="partial or altered"):
        cifar.cifar10("train")


def test_without_network_the_error_says_what_to_do(own, monkeypatch):
    monkeypatch.setattr(cifar, "where", lambda name: [])
    with pytest.raises(DataError) as error:
        cifar.cifar10("train", "full")
    for part in ("no connection", "MINIDIFF_DATA", cifar.ARCHIVE, 'source="embedded"'):
        assert part in str(error.value)


@pytest.mark.parametrize(("arguments", "message"), [(("valid",), '"train" or "test"'), (("train", "web"), '"auto", "embedded" or "full"')])
def test_unknown_names_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        cifar.cifar10(*arguments)
