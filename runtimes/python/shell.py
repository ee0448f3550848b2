"""Runs a script that is mounted: as a command, or behind WSGI or ASGI.

Everything up to the end of this module's import happens when the runtime is built, and is in the snapshot that every cell starts
from. What belongs to a cell alone (arguments, environment, chance) is set by `wake`, the first thing that a cell does. An exception
of the script is written to stderr, and the client is told that there was one, but not which.
"""

import stdlib

stdlib.collect("/python")

# What scripts and frameworks import most: from the snapshot it costs nothing.
# ruff: noqa: E401, E402, F401
import abc, argparse, ast, asyncio, base64, bisect, calendar, codecs, collections.abc, concurrent.futures, configparser, contextlib
import contextvars, copy, csv, dataclasses, datetime, decimal, difflib, email.message, email.parser, email.policy, email.utils, enum
import fnmatch, fractions, functools, gc, getpass, gettext, glob, gzip, hashlib, heapq, hmac, html, html.entities, html.parser
import http.client, http.cookies, importlib.abc, importlib.machinery, importlib.metadata, importlib.resources, importlib.util, inspect
import io, ipaddress, itertools, json, keyword, linecache, locale, logging, logging.handlers, math, mimetypes, numbers, operator, os
import pathlib, pickle, pkgutil, platform, posixpath, pprint, queue, random, re, reprlib, secrets, selectors, shlex, shutil, signal
import socket, sqlite3, stat, statistics, string, struct, sys, tempfile, textwrap, threading, time, timeit, token, tokenize, traceback
import types, typing, unicodedata, urllib.parse, urllib.request, uuid, warnings, weakref, xml.etree.ElementTree, zipfile, zlib
import zoneinfo, _strptime

import asgi
import components
import events
import mounted
import outbound
import settled
from componentize_py_types import Err, Ok
import wit_world
from wit_world import exports
from wit_world.imports import environment, exit, poll, streams, wasi_http_types as wasi
from wit_world.imports import wasi_filesystem_types, wall_clock, monotonic_clock, stdout, stderr, stdin

# The script's module, where the snapshot has it.
loaded = None

# How often the interpreter sees code before it leaves that as it is.
PRACTICE = 64

# Bytes that one call to the host reads or writes at most.
CHUNK = 64 * 1024

# What only concerns one connection: the host sets its own.
HOP_BY_HOP = {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}

METHODS = {
    wasi.Method_Get: "GET", wasi.Method_Head: "HEAD", wasi.Method_Post: "POST", wasi.Method_Put: "PUT",
    wasi.Method_Delete: "DELETE", wasi.Method_Connect: "CONNECT", wasi.Method_Options: "OPTIONS",
    wasi.Method_Trace: "TRACE", wasi.Method_Patch: "PATCH",
}


def wake():
    """Makes the interpreter of the snapshot this cell's own. Gives the path of the script."""
    set_environment(environment.get_environment())
    sys.argv[:] = environment.get_arguments()
    random.seed(os.urandom(32))
    if not loaded:
        set_path(sys.argv[0])
        os.chdir(sys.path[0])
    return sys.argv[0]


def set_environment(pairs):
    variables = dict(pairs)
    for name in set(os.environ) - set(variables):
        del os.environ[name]
    os.environ.update(variables)


def set_path(script):
    folder = os.path.dirname(script)
    sys.path[:] = list(dict.fromkeys([folder, folder + "/site-packages", "/app", "/app/site-packages"]))


def read_file(path):
    with open(path, "rb") as file:
        return file.read()


def module_name(script):
    return re.sub(r"\W", "_", pathlib.PurePosixPath(script).stem)


def load(script, name, read=read_file):
    """Runs the script as a module of this name."""
    spec = importlib.util.spec_from_file_location(name, script, loader=importlib.machinery.SourceFileLoader(name, script))
    module = importlib.util.module_from_spec(spec)
    if name == "__main__":
        module.__spec__ = None
    sys.modules[name] = module
    code = compile(read(script), script, "exec", dont_inherit=True)
    exec(code, module.__dict__)
    return module


