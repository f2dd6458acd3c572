"""Formulas in plain notation, as docstrings have them, into LaTeX: sqrt(abar_t) x_0 -> \\sqrt{\\bar\\alpha_t}\\, x_0.

`spans` finds them inside a sentence: a run of symbols, numbers, operators and brackets that holds a symbol no sentence has (x_0, eps,
sqrt, ...). What is not surely a formula stays text; a word of English is never one.
"""

import re

GREEK = {"alpha", "beta", "gamma", "delta", "epsilon", "eta", "theta", "lambda", "mu", "phi", "sigma", "tau", "rho"}
SYMBOLS = {g: f"\\{g}" for g in GREEK} | {"eps": r"\epsilon", "abar": r"\bar\alpha", "alpha_bar": r"\bar\alpha", "pi": r"\pi"}
FUNCTIONS = {
    **{f: f"\\{f}" for f in ("log", "exp", "sin", "cos", "tanh", "min", "max", "sum", "prod")},
    **{f: rf"\operatorname{{{f}}}" for f in ("KL", "Var", "Cov", "Tr", "expm1", "log1p", "dims")},
    "E": r"\mathbb{E}",
    "N": r"\mathcal{N}",
}
WORDS = {"signal", "noise", "mean", "var", "scale", "gain", "SNR", "mmse", "score"}  # quantities with a name: formulas beside others only
OPERATORS = {
    "*": r"\cdot ", "<=": r"\le ", ">=": r"\ge ", "==": "=", "~": r"\sim ",
    "||": r"\Vert ", "|": r"\mid ", "...": r"\ldots ", "->": r"\to ",
}  # fmt: skip
INDEX = r"_(?:\{[^}]*\}|[A-Za-z0-9]+)"
NAME = r"(?P<name>alpha_bar|[A-Za-z][A-Za-z0-9]*)"
IDENTIFIER = rf"{NAME}(?P<sub1>{INDEX})?(?P<mark>-(?:hat|tilde|bar))?(?P<sub2>{INDEX})?(?P<prime>'(?![a-z]))?"
TOKEN = re.compile(
    r"(?P<space>\s+)"
    rf"|(?P<id>{IDENTIFIER})(?![-\w])"
    r"|(?P<num>\d+(?:\.\d+)?(?:e-?\d+)?(?![\w%-]|\.\w))"
    r"|(?P<pow>\^(?:\{[^}]*\}|-?\w+))"
    r"|(?P<op>\.\.\.|==|->|<=|>=|\|\||[=+\-*/<>~|,;])"
    r"|(?P<open>[(\[])|(?P<close>[)\]])"
    r"|(?P<other>\S[\w'-]*)"
)


def subscript(text):
    """_t, _ts, _{t-1}, _theta."""
    inner = (text or "").lstrip("_").strip("{}").replace("<=", r"\le ")
    if inner.isalpha() and len(inner) > 2:
        inner = SYMBOLS.get(inner, rf"\mathrm{{{inner}}}")
    return f"_{{{inner}}}" if inner else ""


def strong(match):
    """A symbol that no sentence has."""
    name = match["name"]
    single = len(name) <= 2 and (match["sub1"] or match["mark"] or match["prime"])
    return bool(name in SYMBOLS or single or name == "sqrt" or (name in WORDS and len(match["sub1"] or "xxxx") < 4))


def symbol(match):
    """LaTeX of an identifier, or None if it is a word."""
    name = match["name"]
    if name == "sqrt":
        return r"\sqrt"
    if name in SYMBOLS:
        base = SYMBOLS[name]
    elif name in FUNCTIONS:
        base = FUNCTIONS[name]
    elif name in WORDS:
        base = rf"\mathrm{{{name}}}"
    elif len(name) == 1 or strong(match) or (len(name) == 2 and name[0] == "d"):
        base = name
    else:
        return None
    if match["mark"]:
        base = f"\\{match['mark'][1:]}{{{base}}}"
    elif match["sub1"] in {"_hat", "_tilde"}:
        return f"\\{match['sub1'][1:]}{{{base}}}"
    return base + subscript(match["sub1"] or match["sub2"]) + ("'" if match["prime"] else "")


