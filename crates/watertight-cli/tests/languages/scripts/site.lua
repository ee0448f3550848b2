local count = 0

local function decode(text)
  return (text:gsub("+", " "):gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("a")
  file:close()
  return text
end

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
  return "written"
end

local function denied(action)
  return pcall(action) and "allowed" or "denied"
end

local pages = {
  ["/hello"] = function(request, query) return "hello " .. query.name end,
  ["/boom"] = function() error("kaboom") end,
  ["/count"] = function() count = count + 1 return tostring(count) end,
  ["/chance"] = function() return string.format("%.9f:%d %d %.17g", os.clock(), os.time(), math.random(0), math.random()) end,
  ["/write"] = function(request, query) return write("/data/note.txt", query.text) end,
  ["/read"] = function() return read("/data/note.txt") end,
  ["/variables"] = function() return "COLOUR=" .. os.getenv("COLOUR") end,
  ["/own"] = function()
    return "read " .. #read("site.lua") .. " " .. denied(function() write("/app/new.txt", "") end)
  end,
  ["/passwd"] = function() return denied(function() read("/etc/passwd") end) end,
  ["/dial"] = function() return denied(function() require("socket") end) end,
}

return function(request)
  local query = {}
  for name, value in request.query:gmatch("([^&=]+)=([^&]*)") do query[decode(name)] = decode(value) end
  if request.path == "/echo" then
    local headers = {
      ["content-type"] = request.headers["content-type"] or "application/octet-stream",
      ["x-asked"] = request.headers["x-asked"] or "",
    }
    return 200, headers, function() return request.body(65536) end
  end
  local page = pages[request.path]
  local headers = { ["content-type"] = "text/plain; charset=utf-8" }
  if not page then return 404, headers, "nothing here" end
  return 200, headers, page(request, query)
end
