"""The language of digit scenes: what a caption can say, in which words, and how to read it back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

COLOURS = ("red", "green", "blue", "yellow", "purple", "white")
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PLURALS = tuple(word + ("es" if word == "six" else "s") for word in DIGITS)
COUNTS = {"two": 2, "three": 3, "four": 4}
FORMS = ("alone", "above", "left of", "row", "column", "square")

Thing = tuple[int, int]  # a digit and the number of its colour


@dataclass(frozen=True)
class Described:
    """What a scene shows. form "alone": one digit; "above" and "left of": the first thing lies so to the second; "row", "column",
    "square": two to four of the same kind."""

    form: str
    what: tuple[Thing, ...]

    def __post_init__(self) -> None:
        allowed = {"alone": (1,), "above": (2,), "left of": (2,), "row": (2, 3), "column": (2,), "square": (4,)}
        if self.form not in allowed:
            raise ValueError(f"form must be one of {', '.join(FORMS)}; got {self.form!r}")
        if len(self.what) not in allowed[self.form]:
            raise ValueError(f"{self.form!r} is said of {' or '.join(map(str, allowed[self.form]))} digits; got {len(self.what)}")
        if self.form in ("row", "column", "square") and len(set(self.what)) > 1:
            raise ValueError(f"the digits of a {self.form} are alike; got {self.what}")


def caption_of(said: Described, rng: np.random.Generator) -> str:
    """A caption, in one of its wordings, drawn at random."""
    if said.form == "alone":
        return _thing(said.what[0], rng)
    if said.form in ("above", "left of"):
        first, second = (_thing(one, rng) for one in said.what)
        there, back = RELATIONS[said.form]
        if rng.random() < 0.5:
            return f"{first} {rng.choice(there)} {second}"
        return f"{second} {rng.choice(back)} {first}"
    digit, colour = said.what[0]
    many = f"{DIGITS[len(said.what)]} {COLOURS[colour]} {PLURALS[digit]}"
    return f"{many} in a {said.form}" if rng.random() < 0.5 else f"a {said.form} of {many}"


RELATIONS = {"above": (("above", "over"), ("below", "under")), "left of": (("left of", "to the left of"), ("right of", "to the right of"))}


def _thing(one: Thing, rng: np.random.Generator) -> str:
    digit, colour = DIGITS[one[0]], COLOURS[one[1]]
    return (f"a {colour} {digit}", f"one {colour} {digit}", f"a {digit} in {colour}")[rng.integers(3)]


def read(caption: str) -> Described:
    """What a caption means; ValueError if it is none of this language. The inverse of `caption_of`, whatever the wording."""
    words = caption.lower().split()
    found = _pair(words) or _alike(words)
    if found is None and (one := _read_thing(words)):
        found = Described("alone", (one,))
    if found is None:
        example = '"a red seven above a blue two" or "three green fours in a row"'
        raise ValueError(f"{caption!r} is no caption of these scenes; for example {example}")
    return found


def _read_thing(words: list[str]) -> Thing | None:
    match words:
        case ["a" | "one", colour, digit] | ["a" | "one", digit, "in", colour] if digit in DIGITS and colour in COLOURS:
            return DIGITS.index(digit), COLOURS.index(colour)
    return None


def _pair(words: list[str]) -> Described | None:
    for form, sides in RELATIONS.items():
        for turn, wordings in enumerate(sides):
            for wording in (w.split() for w in wordings):
                for i in (i for i in range(len(words)) if words[i : i + len(wording)] == wording):
                    first, second = _read_thing(words[:i]), _read_thing(words[i + len(wording) :])
                    if first and second:
                        return Described(form, (second, first) if turn else (first, second))
    return None


def _alike(words: list[str]) -> Described | None:
    match words:
        case [n, colour, plural, "in", "a", form] | ["a", form, "of", n, colour, plural] if plural in PLURALS and colour in COLOURS:
            if form in ("row", "column", "square") and n in COUNTS:
                return Described(form, ((PLURALS.index(plural), COLOURS.index(colour)),) * COUNTS[n])
    return None


def unseen_thing(digit: int, colour: int) -> bool:
    """Whether no training scene with a caption holds this digit in this colour: one digit of each colour, six pairs of sixty."""
    return digit == (3 * colour + 2) % 10


def unseen_relation(said: Described) -> bool:
    """Whether no training caption relates these digits so: sums that end in 3, one above the other; in 7, side by side."""
    if said.form not in RELATIONS:
        return False
    return sum(digit for digit, _ in said.what) % 10 == {"above": 3, "left of": 7}[said.form]


def unseen(said: Described) -> bool:
    """Whether a description has a combination that training captions never have."""
    return unseen_relation(said) or any(unseen_thing(*one) for one in said.what)
