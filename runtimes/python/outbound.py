"""Outbound HTTP by `urllib.request`: through the host, which has the TLS and knows what is granted, not through sockets."""

import email.message
import io
import urllib.error
import urllib.parse
import urllib.request

from componentize_py_types import Err, Ok
from wit_world.imports import outgoing_handler, streams, wasi_http_types as wasi

METHODS = {
    "GET": wasi.Method_Get, "HEAD": wasi.Method_Head, "POST": wasi.Method_Post, "PUT": wasi.Method_Put,
    "DELETE": wasi.Method_Delete, "OPTIONS": wasi.Method_Options, "PATCH": wasi.Method_Patch,
}

# What the host says itself, or what only concerns a connection.
NOT_SENT = {"connection", "host", "keep-alive", "transfer-encoding", "upgrade"}


class Body(io.RawIOBase):
    def __init__(self, response):
        self.response = response
        self.body = response.consume()
        self.stream = self.body.stream()

    def readable(self):
        return True

    def readinto(self, into):
        try:
            data = self.stream.blocking_read(min(len(into), 64 * 1024))
        except Err as error:
            if isinstance(error.value, streams.StreamError_Closed):
                return 0
            raise OSError("the answer is cut off") from None
        into[: len(data)] = data
        return len(data)

    def close(self):
        if not self.closed:
            for part in (self.stream, self.body, self.response):
                part.__exit__(None, None, None)
        super().close()


def send(request):
    url = urllib.parse.urlsplit(request.full_url)
    headers = [(name.lower(), value.encode("latin-1")) for name, value in request.header_items()]
    out = wasi.OutgoingRequest(wasi.Fields.from_list([pair for pair in headers if pair[0] not in NOT_SENT]))
    method = request.get_method()
    out.set_method(METHODS[method]() if method in METHODS else wasi.Method_Other(method))
    out.set_scheme(wasi.Scheme_Https() if url.scheme == "https" else wasi.Scheme_Http())
    out.set_authority(url.netloc)
    out.set_path_with_query(urllib.parse.urlunsplit(("", "", url.path or "/", url.query, "")))
    body = out.body()
    try:
        future = outgoing_handler.handle(out, None)
        data = request.data or b""
        with body.write() as stream:
            for part in [data] if isinstance(data, (bytes, bytearray)) else data:
                for start in range(0, len(part), 4096):
                    stream.blocking_write_and_flush(bytes(part[start : start + 4096]))
        wasi.OutgoingBody.finish(body, None)
        with future:
            with future.subscribe() as ready:
                ready.block()
            result = future.get().value
        if isinstance(result, Err):
            raise result
    except Err as error:
        raise urllib.error.URLError(type(error.value).__name__.removeprefix("ErrorCode_")) from None
    response = result.value
    answer_headers = email.message.Message()
    with response.headers() as fields:
        for name, value in fields.entries():
            answer_headers[name] = value.decode("latin-1")
    status = response.status()
    answer = urllib.response.addinfourl(io.BufferedReader(Body(response)), answer_headers, request.full_url, status)
    answer.msg = ""
    return answer


class Handler(urllib.request.HTTPHandler, urllib.request.HTTPSHandler if hasattr(urllib.request, "HTTPSHandler") else object):
    def http_open(self, request):
        return send(request)

    def https_open(self, request):
        return send(request)


def install():
    urllib.request.install_opener(urllib.request.build_opener(Handler))
