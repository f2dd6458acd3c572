"""Settings from the command line, such as train.steps=500, put into a recipe: typed, and an unknown key names the nearest ones."""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import replace
from typing import Any

from minidiff.run.recipes import Recipe, nearest

TOP = ("predicts", "told", "latent")  # keys of the recipe itself; the others are of its parts


def override(recipe: Recipe, settings: list[str]) -> Recipe:
    """The recipe with settings such as "train.steps=500" applied; typed, and an unknown key names the nearest ones."""
    for setting in settings:
        key, eq, text = setting.partition("=")
        if not eq:
            raise ValueError(f"a setting reads key=value, such as train.steps=500; got {setting!r}")
        recipe = _set(recipe, key.strip(), text.strip())
    return recipe


def _set(recipe: Recipe, key: str, text: str) -> Recipe:
    known = {f"{part}.{f.name}" for part in ("network", "noise", "train") for f in dataclasses.fields(getattr(recipe, part))}
    known |= set(TOP)
    if key not in known:
        raise ValueError(f"unknown setting {key!r}{nearest(key, known)}; `minidiff train {recipe.name} --show` lists all")
    if "." not in key:
        return replace(recipe, **{key: text})  # type: ignore[arg-type]
    part, name = key.split(".")
    old = getattr(recipe, part)
    kind = typing.get_type_hints(type(old))[name]
    return replace(recipe, **{part: replace(old, **{name: _parse(key, text, kind)})})


def _parse(key: str, text: str, kind: Any) -> Any:
    """text as a value of this type: int, float, bool, str, or a tuple of them ("32,64")."""
    if typing.get_origin(kind) is tuple:
        return tuple(_parse(key, item.strip(), typing.get_args(kind)[0]) for item in text.strip("()").split(",") if item.strip())
    try:
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        return kind(text)
    except (ValueError, KeyError):
        raise ValueError(f"{key} takes a {kind.__name__}; got {text!r}") from None