def report(error):
    """Writes the traceback to the log, without the part of it that is this file's."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    text = "".join(traceback.format_exception(type(error), error, trace))
    print(text, file=sys.stderr, end="", flush=True)


class Input(io.RawIOBase):
    """The body of a request, as a file."""

    def __init__(self, stream):
        self.stream = stream

    def readable(self):
        return True

    def readinto(self, into):
        try:
            data = self.stream.blocking_read(min(len(into), CHUNK))
        except Err as error:
            if isinstance(error.value, streams.StreamError_Closed):
                return 0
            raise OSError("the client went away in the middle of its request") from None
        into[: len(data)] = data
        return len(data)


class Answer:
    """What the script answers. Headers leave with the first byte of the body."""

    def __init__(self, outparam):
        self.outparam = outparam
        self.status = None
        self.headers = []
        self.body = None
        self.stream = None
        self.finished = False

    def start(self, status, headers, exc_info=None):
        if exc_info:
            try:
                if self.stream is not None:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self.status is not None:
            raise AssertionError("start_response was called twice")
        self.status = int(status.split(" ", 1)[0])
        self.headers = headers
        return self.write

    def send_head(self):
        if self.status is None:
            raise AssertionError("the application answered without start_response")
        fields = [
            (name.lower(), value.encode("latin-1"))
            for name, value in self.headers
            if name.lower() not in HOP_BY_HOP
        ]
        response = wasi.OutgoingResponse(wasi.Fields.from_list(fields))
        response.set_status_code(self.status)
        self.body = response.body()
        self.stream = self.body.write()
        self.hand_over(response)

    def hand_over(self, response):
        wasi.ResponseOutparam.set(self.outparam, Ok(response))

    def write(self, data):
        if not data:
            return
        if self.stream is None:
            self.send_head()
        view = memoryview(data)
        while view:
            room = self.stream.check_write()
            if room == 0:
                with self.stream.subscribe() as ready:
                    ready.block()
                continue
            take = min(room, len(view))
            self.stream.write(bytes(view[:take]))
            view = view[take:]

    def finish(self):
        if self.stream is None:
            self.send_head()
        self.flush()
        self.stream.__exit__(None, None, None)
        wasi.OutgoingBody.finish(self.body, None)
        self.finished = True

    def flush(self):
        try:
            self.stream.blocking_flush()
        except Err:
            pass

    def fail(self):
        """Tells the client that there is no answer, or, too late for that, no more of it."""
        if self.finished:
            return
        if self.stream is None:
            self.status, self.headers = 500, [("content-type", "text/plain; charset=utf-8")]
            self.write(b"Internal Server Error\n")
            self.finish()
        else:
            self.stream.__exit__(None, None, None)
            self.body.__exit__(None, None, None)


def wsgi_environment(request, stream):
    path, _, query = (request.path_with_query() or "/").partition("?")
    authority = request.authority() or "localhost"
    https = isinstance(request.scheme(), wasi.Scheme_Https)
    host, colon, port = authority.rpartition(":")
    if not colon or port.endswith("]"):
        host, port = authority, "443" if https else "80"
    method = request.method()
    environ = {
        "REQUEST_METHOD": METHODS.get(type(method)) or method.value,
        "SCRIPT_NAME": "",
        "PATH_INFO": urllib.parse.unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "SERVER_NAME": host,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https" if https else "http",
        "wsgi.input": io.BufferedReader(Input(stream), CHUNK),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": True,
    }
    with request.headers() as headers:
        for name, value in headers.entries():
            key = name.upper().replace("-", "_")
            if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
                key = "HTTP_" + key
            value = value.decode("latin-1")
            if key in environ:
                value = environ[key] + ("; " if key == "HTTP_COOKIE" else ",") + value
            environ[key] = value
    environ.setdefault("HTTP_HOST", authority)
    return environ


def application(module, script):
    for name in ("app", "application"):
        found = getattr(module, name, None)
        if callable(found):
            return found
    raise LookupError(f"{script} has no WSGI or ASGI application: name it `app` or `application`")


def respond(app, request, answer):
    with request.consume() as body, body.stream() as stream:
        environ = wsgi_environment(request, stream)
        if asgi.is_one(app):
            with request.headers() as headers:
                fields = headers.entries()
            path = (request.path_with_query() or "/").partition("?")[0]
            asgi.run(app, environ, fields, path, answer)
            return
        result = app(environ, answer.start)
        try:
            for part in result:
                answer.write(part)
            answer.finish()
        finally:
            if hasattr(result, "close"):
                result.close()


class Nobody(contextlib.nullcontext):
    """A request that nobody sent, with a body that has ended, and headers as browsers send them."""

    def consume(self):
        return self

    def stream(self):
        return contextlib.nullcontext(self)

    def headers(self):
        return self

    def method(self):
        return wasi.Method_Get()

    def path_with_query(self):
        return "/"

    def authority(self):
        return "localhost"

    def scheme(self):
        return wasi.Scheme_Http()

    def entries(self):
        return [("accept", b"*/*"), ("cookie", b"a=b")]

    def __enter__(self):
        return self


class Practice(Answer):
    """An answer that nobody gets."""

    def hand_over(self, response):
        self.response = response

    def flush(self):
        pass

    def finish(self):
        super().finish()
        self.response.__exit__(None, None, None)


def practise():
    """What runs for the first time writes to its own code, and each cell would have pages of its own for that."""

    def app(environ, start_response):
        start_response("200 OK", [("content-type", "text/plain")])
        return [b"."]

    for _ in range(PRACTICE):
        set_environment([])
        respond(app, Nobody(), Practice(None))


class IncomingHandler(exports.IncomingHandler):
    def handle(self, request, response_out):
        answer = Answer(response_out)
        try:
            script = wake()
            respond(application(loaded or load(script, module_name(script)), script), request, answer)
        except BaseException as error:
            report(error)
            answer.fail()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()


class Watched(type(os.environ)):
    """The environment while a script is loaded for a snapshot: what it reads there would be that of every cell."""

    seen = False
    granted = frozenset()

    def __getitem__(self, key):
        # That one is missing is so in every cell.
        Watched.seen |= key in Watched.granted
        return super().__getitem__(key)

    def __iter__(self):
        Watched.seen |= bool(Watched.granted)
        return super().__iter__()


def keeps_open():
    """Whether the script keeps a file, a database or a socket: in another cell, that would be another one, or none."""

    def is_open(found):
        if isinstance(found, io.FileIO):
            return not found.closed
        return isinstance(found, (sqlite3.Connection, socket.socket))

    return any(map(is_open, gc.get_objects()))


class Direct(io.RawIOBase):
    """A standard stream without the C library, which would keep the handle of the cell that the snapshot is taken of. A script that keeps
    this one, as `logging` does, writes to its own cell's."""

    def __init__(self, get):
        self.get = get

    def writable(self):
        return True

    def write(self, data):
        part = bytes(data[:4096])
        with self.get() as stream:
            stream.blocking_write_and_flush(part)
        return len(part)


