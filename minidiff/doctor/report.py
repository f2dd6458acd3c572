"""What the doctor found: defects in the order of the ladder, each with its evidence and the page to read."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from typing import Any

PAGES = {
    "table": "notebook 02, section 2; equations ddpm 2 and ddpm 4",
    "alpha for alpha_bar": "notebook 02, section 2; equation ddpm 4",
    "terminal SNR": "notebook 02, section 5; equation ddpm L_T",
    "coverage": "notebook 07, section 9; equation ddpm Alg. 1",
    "data range": "notebook 10, section 1",
    "data scale": "notebook 02, section 5",
    "latent scale": "notebook 13, section 1; equation latent 3",
    "noising": "notebook 02, sections 1, 2 and 7; equation ddpm 4",
    "noise law": "notebook 02, section 7; equation ddpm 2",
    "index offset": "notebook 05, section 2; equation ddpm Alg. 1",
    "output kind": "notebook 05, section 1; equation ddpm 15",
    "output sign": "notebook 05, section 3; equation mixture B02",
    "output scale": "notebook 05, section 2; equation score Tweedie",
    "blind to t": "notebook 07, section 4; equation ddpm 14",
    "untrained times": "notebook 07, section 4; equation ddpm 14",
    "sampler start": "notebook 08, section 8; equation ddpm Alg. 2",
    "sampler index": "notebook 07, section 9; equation ddpm Alg. 2",
    "stride": "notebook 08, section 1; equation improved_ddpm 19",
    "stops early": "notebook 03, section 1; equation ddpm Alg. 2",
    "last-step noise": "notebook 07, section 9; equation ddpm Alg. 2",
    "last step": "notebook 08, section 2; equation ddim 12",
    "missing noise": "notebook 03, section 3; equation ddpm Alg. 2",
    "variance for standard deviation": "notebook 02, section 7; equation ddpm Alg. 2",
    "reverse variance": "notebook 03, section 1; equation ddpm 6-7",
    "mean coefficients": "notebook 03, section 2; equation ddpm 11",
    "DDIM direction": "notebook 08, section 2; equation ddim 12",
    "clipping": "notebook 10, section 5; equation ddpm 15",
    "guidance convention": "notebook 08, section 10; equation guidance 6",
    "guidance sign": "notebook 08, section 10; equation guidance 6",
    "average is raw": "notebook 07, section 3; minidiff.learn.Training",
    "average from zero": "notebook 07, section 3; minidiff.learn.Training",
    "average of the start": "notebook 07, section 3; minidiff.learn.Training",
}


@dataclass(frozen=True)
class Finding:
    """A defect by its name (a key of PAGES), what it looks like in code, and the numbers: expected and seen."""

    name: str
    what: str
    expected: str
    seen: str

    @property
    def page(self) -> str:
        """Where the course explains it."""
        return PAGES[self.name]


@dataclass(frozen=True)
class Report:
    """findings: the most likely cause first. examined, skipped: which rungs were climbed, and which were not, with the reason."""

    findings: tuple[Finding, ...]
    examined: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = field(default=())

    @property
    def healthy(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    @property
    def diagnosis(self) -> str | None:
        """The name of the most likely defect."""
        return self.findings[0].name if self.findings else None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        found = [{"name": f.name, "what": f.what, "expected": f.expected, "seen": f.seen, "page": f.page} for f in self.findings]
        return {"healthy": self.healthy, "findings": found, "examined": list(self.examined), "skipped": dict(self.skipped)}

    def __str__(self) -> str:
        lines = [] if self.findings else ["No defect found."]
        for i, f in enumerate(self.findings):
            lines.append(f"{'Most likely defect' if i == 0 else 'Also seen, perhaps its consequence'}: {f.name}")
            for label, text in (("what", f.what), ("expected", f.expected), ("seen", f.seen), ("read", f.page)):
                lines.append(textwrap.fill(text, 120, initial_indent=f"  {label:9s} ", subsequent_indent=" " * 12))
        lines.append(f"Examined: {', '.join(self.examined) or 'nothing'}.")
        lines += [f"Not examined: {name}, {why}." for name, why in self.skipped]
        return "\n".join(lines)
