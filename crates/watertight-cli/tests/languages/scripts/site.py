import os
import random
import secrets
import socket
import time
from urllib.parse import parse_qs

count = 0


def denied(action):
    try:
        action()
    except OSError:
        return "denied"
    return "allowed"


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return "written"


def app(environ, start_response):
    global count
    path = environ["PATH_INFO"]
    query = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
    status, headers = "200 OK", [("Content-Type", "text/plain; charset=utf-8")]
    if path == "/hello":
        text = "hello " + query["name"]
    elif path == "/echo":
        kind = environ.get("CONTENT_TYPE", "application/octet-stream")
        start_response(status, [("Content-Type", kind), ("X-Asked", environ.get("HTTP_X_ASKED", ""))])
        return iter(lambda: environ["wsgi.input"].read(65536), b"")
    elif path == "/boom":
        raise ValueError("kaboom")
    elif path == "/count":
        count += 1
        text = str(count)
    elif path == "/chance":
        text = f"{time.time_ns()} {random.random()} {secrets.token_hex()}"
    elif path == "/write":
        text = write("/data/note.txt", query["text"])
    elif path == "/read":
        text = read("/data/note.txt")
    elif path == "/variables":
        text = " ".join(f"{name}={value}" for name, value in os.environ.items())
    elif path == "/own":
        text = f"read {len(read(__file__))} {denied(lambda: write('/app/new.txt', ''))}"
    elif path == "/passwd":
        text = denied(lambda: read("/etc/passwd"))
    elif path == "/dial":
        text = denied(lambda: socket.create_connection(("127.0.0.1", 9), timeout=5))
    else:
        status, text = "404 Not Found", "nothing here"
    start_response(status, headers)
    return [text.encode()]
