"""`python -m minidiff.verify [FILE]`: write EQUATIONS.md."""

import sys
from pathlib import Path

from minidiff.verify import markdown

Path(sys.argv[1] if len(sys.argv) > 1 else "EQUATIONS.md").write_text(markdown(), encoding="utf-8")
