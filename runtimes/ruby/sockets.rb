# There are no sockets. What stands for them here refuses, so that what only mentions them can be loaded.

class SocketError < StandardError
end

class BasicSocket < IO
  def self.new(*) = raise(Errno::EACCES, "there are no sockets: use Net::HTTP")

  class << self
    alias open new
    alias for_fd new
  end
end

class Socket < BasicSocket
  AF_UNSPEC = 0
  AF_INET = 2
  AF_INET6 = 10
  PF_INET = 2
  PF_INET6 = 10
  SOCK_STREAM = 1
  SOCK_DGRAM = 2
  SOL_SOCKET = 1
  SO_KEEPALIVE = 9
  SO_REUSEADDR = 2
  IPPROTO_TCP = 6
  TCP_NODELAY = 1

  class ResolutionError < SocketError
  end

  class << self
    alias tcp new
    alias udp new
    alias unix new
    alias tcp_server_sockets new
    alias getaddrinfo new

    def gethostname = "localhost"
  end
end

class IPSocket < BasicSocket
  def self.getaddress(*) = new
end

class TCPSocket < IPSocket
  def self.gethostbyname(*) = new
end

class TCPServer < TCPSocket
end

class UDPSocket < IPSocket
end

class UNIXSocket < BasicSocket
end

class UNIXServer < UNIXSocket
end

class Addrinfo
  def self.tcp(*) = BasicSocket.new

  class << self
    alias udp tcp
    alias ip tcp
    alias getaddrinfo tcp
  end
end

# What an IO waits for is in Ruby itself.
$LOADED_FEATURES.push("socket.rb", "socket.so", "io/wait.rb", "io/wait.so")
