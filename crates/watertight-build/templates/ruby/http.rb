# Answers GET /NAME with a greeting, by Rack. Each request has an interpreter of its own: nothing is left of the one before.

require_relative "_greeting"

run(lambda do |env|
  [200, { "content-type" => "text/plain; charset=utf-8" }, [greet(env["PATH_INFO"].delete("/")), "\n"]]
end)
