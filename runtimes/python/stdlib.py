"""The standard library, kept in memory: what a snapshot of the interpreter holds, a cell has without reading a file.

Modules are compiled when the runtime is built. A cell that imports one runs its code; nothing else of it is touched.
"""

import importlib.machinery
import importlib.util
import marshal
import os
import sys

# Useless without a terminal, a window, a compiler or pip, or only there to test Python itself.
LEFT_OUT = {
    "ensurepip", "idlelib", "lib2to3", "pydoc_data", "site-packages", "test", "tests", "tkinter", "turtledemo", "venv",
    "__pycache__", "turtle.py", "antigravity.py", "this.py", "__phello__",
}

_code = {}


def collect(folder, prefix=""):
    """Compiles every module below a folder."""
    for entry in sorted(os.listdir(folder)):
        path = f"{folder}/{entry}"
        if entry in LEFT_OUT or entry.startswith("_sysconfigdata"):
            continue
        if os.path.isdir(path):
            if os.path.exists(f"{path}/__init__.py"):
                collect(path, f"{prefix}{entry}.")
            continue
        stem, ending = os.path.splitext(entry)
        if ending != ".py":
            continue
        package = stem == "__init__"
        name = prefix[:-1] if package else prefix + stem
        with open(path, "rb") as file:
            code = compile(file.read(), f"<stdlib>/{name.replace('.', '/')}.py", "exec", dont_inherit=True)
        _code[name] = (package, marshal.dumps(code))


def adopt(modules):
    """Modules that came from files: what runs one anew would look for its file."""
    for module in modules:
        spec = getattr(module, "__spec__", None)
        if spec and spec.name in _code:
            spec.loader = module.__loader__ = Finder


class Finder:
    """Finds what `collect` compiled."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name not in _code:
            return None
        package = _code[name][0]
        origin = f"<stdlib>/{name.replace('.', '/')}"
        spec = importlib.machinery.ModuleSpec(name, cls, origin=origin, is_package=package)
        return spec

    @staticmethod
    def create_module(spec):
        return None

    @staticmethod
    def exec_module(module):
        exec(marshal.loads(_code[module.__spec__.name][1]), module.__dict__)

    @staticmethod
    def is_package(name):
        return _code[name][0]

    @staticmethod
    def get_code(name):
        return marshal.loads(_code[name][1])

    @staticmethod
    def get_source(name):
        return None
