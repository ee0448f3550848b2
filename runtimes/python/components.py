"""Other components of the app as Python modules: what exports `press:markdown/render` is `press.markdown.render`.

A call that fails raises `ModuleError`, of the module `watertight`; one with the wrong arguments a `TypeError`.
"""

import dataclasses
import enum
import importlib.machinery
import re
import struct
import sys
import types

from componentize_py_types import Err
from wit_world.imports import modules

# A map that is no record.
MAP = 259

# Deeper is a circle.
MAX_DEPTH = 200


class ModuleError(Exception):
    """A call of another component that failed: `kind` says how, `payload` is the error that it returned."""

    def __init__(self, message, kind="error", payload=None):
        super().__init__(message)
        self.kind = kind
        self.payload = payload


class Record(dict):
    """A record of the component model, whose fields are attributes too."""

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the record has no field {name!r}", name=name, obj=self) from None


def snake(name):
    return name.replace("-", "_")


def head(out, major, number):
    if number < 24:
        out.append(major << 5 | number)
    elif number < 1 << 8:
        out += bytes((major << 5 | 24, number))
    elif number < 1 << 16:
        out += struct.pack(">BH", major << 5 | 25, number)
    elif number < 1 << 32:
        out += struct.pack(">BI", major << 5 | 26, number)
    elif number < 1 << 64:
        out += struct.pack(">BQ", major << 5 | 27, number)
    else:
        raise TypeError("a number of more than 64 bits cannot be given to another component")


def write(out, value, depth=0):
    if depth > MAX_DEPTH:
        raise TypeError("what is nested so deep cannot be given to another component")
    if value is None:
        out.append(0xF6)
    elif value is True or value is False:
        out.append(0xF5 if value else 0xF4)
    elif isinstance(value, enum.Enum):
        write(out, value.value if isinstance(value.value, str) else value.name.lower(), depth)
    elif isinstance(value, str):
        text = value.encode()
        head(out, 3, len(text))
        out += text
    elif isinstance(value, int):
        head(out, 0, value) if value >= 0 else head(out, 1, -1 - value)
    elif isinstance(value, float):
        out += struct.pack(">Bd", 0xFB, value)
    elif isinstance(value, (bytes, bytearray, memoryview)):
        data = bytes(value)
        head(out, 2, len(data))
        out += data
    elif isinstance(value, dict):
        head(out, 5, len(value))
        for key, item in value.items():
            write(out, key, depth + 1)
            write(out, item, depth + 1)
    elif isinstance(value, (list, tuple, set, frozenset, range)):
        head(out, 4, len(value))
        for item in value:
            write(out, item, depth + 1)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        write(out, {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}, depth)
    elif isinstance(value, types.SimpleNamespace):
        write(out, vars(value), depth)
    else:
        raise TypeError(f"a {type(value).__name__} cannot be given to another component")


class Reader:
    """What the host wrote."""

    def __init__(self, data):
        self.data = data
        self.at = 0

    def take(self, count):
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, low):
        if low < 24:
            return low
        return int.from_bytes(self.take(1 << (low - 24)), "big")

    def value(self):
        first = self.take(1)[0]
        major, low = first >> 5, first & 31
        if major == 7:
            if low == 26:
                return struct.unpack(">f", self.take(4))[0]
            if low == 27:
                return struct.unpack(">d", self.take(8))[0]
            return low == 21 if low in (20, 21) else None
        number = self.number(low)
        if major == 0:
            return number
        if major == 1:
            return -1 - number
        if major == 2:
            return bytes(self.take(number))
        if major == 3:
            return str(self.take(number), "utf-8")
        if major == 4:
            return [self.value() for _ in range(number)]
        if major == 5:
            return Record((snake(self.value()), self.value()) for _ in range(number))
        if number == MAP:
            first = self.take(1)[0]
            return {self.value(): self.value() for _ in range(self.number(first & 31))}
        return self.value()


def function(module, name, parameters, signature):
    """A function of another component."""
    names = [snake(parameter) for parameter in parameters]

    def call(*arguments, **named):
        arguments = list(arguments)
        if named:
            for parameter in names[len(arguments) :]:
                if not named:
                    break
                arguments.append(named.pop(parameter, None))
            for unknown in named:
                raise TypeError(f"{snake(name)}() got an unexpected keyword argument {unknown!r}")
        out = bytearray()
        write(out, arguments)
        try:
            result = modules.call(module, name, bytes(out))
        except Err as error:
            failure = error.value
        else:
            return Reader(result).value()
        if failure.kind == "type":
            raise TypeError(failure.message)
        payload = Reader(failure.payload).value() if failure.payload else None
        raise ModuleError(failure.message, failure.kind, payload)

    call.__name__ = call.__qualname__ = snake(name)
    call.__module__ = python_name(module)
    call.__doc__ = signature
    return call


def python_name(module):
    """`press:markdown/render` as `press.markdown.render`; what is exported in two versions has them in its name."""
    return ".".join(re.sub(r"\W", "_", part) for part in re.split("[:/]", module))


class Finder:
    """Finds the components' modules, after all others."""

    # By its name in Python each module's own and its functions; None for a package of modules.
    known = None

    @classmethod
    def look(cls):
        if cls.known is None:
            cls.known = {}
            for module, functions in cls.described():
                name = python_name(module)
                cls.known[name] = (module, functions)
                while "." in name:
                    name = name.rpartition(".")[0]
                    cls.known.setdefault(name, None)
        return cls.known

    @staticmethod
    def described():
        """The description's pairs: its keys are names as they are in WIT."""
        reader = Reader(modules.describe())

        def pairs(read):
            count = reader.number(reader.take(1)[0] & 31)
            return [(reader.value(), read()) for _ in range(count)]

        return pairs(lambda: pairs(reader.value))

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name != "watertight" and name not in cls.look():
            return None
        # Components of that namespace are in it, too.
        package = name == "watertight" or cls.known[name] is None
        return importlib.machinery.ModuleSpec(name, cls, origin="watertight", is_package=package)

    @staticmethod
    def create_module(spec):
        return None

    @classmethod
    def exec_module(cls, module):
        name = module.__spec__.name
        if name == "watertight":
            module.ModuleError = ModuleError
            return
        if cls.known[name] is None:
            return
        own, functions = cls.known[name]
        for each, facts in functions:
            setattr(module, snake(each), function(own, each, facts["parameters"], facts["signature"]))


def install():
    ModuleError.__module__ = "watertight"
    sys.meta_path.append(Finder)
