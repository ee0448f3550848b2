"""Answers a request with an ASGI application: version 3 of <https://asgi.readthedocs.io>, with lifespan.

Every request has an interpreter of its own, so what an application does at its startup is done for each.
"""

import asyncio
import inspect
import sys

# Bytes of the body that are handed over at a time.
CHUNK = 64 * 1024


def is_one(app):
    """Whether it is an ASGI application: it, or what it is called as, is a coroutine function of three parameters."""
    for function in (app, getattr(type(app), "__call__", None)):
        if inspect.iscoroutinefunction(function):
            return True
    return False


class Lifespan:
    """What an application does before the first request and after the last, if it does."""

    def __init__(self, app):
        self.inbox, self.state = asyncio.Queue(), {}
        self.outbox = asyncio.Queue()
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        self.task = asyncio.ensure_future(app(scope, self.inbox.get, self.outbox.put))

    async def step(self, name):
        """True where the application did it; false where it has no lifespan. Raises what it says is wrong."""
        if self.task.done():
            return False
        self.inbox.put_nowait({"type": "lifespan." + name})
        said = asyncio.ensure_future(self.outbox.get())
        await asyncio.wait({said, self.task}, return_when=asyncio.FIRST_COMPLETED)
        if not said.done():
            said.cancel()
            # Whoever does not know lifespan raises; that is no failure.
            self.task.exception()
            return False
        message = said.result()
        if message["type"] == f"lifespan.{name}.failed":
            raise RuntimeError(f"the application failed at its {name}: {message.get('message', '')}")
        return True


def scope_of(environ, headers, raw_path, state):
    scheme, server = environ["wsgi.url_scheme"], (environ["SERVER_NAME"], int(environ["SERVER_PORT"]))
    return {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.4"}, "http_version": "1.1",
        "method": environ["REQUEST_METHOD"], "scheme": scheme,
        "path": environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace"), "raw_path": raw_path.encode(),
        "query_string": environ["QUERY_STRING"].encode(), "root_path": "",
        "headers": headers, "server": server, "client": None, "state": state, "extensions": {},
    }


async def answer(app, environ, headers, raw_path, reply):
    """`reply` has `start(status, headers)`, `write(bytes)` and `finish()`."""
    lifespan = Lifespan(app)
    await lifespan.step("startup")
    body, ended = environ["wsgi.input"], asyncio.Event()
    read_all = False

    async def receive():
        nonlocal read_all
        if read_all:
            await ended.wait()
            return {"type": "http.disconnect"}
        data = body.read1(CHUNK)
        read_all = not data
        return {"type": "http.request", "body": data, "more_body": not read_all}

    async def send(message):
        kind = message["type"]
        if kind == "http.response.start":
            fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in message.get("headers", ())]
            reply.start(f"{message['status']} ", fields)
        elif kind == "http.response.body":
            reply.write(bytes(message.get("body", b"")))
            if not message.get("more_body", False):
                reply.finish()
                ended.set()
        else:
            raise ValueError(f"an answer has no message {kind!r}")

    headers = [(name.lower().encode("latin-1"), value) for name, value in headers]
    headers.insert(0, (b"host", environ["HTTP_HOST"].encode("latin-1")))
    await app(scope_of(environ, headers, raw_path, dict(lifespan.state)), receive, send)
    if not ended.is_set():
        raise RuntimeError("the application returned before its answer was complete")
    await lifespan.step("shutdown")


def run(app, environ, headers, raw_path, reply):
    asyncio.run(answer(app, environ, headers, raw_path, reply))
    sys.stdout.flush()
