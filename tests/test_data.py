"""The digits: what is embedded, where the full set is looked for, damaged files, and mirrors that fail.

No test needs the network or the full set: small IDX files are written here and served on this machine.
"""

import gzip
import hashlib
import http.server
import importlib.util
import threading

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minidiff.run import digits as data
from minidiff.run import store
from minidiff.run.idx import DataError, read_idx


def idx(array, type_code=8):
    head = bytes([0, 0, type_code, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return gzip.compress(head + array.tobytes(), mtime=0)


def some(n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, 28, 28), dtype=np.uint8), rng.integers(0, 10, n, dtype=np.uint8)


@pytest.fixture
def files(monkeypatch, tmp_path):
    """A stand-in for the full set, its checksums taken for the real ones; nothing is at hand, caches are empty."""
    made = {}
    for seed, (images, labels) in enumerate(data.FILES.values()):
        x, y = some(20 if seed == 0 else 10, seed)
        made |= {images: idx(x), labels: idx(y)}
    sums = {name: hashlib.sha256(raw).hexdigest() for name, raw in made.items()}
    monkeypatch.setattr(data, "SHA256", data.SHA256 | sums)
    monkeypatch.setattr(store, "_said", set())
    monkeypatch.setattr(data, "MIRRORS", ("http://127.0.0.1:9/",))  # nobody listens there
    monkeypatch.setenv("MINIDIFF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("MINIDIFF_DATA", raising=False)
    # The repository's own data/mnist, if somebody put the full set there, is not this test's business.
    where, own = data.where, data.data_dir() / "mnist"
    monkeypatch.setattr(data, "where", lambda name: [folder for folder in where(name) if folder != own])
    return made


def put(folder, files):
    folder.mkdir(parents=True)
    for name, raw in files.items():
        (folder / name).write_bytes(raw)
    return folder


def one_line(error):
    text = str(error.value)
    assert "\n" not in text
    return text


# The embedded digits


def test_embedded_digits_are_balanced_in_every_slice_and_disjoint():
    train, test = (data.mnist(split, "embedded", quiet=True) for split in ("train", "test"))
    assert train.images.shape == (4500, 28, 28) and test.images.shape == (500, 28, 28) and train.images.dtype == np.uint8
    assert (np.bincount(train.labels) == 450).all() and (np.bincount(test.labels) == 50).all()
    assert (np.bincount(train.labels[130:330]) == 20).all()
    seen = {x.tobytes() for x in train.images}
    assert len(seen) == 4500 and not any(x.tobytes() in seen for x in test.images)
    assert train.name == "embedded" and train.checksum != test.checksum and len(train) == 4500
    assert not train.images.flags.writeable


def test_embedded_digits_look_like_digits():
    """The mean picture of each class, taken from the training split, tells the classes of the test split apart."""
    train, test = (data.mnist(split, "embedded", quiet=True) for split in ("train", "test"))
    means = np.stack([train.images[train.labels == c].mean(0) for c in range(10)]).reshape(10, -1)
    guess = ((test.images.reshape(-1, 1, 784) - means) ** 2).sum(-1).argmin(1)
    assert (guess == test.labels).mean() > 0.75  # 0.1 by chance


def test_scale_maps_pixels_to_the_range_of_the_models():
    x = store.scale(np.arange(256, dtype=np.uint8).reshape(1, 16, 16))
    assert x.shape == (1, 1, 16, 16) and x.dtype == torch.float32
    assert x.min() == -1 and x.max() == 1
    assert torch.equal(((x + 1) * 127.5).round().to(torch.uint8).flatten(), torch.arange(256, dtype=torch.uint8))
    for wrong in (np.zeros((1, 28, 28)), np.zeros((2, 3, 32, 32), np.uint8)):
        with pytest.raises(ValueError, match="uint8 of shape"):
            store.scale(wrong)


def test_the_readme_of_the_data_names_every_file_with_its_checksum():
    readme = (data.data_dir() / "README.md").read_text(encoding="utf-8")
    for path in (data.data_dir() / "mnist-5k").iterdir():
        assert f"`{path.name}`" in readme and str(path.stat().st_size) in readme
        assert hashlib.sha256(path.read_bytes()).hexdigest() == data.SHA256[path.name]
    assert all(value in readme for value in data.SHA256.values())
    assert all(f"`{path.name}`" in readme for path in (data.data_dir() / "weights").glob("*.safetensors"))


def test_the_conversion_interleaves_the_classes_and_is_deterministic():
    spec = importlib.util.spec_from_file_location("make_mnist_5k", data.data_dir().parent / "tools" / "make_mnist_5k.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    labels = np.repeat(np.arange(10, dtype=np.uint8), 500)
    images = np.arange(5000, dtype=np.uint32).view(np.uint8).reshape(5000, 4)
    mixed, order = tool.interleave(images, labels)
    assert order[:20].tolist() == [*range(10)] * 2 and mixed[:, :2].copy().view(np.uint16)[10:13, 0].tolist() == [1, 501, 1001]
    raw = tool.idx(images)
    assert raw == tool.idx(images) and raw[3:10] == b"\0" * 5 + raw[8:10]  # no name, no time in the gzip header
    assert gzip.decompress(raw)[:12] == bytes([0, 0, 8, 2, 0, 0, 19, 136, 0, 0, 0, 4])


# Which set


def test_auto_takes_the_embedded_digits_and_says_so_once(files, capsys):
    assert data.mnist().name == "embedded"
    said = capsys.readouterr().err
    assert "4,500" in said and "embedded" in said and said.count("\n") == 1
    data.mnist()
    assert capsys.readouterr().err == ""
    data.mnist("test")
    assert "500" in capsys.readouterr().err


def test_quiet_is_quiet(files, capsys):
    data.mnist(quiet=True)
    assert capsys.readouterr() == ("", "")


def test_auto_prefers_the_full_set_of_minidiff_data(files, monkeypatch, tmp_path, capsys):
    put(tmp_path / "own" / "mnist", files)
    monkeypatch.setenv("MINIDIFF_DATA", str(tmp_path / "own"))
    found = data.mnist()
    assert found.name == "full" and np.array_equal(found.images, some(20, 0)[0]) and np.array_equal(found.labels, some(20, 0)[1])
    assert "full set" in capsys.readouterr().err
    assert len(data.mnist("test", "full")) == 10
    assert data.mnist(source="embedded").name == "embedded"
    assert data.fetch_mnist() == tmp_path / "own" / "mnist"


def test_the_checksum_is_of_the_content_not_of_the_compression(files, monkeypatch, tmp_path):
    put(tmp_path / "a" / "mnist", files)
    again = {name: gzip.compress(gzip.decompress(raw), 1, mtime=5) for name, raw in files.items()}
    put(tmp_path / "b" / "mnist", again)
    monkeypatch.setenv("MINIDIFF_DATA", str(tmp_path / "a"))
    first = data.mnist().checksum
    monkeypatch.setattr(data, "SHA256", {name: hashlib.sha256(raw).hexdigest() for name, raw in again.items()})
    monkeypatch.setenv("MINIDIFF_DATA", str(tmp_path / "b"))
    assert data.mnist().checksum == first


def test_half_a_set_is_no_set(files, monkeypatch, tmp_path):
    put(tmp_path / "own" / "mnist", {"train-images-idx3-ubyte.gz": files["train-images-idx3-ubyte.gz"]})
    monkeypatch.setenv("MINIDIFF_DATA", str(tmp_path / "own"))
    assert data.mnist(quiet=True).name == "embedded"


@pytest.mark.parametrize("change", [lambda raw: raw[:-7], lambda raw: raw[:50] + b"x" + raw[51:], lambda raw: raw + b"\0"])
def test_a_file_with_a_wrong_checksum_is_never_used(files, monkeypatch, tmp_path, change):
    name = "train-images-idx3-ubyte.gz"
    path = put(tmp_path / "own" / "mnist", files | {name: change(files[name])}) / name
    monkeypatch.setenv("MINIDIFF_DATA", str(tmp_path / "own"))
    for call in (data.mnist, data.fetch_mnist):
        with pytest.raises(DataError) as error:
            call()
        text = one_line(error)
        assert str(path) in text and data.SHA256[name][:12] in text and "delete it" in text


def test_an_altered_embedded_file_is_never_used(files, monkeypatch, tmp_path):
    for name in ("images-idx3-ubyte.gz", "labels-idx1-ubyte.gz"):
        raw = (data.data_dir() / "mnist-5k" / name).read_bytes()
        (tmp_path / "mnist-5k").mkdir(exist_ok=True)
        (tmp_path / "mnist-5k" / name).write_bytes(raw[:-1])
    monkeypatch.setattr(data, "data_dir", lambda: tmp_path)
    with pytest.raises(DataError, match="mnist-5k.*partial or altered"):
        data.mnist(source="embedded")


def test_minidiff_data_must_be_a_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("MINIDIFF_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="MINIDIFF_DATA is set to .*nowhere"):
        data.mnist()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: data.mnist("valid"), 'split must be "train" or "test"'),
        (lambda: data.mnist(source="web"), 'source must be "auto", "embedded" or "full"'),
    ],
)
def test_unknown_names_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# IDX


@given(st.lists(st.integers(0, 5), min_size=1, max_size=4), st.integers(0, 2**32 - 1))
def test_idx_round_trip(tmp_path_factory, shape, seed):
    array = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    path = tmp_path_factory.mktemp("idx") / "a.gz"
    path.write_bytes(idx(array))
    assert np.array_equal(read_idx(path, len(shape)), array)


GOOD = idx(np.arange(12, dtype=np.uint8).reshape(3, 2, 2))
PLAIN = gzip.decompress(GOOD)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "two zero bytes.*got nothing"),
        (PLAIN, "not a whole gzip file"),
        (b"<html>404</html>", "not a whole gzip file"),
        (GOOD[:-3], "cut short"),
        (GOOD[:15], "cut short"),
        (GOOD[:-8] + b"\0\0\0\0" + GOOD[-4:], "not a whole gzip file"),  # CRC
        (GOOD + b"tail", "not a whole gzip file"),
        (gzip.compress(b"", mtime=0), "two zero bytes.*got nothing"),
        (gzip.compress(b"\0\0\x08", mtime=0), "two zero bytes"),
        (gzip.compress(b"\x08\x03\0\0" + PLAIN[4:], mtime=0), "two zero bytes.*got 08 03 00 00"),  # little-endian
        (idx(np.arange(12, dtype=np.int32).reshape(3, 2, 2), 12), "uint8.*got 0x0c"),
        (gzip.compress(b"\0\0\x08\0", mtime=0), "must have 3 axes; got 0"),
        (idx(np.zeros(5, np.uint8)), "must have 3 axes; got 1"),
        (gzip.compress(PLAIN[:12], mtime=0), "header takes 16 bytes; the file has only 12"),
        (gzip.compress(PLAIN[:-1], mtime=0), r"too short: its header announces 12 values \(3, 2, 2\); it holds 11"),
        (gzip.compress(PLAIN + b"\0", mtime=0), "too long: .*12.*13"),
        (gzip.compress(PLAIN[:4] + b"\xff" * 12, mtime=0), "too short"),  # announces 2^96 values
    ],
)
def test_a_malformed_idx_file_gives_one_line_that_names_it(tmp_path, raw, message):
    path = tmp_path / "bad-idx3-ubyte.gz"
    path.write_bytes(raw)
    with pytest.raises(DataError, match=message) as error:
        read_idx(path, 3)
    assert one_line(error).startswith(str(path))


