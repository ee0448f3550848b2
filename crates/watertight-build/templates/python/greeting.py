"""What the component does, apart from how it is called: this can be tested anywhere."""


def greet(name: str) -> str:
    return f"Hello, {name or 'world'}!"
