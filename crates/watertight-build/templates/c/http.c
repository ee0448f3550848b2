// Answers GET /NAME with a greeting. Each request has a memory of its own: nothing is left of the one before.
#include "greeting.h"
#include "web.h" // made from wit/world.wit by the build

#include <string.h>

void exports_wasi_http_incoming_handler_handle(exports_wasi_http_incoming_handler_own_incoming_request_t request,
                                               exports_wasi_http_incoming_handler_own_response_outparam_t out) {
  char text[1024];
  web_string_t path = {0};
  bool has_path = wasi_http_types_method_incoming_request_path_with_query(
      wasi_http_types_borrow_incoming_request(request), &path);
  const char *name = has_path && path.len > 0 ? (const char *)path.ptr + 1 : "";
  size_t name_len = has_path && path.len > 0 ? path.len - 1 : 0;
  const char *query = memchr(name, '?', name_len);
  size_t length = greet(name, query ? (size_t)(query - name) : name_len, text, sizeof text - 1);
  text[length++] = '\n';

  wasi_http_types_own_outgoing_response_t response =
      wasi_http_types_constructor_outgoing_response(wasi_http_types_constructor_fields());
  wasi_http_types_own_outgoing_body_t body;
  wasi_http_types_method_outgoing_response_body(wasi_http_types_borrow_outgoing_response(response), &body);
  wasi_http_types_result_own_outgoing_response_error_code_t ok = {.is_err = false, .val = {.ok = response}};
  wasi_http_types_static_response_outparam_set(out, &ok);

  wasi_http_types_own_output_stream_t stream;
  wasi_http_types_method_outgoing_body_write(wasi_http_types_borrow_outgoing_body(body), &stream);
  web_list_u8_t bytes = {(uint8_t *)text, length};
  wasi_io_streams_stream_error_t stream_error;
  wasi_io_streams_method_output_stream_blocking_write_and_flush(wasi_io_streams_borrow_output_stream(stream), &bytes,
                                                                &stream_error);
  wasi_io_streams_output_stream_drop_own(stream);
  wasi_http_types_error_code_t error;
  wasi_http_types_static_outgoing_body_finish(body, NULL, &error);

  if (has_path) {
    web_string_free(&path);
  }
  wasi_http_types_incoming_request_drop_own(request);
}
