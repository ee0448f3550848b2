"""Answers GET /NAME with a greeting. Each request has an interpreter of its own: nothing is left of the one before."""

from urllib.parse import unquote, urlsplit

from componentize_py_types import Ok
from greeting import greet
from wit_world import exports
from wit_world.imports.types import Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam


class IncomingHandler(exports.IncomingHandler):
    def handle(self, request: IncomingRequest, response_out: ResponseOutparam) -> None:
        path = urlsplit(request.path_with_query() or "/").path
        answer = greet(unquote(path.lstrip("/"))) + "\n"

        response = OutgoingResponse(Fields.from_list([("content-type", b"text/plain; charset=utf-8")]))
        body = response.body()
        ResponseOutparam.set(response_out, Ok(response))
        with body.write() as stream:
            stream.blocking_write_and_flush(answer.encode())
        OutgoingBody.finish(body, None)
