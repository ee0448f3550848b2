local verb = arg[1]
if verb == "echo" then
  print(table.concat(arg, " ", 2))
elseif verb == "cat" then
  io.write(io.read("a"))
elseif verb == "exit" then
  os.exit(tonumber(arg[2]))
elseif verb == "fail" then
  error("kaboom")
elseif verb == "reach" then
  local file = io.open("/etc/passwd") and "allowed" or "denied"
  local host = pcall(require, "socket") and "allowed" or "denied"
  print(file .. " " .. host .. " " .. (os.getenv("HOME") and "allowed" or "denied"))
end
