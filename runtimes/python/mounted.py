"""Imports from the script's folder without the C library: while a snapshot is taken, it would keep handles of files that no other cell has."""

import importlib.machinery

from componentize_py_types import Err
from wit_world.imports import preopens
from wit_world.imports.wasi_filesystem_types import DescriptorFlags, DescriptorType, OpenFlags, PathFlags

ROOT = "/app"


class Finder:
    """Finds modules below the folders of a search path, and runs their source."""

    def __init__(self, path):
        self.path = list(path)
        self.folders = preopens.get_directories()
        self.root = next(folder for folder, name in self.folders if name == ROOT)

    def close(self):
        for folder, _ in self.folders:
            folder.__exit__(None, None, None)

    def kind(self, path):
        """What is at a path, if anything."""
        if path != ROOT and not path.startswith(ROOT + "/"):
            return None
        try:
            return self.root.stat_at(PathFlags.SYMLINK_FOLLOW, path[len(ROOT) + 1 :] or ".").type
        except Err:
            return None

    def read(self, path):
        try:
            file = self.root.open_at(PathFlags.SYMLINK_FOLLOW, path[len(ROOT) + 1 :], OpenFlags(0), DescriptorFlags.READ)
        except Err as error:
            raise OSError(f"cannot read {path}") from error
        with file:
            parts, end = [], False
            while not end:
                part, end = file.read(1 << 20, sum(map(len, parts)))
                parts.append(part)
            return b"".join(parts)

    def is_file(self, path):
        return self.kind(path) == DescriptorType.REGULAR_FILE

    def find_spec(self, name, path=None, target=None):
        last = name.rpartition(".")[2]
        folders = []
        for folder in self.path if path is None else path:
            base = f"{folder}/{last}"
            for origin, package in ((f"{base}/__init__.py", True), (f"{base}.py", False)):
                if self.is_file(origin):
                    loader = Loader(self, origin)
                    spec = importlib.machinery.ModuleSpec(name, loader, origin=origin, is_package=package)
                    if package:
                        spec.submodule_search_locations[:] = [base]
                    spec.has_location = True
                    return spec
            if self.kind(base) == DescriptorType.DIRECTORY:
                folders.append(base)
        if not folders:
            return None
        # A package without a file of its own.
        spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations[:] = folders
        return spec


class Loader(importlib.machinery.SourceFileLoader):
    """Python's own loader, but for how it reads: what asks for the file later, reads it as usual."""

    def __init__(self, finder, origin):
        self.finder = finder
        self.name = None
        self.path = origin

    def get_filename(self, name=None):
        return self.path

    def create_module(self, spec):
        self.name = spec.name
        return None

    def exec_module(self, module):
        exec(compile(self.finder.read(self.path), self.path, "exec", dont_inherit=True), module.__dict__)
        self.finder = None
