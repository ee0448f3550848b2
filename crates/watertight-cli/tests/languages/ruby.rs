//! Ruby.

use std::{fs, io::Write as _, net::TcpStream};

use http::Request;
use tempfile::TempDir;

use crate::{
    battery,
    client::Client,
    php::host,
    program::{Server, run},
};

battery!("rb");

/// An app of one script.
fn app(name: &str, script: &str, grants: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let manifest = format!(
        "[app]\nname = \"app\"\n[component.web]\nsource = \"{name}\"\n\
         budget = {{ memory = \"256MiB\", cpu = \"30s\", deadline = \"60s\" }}\n\
         [component.web.grants]\nstdio = true\n{grants}\n[[trigger.http]]\nroute = \"/...\"\ncomponent = \"web\"\n"
    );
    for (name, text) in [(name, script), ("watertight.toml", &manifest)] {
        fs::write(folder.path().join(name), text).expect("the temporary folder is writable");
    }
    folder
}

#[test]
fn the_library_of_ruby_is_there() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    // A gem as `gem install --install-dir vendor` leaves it.
    let gem = folder.path().join("vendor/gems/greeter-1.0.0/lib");
    fs::create_dir_all(&gem).expect("the temporary folder is writable");
    fs::write(gem.join("greeter.rb"), "module Greeter\n  def self.greet(name) = \"hi #{name}\"\nend\n").expect("ours");
    let script = folder.path().join("app.rb");
    fs::write(
        &script,
        r#"
require "bundler/setup"
require "csv"
require "erb"
require "json"
require "net/http"
require "yaml"
require "zlib"
require "greeter"
puts ERB.new("<% 3.times do |n| %><%= n %>,<% end %><%= ERB::Util.h('<ü>') %>").result(binding)
puts JSON.generate({ "ä" => [1, nil] }), JSON.parse('{"a": 1.5}').inspect, CSV.parse("a,b\n1,2\n").inspect
puts Zlib::Inflate.inflate(Zlib::Deflate.deflate("x" * 9)), YAML.load("a: [1]").inspect, Greeter.greet("you")
each = Enumerator.new { |out| out << 1 << 2 }
puts [each.next, each.next].inspect, DATA.read, $0 == __FILE__
def deep(n) = deep(n + 1)
begin
  deep(0)
rescue SystemStackError
  puts "too deep"
end
begin
  Thread.new { nil }
rescue NotImplementedError
  puts "no threads"
end
begin
  Net::HTTP.get(URI("http://127.0.0.1:9/"))
rescue SystemCallError, SocketError => error
  puts error.class
end
at_exit { puts "bye" }
__END__
the data
"#,
    )
    .expect("the temporary folder is writable");
    let done = run(&["run", script.to_str().expect("test paths are text")]);
    let expected = "0,1,2,&lt;ü&gt;\n{\"ä\":[1,null]}\n{\"a\" => 1.5}\n[[\"a\", \"b\"], [\"1\", \"2\"]]\nxxxxxxxxx\n{\"a\" => [1]}\n\
                    hi you\n[1, 2]\nthe data\ntrue\ntoo deep\nno threads\nErrno::EACCES\nbye\n";
    assert_eq!(done.text(), expected, "{}", done.stderr);
    assert!(done.stderr.contains("send a request to \"http://127.0.0.1:9\""), "{}", done.stderr);
    assert_eq!(done.stderr.lines().count(), 1, "{}", done.stderr);
}

#[test]
fn a_config_ru_is_put_together_as_elsewhere() {
    let script = r##"
class Upcase
  def initialize(app, mark:) = (@app, @mark = app, mark)

  def call(env)
    status, headers, body = @app.call(env)
    [status, headers.merge("x-mark" => @mark), body.map(&:upcase)]
  end
end

use Upcase, mark: "seen"

map "/shop" do
  run ->(env) { [200, { "set-cookie" => %w[a=1 b=2] }, ["#{env["SCRIPT_NAME"]} #{env["PATH_INFO"]} #{env["QUERY_STRING"]}"]] }
end

map("/form") { run ->(env) { [201, {}, [URI.decode_www_form(env["rack.input"].read).to_h.inspect, env["CONTENT_LENGTH"]]] } }

run ->(env) { env["PATH_INFO"] == "/bad" ? [200, { "x y" => "z" }, []] : [404, {}, ["nothing"]] }
"##;
    let folder = app("config.ru", script, "");
    let mut server = Server::start(folder.path());
    let mut client = Client::new(server.address);
    let shop = client.send(Request::get("/shop/7?a=b"), "");
    assert_eq!((shop.status().as_u16(), shop.body().as_ref()), (200, &b"/SHOP /7 A=B"[..]));
    assert_eq!(shop.headers().get_all("set-cookie").iter().count(), 2, "{shop:?}");
    assert_eq!(shop.headers()["x-mark"], "seen");
    let form = client.send(Request::post("/form"), "a=%C3%BC&b=2");
    assert_eq!(String::from_utf8_lossy(form.body()), "{\"A\" => \"Ü\", \"B\" => \"2\"}12");
    assert_eq!(client.get("/shopping"), (404, "NOTHING".to_owned()));
    assert_eq!(client.get("/bad").0, 500);
    server.log("the answer has a header or a status that is none");
}

