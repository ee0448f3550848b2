package export_wasi_http_incoming_handler

import (
	"fmt"
	"io"
	"net/http"

	"MODULE/bindings/wasi_http_outgoing_handler"
	wasi "MODULE/bindings/wasi_http_types"
	streams "MODULE/bindings/wasi_io_streams"
	"MODULE/bindings/wit/types"
)

func init() { http.DefaultTransport = transport{} }

// What net/http's default client sends requests with: the host, which has the sockets and the TLS.
type transport struct{}

func (transport) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Body != nil {
		defer request.Body.Close()
	}
	header := request.Header.Clone()
	if header == nil {
		header = http.Header{}
	}
	for _, name := range append(hopByHop, "Host") {
		header.Del(name)
	}
	if request.ContentLength > 0 {
		header.Set("Content-Length", fmt.Sprint(request.ContentLength))
	}
	outgoing := wasi.MakeOutgoingRequest(newFields(header))
	scheme := wasi.MakeSchemeHttps()
	if request.URL.Scheme == "http" {
		scheme = wasi.MakeSchemeHttp()
	}
	host := request.Host
	if host == "" {
		host = request.URL.Host
	}
	path := request.URL.RequestURI()
	if outgoing.SetMethod(method(request.Method)).IsErr() ||
		outgoing.SetScheme(types.Some(scheme)).IsErr() ||
		outgoing.SetAuthority(types.Some(host)).IsErr() ||
		outgoing.SetPathWithQuery(types.Some(path)).IsErr() {
		outgoing.Drop()
		return nil, fmt.Errorf("%s %s is no request", request.Method, request.URL)
	}
	body := outgoing.Body().Ok()
	sent := wasi_http_outgoing_handler.Handle(outgoing, types.None[*wasi.RequestOptions]())
	if sent.IsErr() {
		body.Drop()
		return nil, failure(sent.Err())
	}
	if err := send(body, request.Body); err != nil {
		sent.Ok().Drop()
		return nil, err
	}
	return receive(request, sent.Ok())
}

func send(body *wasi.OutgoingBody, from io.Reader) error {
	stream := body.Write().Ok()
	if from != nil {
		_, err := io.CopyBuffer(sink{stream}, from, make([]byte, chunk))
		if err != nil && err != io.ErrClosedPipe {
			stream.Drop()
			body.Drop()
			return err
		}
	}
	stream.Drop()
	// Where the other side did not want all of it, its answer tells.
	_ = wasi.OutgoingBodyFinish(body, types.None[*wasi.Fields]())
	return nil
}

type sink struct{ stream *streams.OutputStream }

func (s sink) Write(data []byte) (int, error) { return write(s.stream, data) }

func receive(request *http.Request, future *wasi.FutureIncomingResponse) (*http.Response, error) {
	defer future.Drop()
	ready := future.Subscribe()
	ready.Block()
	ready.Drop()
	result := future.Get().Some().Ok()
	if result.IsErr() {
		return nil, failure(result.Err())
	}
	incoming := result.Ok()
	fields := incoming.Headers()
	header := headers(fields)
	fields.Drop()
	body, err := newReader(incoming.Consume().Ok())
	if err != nil {
		return nil, err
	}
	body.owner = incoming
	length := int64(-1)
	if text := header.Get("Content-Length"); text != "" {
		_, _ = fmt.Sscan(text, &length)
	}
	status := int(incoming.Status())
	return &http.Response{
		Status: fmt.Sprintf("%d %s", status, http.StatusText(status)), StatusCode: status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: body, ContentLength: length, Request: request,
	}, nil
}

func method(name string) wasi.Method {
	known := []func() wasi.Method{
		wasi.MakeMethodGet, wasi.MakeMethodHead, wasi.MakeMethodPost, wasi.MakeMethodPut, wasi.MakeMethodDelete,
		wasi.MakeMethodConnect, wasi.MakeMethodOptions, wasi.MakeMethodTrace, wasi.MakeMethodPatch,
	}
	if name == "" {
		name = http.MethodGet
	}
	for index, make := range known {
		if methods[index] == name {
			return make()
		}
	}
	return wasi.MakeMethodOther(name)
}

func failure(code wasi.ErrorCode) error {
	switch code.Tag() {
	case wasi.ErrorCodeHttpRequestDenied:
		return fmt.Errorf("the host does not allow this request: it needs the grant `http`")
	case wasi.ErrorCodeInternalError:
		return fmt.Errorf("the request failed: %s", code.InternalError().SomeOr("no reason is given"))
	default:
		return fmt.Errorf("the request failed: error %d of wasi:http", code.Tag())
	}
}
