"""Write constraints.txt anew: the newest versions that the ranges of pyproject.toml allow, extras `test` and `docs` included.

    make pins

uv resolves for the oldest Python that pyproject.toml allows, so that every pin can be installed there too. torch keeps its pin: the
outputs of the notebooks and the measured results were made with it. The comments at the head of the file are kept.
Checked by tests/test_environment.py, which needs no network: it gives `pins` the lines that uv would write.
"""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "constraints.txt"
KEPT = "torch"


def resolve(uv: str, kept: str) -> str:
    """What `uv pip compile` prints: a line `name==version` for each package. uv itself is pinned as well: `make setup` installs it."""
    python = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"].removeprefix(">=")
    command = [uv, "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--extra", "test", "--extra", "docs"]
    run = subprocess.run([*command, "--python-version", python, "pyproject.toml", "-"], cwd=ROOT, input=f"uv\n{kept}\n", text=True,
                         stdout=subprocess.PIPE, check=False)  # fmt: skip
    if run.returncode:
        sys.exit("constraints.txt is as it was: uv found no versions that fit; its words above name the range of pyproject.toml to mend")
    return run.stdout


def pins(old: str, resolved: str) -> str:
    """The new text of constraints.txt: the old one's comments, then the resolved pins in order, without builds (2.13.0+cpu is 2.13.0)."""
    comments = [line for line in old.splitlines() if line.startswith("#")]
    lines = [re.sub(r"\+[a-z0-9.]+$", "", line) for line in resolved.splitlines() if line and not line.startswith("#")]
    return "\n".join([*comments, *sorted(lines)]) + "\n"


def changes(old: str, new: str) -> list[str]:
    """A line for each pin that came, went or moved."""
    before, after = (dict(re.findall(r"^([^#\s=]+)==(\S+)$", text, re.MULTILINE)) for text in (old, new))
    return [f"{name}: {before.get(name, 'new')} -> {after.get(name, 'gone')}"
            for name in sorted(before.keys() | after.keys()) if before.get(name) != after.get(name)]  # fmt: skip


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    old = FILE.read_text(encoding="utf-8")
    new = pins(old, resolve(sys.argv[1], re.search(rf"^{KEPT}==\S+$", old, re.MULTILINE)[0]))
    FILE.write_text(new, encoding="utf-8")
    print("\n".join(changes(old, new)) or "every pin is the newest already")
