# What a script does with other components: the same paths in every language.

import dataclasses
import math
import sys

from watertight import ModuleError
from watertight.test import behave
from watertight.test.behave import run
import watertight.test.types as types

print("loading", file=sys.stderr)


@dataclasses.dataclass
class Point:
    x: int
    y: int


person = {"name": "Ada ü", "age": 36, "tags": ["x", ""], "home": {"x": -1, "y": 2}}

# A function, what it is given, and what it gives, if that is another value.
VALUES = [
    ("bools", True),
    ("u8s", 255),
    ("s8s", -128),
    ("u32s", 4294967295),
    ("s32s", -2147483648),
    ("u64s", 18446744073709551615),
    ("s64s", -9223372036854775808),
    ("f32s", 0.5),
    ("f64s", 1e300),
    ("f64s", 3, 3.0),
    ("chars", "ß"),
    ("strings", "two\0 ✓ 😀"),
    ("bytes", b"\0\xff\1"),
    ("bytes", [1, 2], b"\1\2"),
    ("wide_list", [1, 2]),
    ("string_list", ("a", "", "ü"), ["a", "", "ü"]),
    ("list_list", [[], ["a"], ["b", "c"]]),
    ("points", Point(1, -2), {"x": 1, "y": -2}),
    ("persons", person),
    ("persons", {"home": person["home"], "tags": [], "name": "no age"}, {**person, "name": "no age", "age": None, "tags": []}),
    ("person_list", [person, person]),
    ("tuples", (1, "two", 3.5, {"x": 4, "y": 5}), [1, "two", 3.5, {"x": 4, "y": 5}]),
    ("colours", "green"),
    ("shapes", "nothing", {"tag": "nothing"}),
    ("shapes", {"tag": "named", "val": "dot"}),
    ("shapes", {"tag": "many", "val": [{"tag": "of", "val": "red"}, {"tag": "grey", "val": 3}]}),
    ("fews", {"a"}, ["a"]),
    ("nines", []),
    ("options", None),
    ("options", 5),
    ("option_options", {"tag": "some", "val": None}),
    ("option_options", {"tag": "none"}),
    ("results", {"tag": "ok", "val": 1}, 1),
    ("result_list", [{"tag": "ok", "val": "a"}, {"tag": "ok", "val": None}, {"tag": "err", "val": b"\x09"}]),
]


def values():
    wrong = []
    for name, given, *wanted in VALUES:
        got = getattr(types, name)(given)
        if got != (wanted or [given])[0]:
            wrong.append(f"{name}: {got!r}")
    if not math.isnan(types.f64s(math.nan)) or math.copysign(1, types.f64s(-0.0)) != -1:
        wrong.append("f64s")
    if types.persons(person).home.y != 2 or types.persons(v=person) != person:
        wrong.append("persons")
    if types.nothing() is not None:
        wrong.append("nothing")
    if types.sixteen(*range(1, 17)) != 136:
        wrong.append("sixteen")
    if len(types.strings_and_more(*"abcdefgh", 1, ["i"])) < 9:
        wrong.append("strings_and_more")
    if "string" not in types.strings.__doc__:
        wrong.append("doc")
    return "\n".join(wrong) or "all values are the same"


MISTAKES = {
    "type": lambda: types.u8s("one"),
    "range": lambda: types.u8s(256),
    "count": lambda: types.u8s(1, 2),
    "field": lambda: types.points({"x": 1, "z": 2}),
    "lacks": lambda: types.persons({"name": "x", "tags": [], "home": {"x": 1}}),
    "case": lambda: types.colours("mauve"),
    "function": lambda: types.bytes(lambda: 1),
}


def caught(action):
    try:
        return f"returned {action()}"
    except TypeError as error:
        return f"mistake: {error}"
    except ModuleError as error:
        return f"{type(error).__name__} {error.kind} {error.payload}: {error}"


def unknown():
    try:
        import watertight.test.nowhere
    except ModuleNotFoundError as error:
        return str(error)


def answer(what, which):
    match what:
        case "values": return values()
        case "run": return caught(lambda: run(int(which)))
        case "quiet": return caught(lambda: behave.quiet(int(which)))
        case "plain": return caught(lambda: behave.plain(int(which)))
        case "mistake": return caught(MISTAKES[which])
        case "unknown": return unknown()
        case "uncaught": return str(behave.plain(1))


def app(environ, start_response):
    _, what, which = (environ["PATH_INFO"] + "/").split("/")[:3]
    text = answer(what, which)
    start_response("200 OK", [("content-type", "text/plain; charset=utf-8")])
    return [text.encode()]
