require "securerandom"
require "socket"
require "uri"

$count = 0

def denied
  yield
  "allowed"
rescue SystemCallError
  "denied"
end

def write(path, text)
  File.write(path, text)
  "written"
end

PAGES = {
  "/hello" => ->(query) { "hello #{query["name"]}" },
  "/boom" => ->(_) { raise ArgumentError, "kaboom" },
  "/count" => ->(_) { ($count += 1).to_s },
  "/chance" => ->(_) { "#{Process.clock_gettime(Process::CLOCK_REALTIME, :nanosecond)} #{rand} #{SecureRandom.hex}" },
  "/write" => ->(query) { write("/data/note.txt", query["text"]) },
  "/read" => ->(_) { File.read("/data/note.txt") },
  "/variables" => ->(_) { ENV.map { |name, value| "#{name}=#{value}" }.join(" ") },
  "/own" => ->(_) { "read #{File.size(__FILE__)} #{denied { write("/app/new.txt", "") }}" },
  "/passwd" => ->(_) { denied { File.read("/etc/passwd") } },
  "/dial" => ->(_) { denied { TCPSocket.new("127.0.0.1", 9) } }
}

app = lambda do |env|
  if env["PATH_INFO"] == "/echo"
    headers = { "content-type" => env["CONTENT_TYPE"], "x-asked" => env["HTTP_X_ASKED"].to_s }
    return [200, headers, Enumerator.new { |out| while (part = env["rack.input"].read(65_536)) do out << part end }]
  end
  page = PAGES[env["PATH_INFO"]]
  query = URI.decode_www_form(env["QUERY_STRING"]).to_h if page && env["PATH_INFO"] != "/boom"
  headers = { "content-type" => "text/plain; charset=utf-8" }
  page ? [200, headers, [page.call(query)]] : [404, headers, ["nothing here"]]
end

run app
