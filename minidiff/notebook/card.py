"""What was measured once, of many samples, and is kept, in the weights or beside them: read from there, for a notebook to print."""

import json
from typing import Any

from minidiff.learn import read_metadata
from minidiff.run import weights_path
from minidiff.run.store import data_dir

REAL = {"mnist": "real digits", "cifar10": "real pictures", "scenes": "real scenes"}


def card(name: str, *keys: str, section: str = "samples") -> str:
    """A line for each way of sampling that `minidiff evaluate NAME --save` measured: n, and of each key its value and 95 % interval.

    section: of the results, such as "captions" or "maps". The last lines have the same of as many real pictures, where that is a number.
    Raises ValueError for weights that do not ship, and for a section or key that was not measured, with those that were. Checked by
    tests/test_weights.py.
    """
    metadata = read_metadata(weights_path(name))
    results = metadata["results"]
    if section not in results:
        raise ValueError(f"{section!r} was not measured of {name}; there are {', '.join(sorted(set(results) - {'data'}))}")
    found, real = results[section], REAL[metadata.get("recipe", {}).get("data", "mnist")]
    known = sorted({key for m in found.values() for key, value in m.items() if isinstance(value, dict) and "interval_95" in value})
    for key in keys:
        if key not in known:
            raise ValueError(f"{key!r} was not measured of {name}; there are {', '.join(known)}")
    wide = max(len(way) for way in [*found, real])
    lines = [f"{'':{wide}}       n" + "".join(f"{key:>26}" for key in keys)]
    for way, m in sorted(found.items(), key=lambda item: natural(item[0])):
        cells = (f"{m[key]['value']:.3g} ({m[key]['interval_95'][0]:.3g} to {m[key]['interval_95'][1]:.3g})" for key in keys)
        lines.append(f"{way:{wide}}  {m['n']:6d}" + "".join(f" {cell:>25}" for cell in cells))
    for n, m in {m["n"]: m for m in found.values()}.items():
        floors = (f"{m[key]['floor']:.3g}" if "floor" in m[key] else "" for key in keys)
        lines.append(f"{real:{wide}}  {n:6d}" + "".join(f"{floor:>26}" for floor in floors))
    return "\n".join(lines)


def kept(name: str) -> dict[str, Any]:
    """What `minidiff evaluate NAME -n 10000 --save` measured of a shipped autoencoder: its numbers alone, and how many a latent has.

    Raises ValueError for weights that do not ship, and for weights of which no reconstructions were measured.
    """
    metadata = read_metadata(weights_path(name))
    found = metadata.get("results", {}).get("reconstruction")
    if found is None:
        raise ValueError(f"no reconstructions were measured of {name}: `minidiff evaluate {name} -n 10000 --save`")
    network = metadata["recipe"]["network"]
    values = {key: m["value"] if isinstance(m, dict) else m for key, m in found.items()}
    return values | {"numbers": network["z_channels"] * (32 // network["factor"]) ** 2}


def measured(name: str) -> dict[str, Any]:
    """The numbers of a benchmark too long to repeat, such as "latent-factor": data/measured/NAME.json, written by benchmarks/.

    Raises ValueError for a name that is not there, with those that are. Checked by tests/test_weights.py.
    """
    folder = data_dir() / "measured"
    path = folder / f"{name}.json"
    if not path.is_file():
        raise ValueError(
            f"no benchmark named {name!r} is kept; there are {', '.join(sorted(p.stem for p in folder.glob('*.json'))) or 'none'}"
        )
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def natural(way: str) -> list[str | float]:
    """Words as words and numbers as numbers, so that "ddim 5" comes before "ddim 10"."""
    return [float(word) if word[0].isdigit() else word for word in way.replace(",", "").split()]
