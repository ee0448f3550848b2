//! Middleware: `/middle` is answered here with 204; every other request is handed on, with the place for its response.

wit_bindgen::generate!({ path: "../../../wit", world: "http-middle", generate_all });

use exports::wasi::http::incoming_handler::Guest;
use wasi::http::incoming_handler as next;
use wasi::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

struct Middle;

impl Guest for Middle {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        if request.path_with_query().as_deref() != Some("/middle") {
            return next::handle(request, out);
        }
        let response = OutgoingResponse::new(Fields::new());
        let _ = response.set_status_code(204);
        let body = response.body().expect("the body is taken once");
        ResponseOutparam::set(out, Ok(response));
        let _ = OutgoingBody::finish(body, None);
    }
}

export!(Middle);