def test_a_missing_or_unreadable_idx_file_says_so(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_idx(tmp_path / "none.gz")
    with pytest.raises(DataError, match="cannot be read"):
        read_idx(tmp_path)


@pytest.mark.parametrize(
    ("name", "raw", "message"),
    [
        ("train-labels-idx1-ubyte.gz", idx(np.zeros(19, np.uint8)), "19 labels for the 20 images"),
        ("train-labels-idx1-ubyte.gz", idx(np.full(20, 10, np.uint8)), "labels are 0..9; got 10"),
        ("train-images-idx3-ubyte.gz", idx(np.zeros((20, 28, 27), np.uint8)), "28 x 28 pixels; got 28 x 27"),
    ],
)
def test_images_and_labels_must_belong_together(files, monkeypatch, tmp_path, name, raw, message):
    monkeypatch.setitem(data.SHA256, name, hashlib.sha256(raw).hexdigest())
    put(tmp_path / "own" / "mnist", files | {name: raw})
    monkeypatch.setenv("MINIDIFF_DATA", str(tmp_path / "own"))
    with pytest.raises(DataError, match=message) as error:
        data.mnist()
    assert name in one_line(error)


# Mirrors


@pytest.fixture
def server(files):
    """Serves /good/, /truncated/ (announces more than it sends), /altered/ and /broken/ (HTTP 500); counts requests."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            _, kind, name = self.path.split("/")
            asked.append((kind, name))
            if kind == "broken":
                self.send_error(500)
                return
            raw = files[name]
            self.send_response(200)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write({"good": raw, "truncated": raw[: len(raw) // 2], "altered": raw[:-1] + b"?"}[kind])

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as s:
        thread = threading.Thread(target=s.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{s.server_address[1]}", asked
        s.shutdown()


@pytest.mark.parametrize("first", ["broken", "truncated", "altered"])
def test_a_failing_mirror_hands_over_to_the_next(files, server, monkeypatch, tmp_path, first):
    address, asked = server
    monkeypatch.setattr(data, "MIRRORS", (f"{address}/{first}/", f"{address}/good/"))
    assert data.mnist(source="full", quiet=True).name == "full"
    cache = tmp_path / "cache" / "mnist"
    assert {p.name: p.read_bytes() for p in cache.iterdir()} == files  # nothing temporary is left behind
    assert {kind for kind, _ in asked} == {first, "good"}
    asked.clear()
    assert data.mnist("test", quiet=True).name == "full" and data.fetch_mnist() == cache
    assert asked == []


def test_a_second_fetch_takes_only_what_is_missing_or_damaged(files, server, monkeypatch, tmp_path):
    address, asked = server
    monkeypatch.setattr(data, "MIRRORS", (f"{address}/good/",))
    damaged, missing, *_ = files
    put(tmp_path / "cache" / "mnist", {k: v for k, v in files.items() if k != missing} | {damaged: b"half"})
    data.fetch_mnist()
    assert sorted(name for _, name in asked) == sorted([damaged, missing])
    assert data.mnist(quiet=True).name == "full"


def test_when_no_mirror_answers_the_error_says_what_to_do(files, server, monkeypatch, tmp_path):
    address, _ = server
    monkeypatch.setattr(data, "MIRRORS", (f"{address}/broken/", f"{address}/altered/", "http://127.0.0.1:9/"))
    with pytest.raises(DataError) as error:
        data.mnist(source="full")
    text = one_line(error)
    for part in ("HTTP 500", "wrong SHA-256", "no connection", "MINIDIFF_DATA", 'source="embedded"', "train-images-idx3-ubyte.gz"):
        assert part in text
    assert list((tmp_path / "cache" / "mnist").iterdir()) == []


def test_a_cache_that_cannot_be_written_says_so(files, server, monkeypatch, tmp_path):
    address, _ = server
    monkeypatch.setattr(data, "MIRRORS", (f"{address}/good/",))
    (tmp_path / "cache").write_text("a file, not a folder")
    with pytest.raises(DataError, match="cannot write to .*MINIDIFF_CACHE"):
        data.fetch_mnist()


def test_the_real_table_has_two_mirrors_and_a_checksum_for_every_file():
    assert len({m.split("/")[2] for m in data.MIRRORS}) >= 2
    assert all(len(data.SHA256[f]) == 64 for pair in data.FILES.values() for f in pair)
