---@meta skynet.socketdriver

--- The network, below `skynet.socket`: nothing here waits. What happens comes in messages of type "socket".
---@class skynet.socketdriver
local driver = {}

---@param address string `host`, `host:port`, `[v6]:port` or `unix:/path`
---@param port? integer
---@return integer id -1: there are too many sockets
function driver.connect(address, port) end

---@param address string
---@param port? integer 0 for any
---@param backlog? integer 32 by default
---@return integer id
function driver.listen(address, port, backlog) end

---Uses a descriptor of the process, which is not closed with the socket.
---@param fd integer
---@return integer id
function driver.bind(fd) end

---@param id integer
function driver.close(id) end

---Closes at once: what waits to be sent is lost.
---@param id integer
function driver.shutdown(id) end

---Begins to hear of a socket, takes it over from another service, or ends a pause.
---@param id integer
function driver.start(id) end

---@param id integer
function driver.pause(id) end

---@param id integer
function driver.nodelay(id) end

---@param id integer
---@param data string|string[]|userdata a light one is taken over
---@param size? integer
---@return boolean taken
function driver.send(id, data, size) end

---Sends behind all that is sent by `send`.
---@param id integer
---@param data string|string[]|userdata
---@param size? integer
---@return boolean taken
function driver.lsend(id, data, size) end

---@param address? string
---@param port? integer
---@return integer id
function driver.udp(address, port) end

---@param id integer
---@param address string
---@param port? integer
function driver.udp_connect(id, address, port) end

---@param address string
---@param port? integer
---@return integer id
function driver.udp_dial(address, port) end

---@param address string
---@param port? integer
---@return integer id
function driver.udp_listen(address, port) end

---@param id integer
---@param address string in its binary form, as a callback got it
---@param data string|string[]|userdata
---@param size? integer
---@return boolean sent
function driver.udp_send(id, address, data, size) end

---@param address string in its binary form
---@return string ip
---@return integer port
function driver.udp_address(address) end

---Asks the system's resolver, which may take seconds.
---@param host string
---@return string[] ips
function driver.resolve(host) end

---@return table[] sockets all of the node
function driver.info() end

---Reads a message of type "socket", within its handler and once: the data is the caller's from then on.
---@param message lightuserdata
---@param size integer
---@return integer event 1 data, 2 connect, 3 close, 4 accept, 5 error, 6 udp, 7 warning
---@return integer id
---@return integer ud
---@return string|lightuserdata data
---@return string? address of a datagram's sender
function driver.unpack(message, size) end

---@return userdata buffer for what comes in on one socket
function driver.buffer() end

---Gives a block to a buffer.
---@param buffer userdata
---@param pool any not used: for callers of the original
---@param data lightuserdata
---@param size integer
---@return integer unread
function driver.push(buffer, pool, data, size) end

---@param buffer userdata
---@param pool any
---@param size integer
---@return string? data nil where there are fewer bytes, or for a size of 0
---@return integer unread
function driver.pop(buffer, pool, size) end

---@param buffer userdata
---@param pool any
---@return string data
function driver.readall(buffer, pool) end

---@param buffer userdata
---@param pool any nil: only asks
---@param sep string
---@return string|true|nil line
function driver.readline(buffer, pool, sep) end

---@param buffer? userdata
---@param pool? any
function driver.clear(buffer, pool) end

---Frees a block.
---@param data lightuserdata
---@param size integer
function driver.drop(data, size) end

---@param data string one to four bytes, the highest first
---@return integer
function driver.header(data) end

---@param data string
---@return lightuserdata block of its own
---@return integer size
function driver.str2p(data) end

return driver