def may_stand(tokens, i):
    """Whether token i can be part of a formula. What is a word too (a letter, log, mean) must have a neighbour that says it is not."""
    m = tokens[i]
    if m["other"] or not m["id"]:
        return not m["other"]
    if symbol(m) is None:
        return False
    before, after = step(tokens, i, -1), step(tokens, i, 1)
    if strong(m) or any(t and (t["open"] or t["close"] or t["pow"] or t["op"] not in {None, ",", ";"}) for t in (before, after)):
        return True
    if m["name"] in FUNCTIONS and after and after["id"]:  # log p(x), E Var[x_0]
        applied = step(tokens, tokens.index(after), 1)
        return bool(strong(after) or after["name"] in FUNCTIONS or (len(after["name"]) == 1 and applied and applied["open"]))
    if m["name"] in WORDS:  # signal eps
        return any(t and t["id"] and strong(t) for t in (before, after))
    return bool(m["name"] not in {"a", "A", "I"} and before and before["id"] and (strong(before) or before["name"] in WORDS))  # noise v


def step(tokens, i, by):
    """The next token that is no space, or None."""
    i += by
    while 0 <= i < len(tokens) and tokens[i]["space"]:
        i += by
    return tokens[i] if 0 <= i < len(tokens) else None


def runs(tokens):
    """(start, stop) of the longest stretches of formula, cut at commas that stand outside brackets."""
    start, depth = None, 0
    for i in range(len(tokens) + 1):
        stands = i < len(tokens) and may_stand(tokens, i)
        if stands and start is None and not tokens[i]["space"]:
            start, depth = i, 0
        if start is None:
            continue
        if stands:
            depth += bool(tokens[i]["open"]) - bool(tokens[i]["close"])
        ended = stands and depth == 0 and (tokens[i]["op"] in {",", ";"} or at_zero(tokens, i))
        if not stands or depth < 0 or ended:
            yield start, i
            start = None


def at_zero(tokens, i):
    """Whether a formula ends with the space at i: "at s = 0 beta-tilde is ..." holds two."""
    return bool(tokens[i]["space"] and i > 2 and tokens[i - 1][0] == "0" and tokens[i - 3]["op"] == "=" and not tokens[i + 1]["op"])


def trimmed(tokens, start, stop):
    """Without spaces, operators and unmatched brackets at the ends; None if the brackets inside do not match or no symbol is left."""
    while start < stop:
        first, last = tokens[start], tokens[stop - 1]
        inner = tokens[start:stop]
        excess = sum(bool(t["open"]) - bool(t["close"]) for t in inner)
        binds = first["op"] in {"-", "||", "|"} and stop - start > 1 and not tokens[start + 1]["space"]
        odd = last["op"] in {"||", "|"} and sum(t["op"] == last["op"] for t in inner) % 2
        if last["space"] or last["open"] or (last["op"] and (odd or last["op"] not in {"||", "|"})):
            stop -= 1
        elif first["space"] or first["pow"] or (first["op"] and not binds) or (first["open"] and excess > 0):
            start += 1
        else:
            before = (tokens[start - 1]["id"] or tokens[start - 1]["other"] or "") if start else ""
            called = before[-1:].isalnum()  # prior(x_T): the brackets belong to a word
            whole = excess == 0 and not called and any(t["id"] and strong(t) for t in inner)
            return (start, stop) if whole and inner_text(inner) != "lambda" else None  # lambda times: Python's
    return None


def inner_text(tokens):
    """The tokens as they were written."""
    return "".join(t[0] for t in tokens)


def latex(tokens):
    """LaTeX of a run of tokens."""
    out, roots, depth = [], [], 0
    for i, m in enumerate(tokens):
        if m["space"]:
            tight = out and step(tokens, i, 1) and not any(t["op"] for t in (tokens[i - 1], tokens[i + 1]))
            out.append(r"\," if tight else " ")
        elif m["id"]:
            out.append(symbol(m))
        elif m["open"]:
            if out and out[-1] == r"\sqrt":
                roots.append(depth)
                out.append("{")
            else:
                out.append(m["open"])
            depth += 1
        elif m["close"]:
            depth -= 1
            if roots and roots[-1] == depth:
                roots.pop()
                out.append("}")
            else:
                out.append(m["close"])
        elif m["pow"]:
            power = m["pow"][1:].strip("{}")
            out.append(f"^{{{SYMBOLS.get(power, power)}}}")
        elif m["op"] == "|" and not (i and tokens[i - 1]["space"] and tokens[i + 1 : i + 2] and tokens[i + 1]["space"]):
            out.append("|")
        else:
            out.append(OPERATORS.get(m["op"], m[0]))
    return "".join(out)


def spans(text):
    """The text in pieces (is a formula, LaTeX or text), in order; joined, the pieces of text and formulas cover all of it."""
    tokens, done = list(TOKEN.finditer(text)), 0
    for start, stop in runs(tokens):
        found = trimmed(tokens, start, stop)
        if found:
            begin, end = tokens[found[0]].start(), tokens[found[1] - 1].end()
            yield False, text[done:begin]
            yield True, latex(tokens[found[0] : found[1]])
            done = end
    yield False, text[done:]
