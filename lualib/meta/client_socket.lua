---@meta client.socket

--- A plain TCP socket for test clients in Lua, outside of a node: it blocks the thread. A socket is a descriptor.
---@class client.socket
local socket = {}

---Connects. Raises `Connect <address> <port> failed`.
---@param address string
---@param port integer
---@return integer fd
function socket.connect(address, port) end

---What has come in; does not wait. Raises `socket error: <reason>`.
---@param fd integer
---@return string? data "" when the peer has closed, nothing when nothing is there
function socket.recv(fd) end

---Sends, and returns when the system has taken all of it. Raises `socket error: <reason>`.
---@param fd integer
---@param data string
function socket.send(fd, data) end

---@param fd integer
function socket.close(fd) end

---Ends one direction or both; one that has ended already stays so.
---@param fd integer
---@param how "r"|"w"|"rw"
function socket.shutdown(fd, how) end

---Blocks the thread.
---@param microseconds integer
function socket.usleep(microseconds) end

---The next line of the standard input, without its end; does not wait.
---@return string? line nothing when none is there
function socket.readstdin() end

return socket
