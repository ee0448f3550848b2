"""Greets who is named in its arguments."""

import sys

from greeting import greet
from wit_world import exports
from wit_world.imports import environment


class Run(exports.Run):
    def run(self) -> None:
        names = environment.get_arguments()[1:] or [""]
        for name in names:
            print(greet(name))
        sys.stdout.flush()