def direct(get):
    return io.TextIOWrapper(io.BufferedWriter(Direct(get)), encoding="utf-8", errors="backslashreplace", line_buffering=True)


class WitWorld(wit_world.WitWorld):
    def prepare(self):
        """Loads a script for the snapshot of it; without one there is nothing to do: the build has taken that of the interpreter."""
        global loaded
        arguments = environment.get_arguments()
        if not arguments:
            return True
        plain, chance = type(os.environ), random.getstate()
        os.environ.clear()
        # Their names are told, their values are not.
        Watched.granted = frozenset(name for name, _ in environment.get_environment())
        sys.argv[:] = arguments
        set_path(arguments[0])
        # The C library would keep handles of this cell: files are read without it.
        finder, finders = mounted.Finder(sys.path), sys.meta_path[:]
        sys.meta_path[:] = [finder if known is importlib.machinery.PathFinder else known for known in finders]
        os.environ.__class__ = Watched
        streams_then = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = direct(stdout.get_stdout), direct(stderr.get_stderr)
        try:
            loaded = load(arguments[0], module_name(arguments[0]), finder.read)
        except BaseException as error:
            report(error)
            return False
        finally:
            sys.stdout.flush()
            sys.stdout, sys.stderr = streams_then
            os.environ.__class__ = plain
            sys.meta_path[:] = finders
            finder.close()
        sys.path_importer_cache.clear()
        pure = not Watched.seen and random.getstate() == chance and threading.active_count() == 1 and not keeps_open()
        # What is let go of later would be holes again.
        del chance, finder, finders
        practise()
        wit_world.forget()
        wit_world.stand_in(sys.path[0].encode() + b"\0")
        settled.settle()
        return pure


class Run(exports.Run):
    def run(self):
        code = 0
        sys.stdout.reconfigure(line_buffering=sys.stdout.isatty())
        try:
            load(wake(), "__main__")
        except SystemExit as error:
            code = error.code
            if code is None:
                code = 0
            elif not isinstance(code, int):
                print(code, file=sys.stderr)
                code = 1
        except BaseException as error:
            report(error)
            code = 1
        atexit_run()
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:
                code = code or 1
        if code:
            exit.exit_with_code(code & 0xFF)


import atexit

atexit_run = atexit._run_exitfuncs

# The interpreter comes unbuffered.
sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, "r", closefd=False)), encoding="utf-8")
sys.stdout = io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, "w", closefd=False)), encoding="utf-8")
sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), encoding="utf-8", errors="backslashreplace", write_through=True)

# The build's own paths, variables and finders end here.
outbound.install()
events.install()
sys.dont_write_bytecode = True
sys.meta_path.append(stdlib.Finder)
stdlib.adopt(list(sys.modules.values()))
components.install()
for _path in list(sys.path_importer_cache):
    del sys.path_importer_cache[_path]
gc.collect()
gc.freeze()
