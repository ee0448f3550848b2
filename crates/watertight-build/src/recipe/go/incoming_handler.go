// Package export_wasi_http_incoming_handler answers requests with what is registered in net/http's DefaultServeMux, or with
// Handler. A project that
// has a package of this name uses its own.
package export_wasi_http_incoming_handler

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"runtime/debug"
	"strings"

	wasi "MODULE/bindings/wasi_http_types"
	streams "MODULE/bindings/wasi_io_streams"
	"MODULE/bindings/wit/types"
)

// Handler answers requests; http.DefaultServeMux where it is nil.
var Handler http.Handler

// Bytes that one call to the host reads or writes at most.
const chunk = 64 << 10

var methods = []string{"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}

// What only concerns one connection: the host sets its own.
var hopByHop = []string{"Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

// Handle is what the host calls.
func Handle(incoming *wasi.IncomingRequest, out *wasi.ResponseOutparam) {
	answer := &answer{out: out, header: http.Header{}}
	defer answer.finish()
	request, err := read(incoming)
	if err != nil {
		http.Error(answer, "Bad Request", http.StatusBadRequest)
		return
	}
	defer request.Body.Close()
	handler := Handler
	if handler == nil {
		handler = http.DefaultServeMux
	}
	answer.headless = request.Method == http.MethodHead
	handler.ServeHTTP(answer, request)
}

func read(incoming *wasi.IncomingRequest) (*http.Request, error) {
	defer incoming.Drop()
	method := incoming.Method()
	name := ""
	if tag := int(method.Tag()); tag < len(methods) {
		name = methods[tag]
	} else {
		name = method.Other()
	}
	authority := incoming.Authority().SomeOr("localhost")
	target, err := url.ParseRequestURI(incoming.PathWithQuery().SomeOr("/"))
	if err != nil {
		return nil, err
	}
	fields := incoming.Headers()
	header := headers(fields)
	fields.Drop()
	body := incoming.Consume()
	if body.IsErr() {
		return nil, fmt.Errorf("the request has no body to read")
	}
	reader, err := newReader(body.Ok())
	if err != nil {
		return nil, err
	}
	length := int64(-1)
	if text := header.Get("Content-Length"); text != "" {
		if _, err := fmt.Sscan(text, &length); err != nil {
			return nil, err
		}
	}
	return &http.Request{
		Method: name, URL: target, RequestURI: target.RequestURI(), Host: authority,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: reader, ContentLength: length,
	}, nil
}

func headers(fields *wasi.Fields) http.Header {
	header := http.Header{}
	for _, entry := range fields.Entries() {
		header.Add(entry.F0, string(entry.F1))
	}
	return header
}

func newFields(header http.Header) *wasi.Fields {
	fields := wasi.MakeFields()
	for name, values := range header {
		for _, value := range values {
			// One that is not allowed is left out, as net/http does.
			_ = fields.Append(strings.ToLower(name), []byte(value))
		}
	}
	return fields
}

// An answer, whose head leaves with the first byte of its body.
type answer struct {
	out      *wasi.ResponseOutparam
	header   http.Header
	body     *wasi.OutgoingBody
	stream   *streams.OutputStream
	headless bool
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if a.stream != nil {
		return
	}
	for _, name := range hopByHop {
		a.header.Del(name)
	}
	response := wasi.MakeOutgoingResponse(newFields(a.header))
	if response.SetStatusCode(uint16(status)).IsErr() {
		panic(fmt.Sprintf("%d is no status", status))
	}
	a.body = response.Body().Ok()
	a.stream = a.body.Write().Ok()
	wasi.ResponseOutparamSet(a.out, types.Ok[*wasi.OutgoingResponse, wasi.ErrorCode](response))
}

func (a *answer) Write(data []byte) (int, error) {
	if a.stream == nil {
		if a.header.Get("Content-Type") == "" && len(data) > 0 {
			a.header.Set("Content-Type", http.DetectContentType(data))
		}
		a.WriteHeader(http.StatusOK)
	}
	if a.headless {
		return len(data), nil
	}
	return write(a.stream, data)
}

// Flush sends what was written.
func (a *answer) Flush() {
	if a.stream == nil {
		a.WriteHeader(http.StatusOK)
	}
	_ = a.stream.BlockingFlush()
}

func (a *answer) finish() {
	if failed := recover(); failed != nil {
		fmt.Fprintf(os.Stderr, "panic: %v\n%s", failed, debug.Stack())
		if a.stream != nil {
			// Too late for another answer: the host cuts this one off.
			a.stream.Drop()
			a.body.Drop()
			return
		}
		a.header = http.Header{}
		http.Error(a, "Internal Server Error", http.StatusInternalServerError)
	}
	a.Flush()
	a.stream.Drop()
	_ = wasi.OutgoingBodyFinish(a.body, types.None[*wasi.Fields]())
}

func write(stream *streams.OutputStream, data []byte) (int, error) {
	written := 0
	for written < len(data) {
		room := stream.CheckWrite()
		if room.IsErr() {
			return written, io.ErrClosedPipe
		}
		if room.Ok() == 0 {
			ready := stream.Subscribe()
			ready.Block()
			ready.Drop()
			continue
		}
		take := min(uint64(len(data)-written), room.Ok(), chunk)
		if stream.Write(data[written : written+int(take)]).IsErr() {
			return written, io.ErrClosedPipe
		}
		written += int(take)
	}
	return written, nil
}

// The body of a message that comes in.
type reader struct {
	body   *wasi.IncomingBody
	stream *streams.InputStream
	rest   []byte
	// What the body belongs to.
	owner interface{ Drop() }
}

func newReader(body *wasi.IncomingBody) (*reader, error) {
	stream := body.Stream()
	if stream.IsErr() {
		return nil, fmt.Errorf("the body is read already")
	}
	return &reader{body: body, stream: stream.Ok()}, nil
}

func (r *reader) Read(into []byte) (int, error) {
	if r.stream == nil {
		return 0, http.ErrBodyReadAfterClose
	}
	if len(into) == 0 {
		return 0, nil
	}
	if len(r.rest) == 0 {
		read := r.stream.BlockingRead(min(uint64(len(into)), chunk))
		if read.IsErr() {
			if err := read.Err(); err.Tag() == streams.StreamErrorClosed {
				return 0, io.EOF
			}
			return 0, io.ErrUnexpectedEOF
		}
		r.rest = read.Ok()
	}
	count := copy(into, r.rest)
	r.rest = r.rest[count:]
	return count, nil
}

func (r *reader) Close() error {
	if r.stream != nil {
		r.stream.Drop()
		r.body.Drop()
		if r.owner != nil {
			r.owner.Drop()
		}
		r.stream = nil
	}
	return nil
}
