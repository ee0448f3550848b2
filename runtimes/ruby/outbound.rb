# Outbound HTTP by `Net::HTTP`, and what is built on it: through the host, which has the TLS and knows what is granted.

require "net/http"
require "open-uri"

# Ruby's has none without sockets. The host does what it is for: certificates are always looked at.
module OpenSSL
  module SSL
    VERIFY_NONE = 0
    VERIFY_PEER = 1

    class SSLError < OpenSSLError
    end
  end
end

module Watertight
  ANSWERED = File.open("/dev/watertight/outbound", "rb")

  # What the glue says, and what people know it as.
  FAILURES = {
    "the host is not granted" => Errno::EACCES, "the connection was refused" => Errno::ECONNREFUSED,
    "the connection was lost" => Errno::ECONNRESET, "the name is not known" => Socket::ResolutionError
  }.freeze

  # What the host says itself, or what only concerns a connection.
  NOT_SENT = %w[connection host keep-alive transfer-encoding upgrade].freeze

  # In place of a connection.
  module Outbound
    def transport_request(request)
      scheme = use_ssl? ? "https" : "http"
      authority = port == (use_ssl? ? 443 : 80) ? address : "#{address}:#{port}"
      body = body_of(request)
      headers = []
      request.each_capitalized { |name, value| headers.push(name.downcase, value) unless NOT_SENT.include?(name.downcase) }
      asked = Watertight.ask("s", request.method, scheme, authority, request.path, headers.size / 2, *headers, "".b << body.b)
      status = asked.to_i
      texts = asked.to_s.split("\0", -1)[0...-1]
      raise FAILURES.fetch(texts.first, SocketError), "#{authority}: #{texts.first}" if status.zero?
      response = Net::HTTPResponse.send(:response_class, status.to_s).new("1.1", status.to_s, "")
      texts.each_slice(2) { |name, value| response.add_field(name, value) }
      response.delete("transfer-encoding")
      response.uri = request.uri
      response.decode_content = request.decode_content
      socket = Net::BufferedIO.new(ANSWERED)
      response.reading_body(socket, request.response_body_permitted?) { yield response if block_given? }
      response
    end

    private

    # The whole body, and what the request says of it.
    def body_of(request)
      if (form = request.instance_variable_get(:@body_data))
        return body_of_form(request, form) if request.content_type == "multipart/form-data"
        request.content_type = "application/x-www-form-urlencoded"
        request.body = URI.encode_www_form(form)
      end
      body = request.body || request.body_stream&.read
      return "" unless body
      request.content_length = body.bytesize
      request.content_type ||= "application/x-www-form-urlencoded"
      body
    end

    def body_of_form(request, form)
      options = { boundary: SecureRandom.urlsafe_base64(40) }.merge(request.instance_variable_get(:@form_option))
      request.set_content_type(request.content_type, boundary: options[:boundary])
      body = StringIO.new("".b)
      request.send(:encode_multipart_form_data, body, form, options)
      request.content_length = body.size
      body.string
    end

    def connect = nil

    def do_finish = @started = false
  end
end

Net::HTTP.prepend(Watertight::Outbound)