#[test]
fn addresses_are_asked_by_net_http_where_the_host_is_granted() {
    let (address, answering) = host();
    let script = r##"
require "net/http"
require "open-uri"

AT = "http://#{ENV["AT"]}"

def said
  yield
rescue SystemCallError, SocketError, OpenURI::HTTPError => error
  "#{error.class} #{error.message}"
end

def upload
  request = Net::HTTP::Post.new("/upload")
  request.set_form([["file", StringIO.new("kept"), { filename: "a.txt" }]], "multipart/form-data")
  Net::HTTP.start(URI(AT).host, URI(AT).port) { _1.request(request).body[/\|kept\|/] }
end

run(lambda do |_|
  lines = [
    Net::HTTP.get(URI("#{AT}/one?a=b")).lines("|").first,
    Net::HTTP.post(URI("#{AT}/two"), "grün", "x-a" => "1").then { "#{_1["x-answered"]} #{_1.body[/gr.*?\|/].force_encoding("UTF-8")}" },
    Net::HTTP.post_form(URI("#{AT}/form"), "k" => "v w").body[/k=.*?\|/],
    said { upload },
    Net::HTTP.get_response(URI("#{AT}/gone")).code,
    URI.open("#{AT}/moved").read.lines("|").first,
    said { URI.open("#{AT}/gone") },
    Net::HTTP.start(URI(AT).host, URI(AT).port) { |http| 3.times.map { http.get("/#{_1}").body.size > 5 }.inspect },
    said { Net::HTTP.get(URI("http://127.0.0.1:9/")) },
    said { Net::HTTP.get(URI("https://example.com/")) },
    said { URI.open("https://example.com/") }
  ]
  [200, {}, [lines.join("\n")]]
end)
"##;
    let folder = app("app.rb", script, &format!("http = [\"http://{address}\"]\nenv = {{ AT = \"{address}\" }}"));
    let server = Server::start(folder.path());
    let (status, text) = Client::new(server.address).get("/");
    let expected = "GET /one?a=b HTTP/1.1|\nyes grün|\nk=v+w|\n|kept|\n404\nGET /there?x=1 HTTP/1.1|\nOpenURI::HTTPError 404 \n\
                    [true, true, true]\nErrno::EACCES Permission denied - 127.0.0.1:9: the host is not granted\n\
                    Errno::EACCES Permission denied - example.com: the host is not granted\n\
                    Errno::EACCES Permission denied - example.com: the host is not granted";
    assert_eq!((status, text.as_str()), (200, expected));
    let _ = TcpStream::connect(address).and_then(|mut stream| stream.write_all(b"GET /stop HTTP/1.1\r\n\r\n"));
    answering.join().expect("it does not panic");
}

#[test]
fn every_source_of_chance_is_the_cells_own() {
    let script = r#"
require "openssl"
require "securerandom"

run(lambda do |_|
  drawn = [rand(1 << 62), Random.rand(1 << 62), Random.new.rand(1 << 62), Random.new_seed, Random.urandom(8).unpack1("H*"), SecureRandom.hex,
           SecureRandom.uuid, OpenSSL::Random.random_bytes(8).unpack1("H*"), (0...30).to_a.shuffle.join("."),
           [*0..999].sample(9).join(".")]
  [200, {}, [drawn.join(" ")]]
end)
"#;
    let folder = app("app.rb", script, "");
    let server = Server::start(folder.path());
    let mut client = Client::new(server.address);
    let (one, other) = (client.get("/"), client.get("/"));
    assert_eq!((one.0, other.0), (200, 200), "{one:?}");
    assert_eq!(one.1.split(' ').count(), 10, "{one:?}");
    for (one, other) in one.1.split(' ').zip(other.1.split(' ')) {
        assert_ne!(one, other);
    }
}

#[test]
fn files_of_ruby_become_routes() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    fs::create_dir(folder.path().join("api")).expect("the temporary folder is writable");
    let show = "require_relative \"_lib\"\nrun ->(env) { [200, {}, [show(__FILE__, env)]] }\n";
    let own = "run ->(env) { [200, {}, [\"#{File.basename(__FILE__)} #{env[\"PATH_INFO\"]}\"]] }\n";
    for (name, text) in [
        ("index.rb", show),
        ("about.rb", show),
        ("api/[id].rb", own),
        ("_lib.rb", "def show(file, env) = \"#{File.basename(file)} #{env[\"PATH_INFO\"]}\"\n"),
        ("style.css", "body {}"),
    ] {
        fs::write(folder.path().join(name), text).expect("the temporary folder is writable");
    }
    let server = Server::start(folder.path());
    let mut client = Client::new(server.address);
    for (path, status, text) in [
        ("/", 200, "index.rb /"),
        ("/about", 200, "about.rb /about"),
        ("/api/7", 200, "[id].rb /api/7"),
        ("/style.css", 200, "body {}"),
        ("/_lib", 404, "not found\n"),
        ("/about.rb", 404, "not found\n"),
    ] {
        assert_eq!(client.get(path), (status, text.to_owned()), "{path}");
    }
}
