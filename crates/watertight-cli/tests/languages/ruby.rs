//! Ruby.

use std::fs;

use crate::{battery, program::run};

battery!("rb");

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
