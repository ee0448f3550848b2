# What the program does, apart from how it is called. What begins with `_` is for the others to require, and no route.

def greet(name) = "Hello, #{name.empty? ? "world" : name}!"
