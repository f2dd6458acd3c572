"""The IDX format in which MNIST is distributed, parsed strictly."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np

from minidiff.run.store import Bytes, DataError


def read_idx(path: str | Path, dims: int | None = None) -> Bytes:
    """The uint8 array of a gzipped IDX file; dims, if given, is how many axes it must have (3 images, 1 labels).

    Format: two zero bytes, the type (8 = uint8), the number of axes, each axis as a big-endian int32, then the values in
    C order and nothing after them. Raises DataError naming the file and what is wrong with it.
    """
    path = Path(path)
    try:
        raw = gzip.decompress(path.read_bytes())
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; `minidiff data fetch mnist` downloads the full set") from None
    except EOFError:
        raise DataError(f"{path}: the gzip file is cut short; delete it and fetch it again") from None
    except (gzip.BadGzipFile, zlib.error) as e:
        raise DataError(f"{path}: not a whole gzip file ({e}); delete it and fetch it again") from None
    except OSError as e:
        raise DataError(f"{path}: cannot be read ({e.strerror or e}); check its permissions") from None
    if len(raw) < 4 or raw[:2] != b"\0\0":
        raise DataError(f"{path}: not IDX: it must begin with two zero bytes, a type and a count; got {raw[:4].hex(' ') or 'nothing'}")
    if raw[2] != 8:
        raise DataError(f"{path}: IDX type must be 0x08 (uint8); got 0x{raw[2]:02x}")
    axes = raw[3]
    if axes == 0 or (dims is not None and axes != dims):
        raise DataError(f"{path}: the IDX array must have {dims or 'at least 1'} axes; got {axes}")
    head = 4 + 4 * axes
    if len(raw) < head:
        raise DataError(f"{path}: the IDX header takes {head} bytes; the file has only {len(raw)}")
    shape = tuple(int.from_bytes(raw[i : i + 4], "big") for i in range(4, head, 4))
    size = int(np.prod(shape, dtype=object))
    if len(raw) - head != size:
        few = "too short" if len(raw) - head < size else "too long"
        raise DataError(f"{path}: {few}: its header announces {size} values {shape}; it holds {len(raw) - head}")
    return np.frombuffer(raw, np.uint8, offset=head).reshape(shape)
