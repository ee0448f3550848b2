"""The library's interface, as `wit/world.wit` has it."""

import greeting
from wit_world import exports


class Greeting(exports.Greeting):
    def greet(self, name: str) -> str:
        return greeting.greet(name)
