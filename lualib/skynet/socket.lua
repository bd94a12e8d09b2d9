--- Sockets for services: what a coroutine reads, it waits for.
---
--- Each socket of this service has a record in `sockets`. The reactor's events come as messages, which change the record
--- and wake who waits for it. At most one coroutine waits for a socket.
local skynet = require "skynet"
local driver = require "skynet.socketdriver"

local socket = {}

--- Unread bytes of one socket from which on nothing more is taken from the network.
local UNREAD_MAX = 128 * 1024

---@class skynet.socket.record
---@field id integer
---@field buffer? userdata unread bytes; listeners and datagram sockets have none
---@field connected boolean
---@field connecting? true|string opening; a text: why it failed
---@field wanted? integer|string|true what the waiting coroutine needs: so many bytes, a line's end, all until the end
---@field reader? thread the coroutine that waits
---@field closer? thread one that waits in `close` until the reader has what is left
---@field paused? boolean
---@field limit? integer
---@field callback? function for accepted connections, or for datagrams
---@field datagrams? boolean
---@field listens? boolean
---@field port? integer of a listener, once it is bound
---@field address? string
---@field on_warning? fun(id: integer, kib: integer)

---@type table<integer, skynet.socket.record>
local sockets = {}
---@type table<integer, fun(id: integer)>
local on_close = {}

local running = coroutine.running
local push, pop, readall, readline = driver.push, driver.pop, driver.readall, driver.readline
local wait, wakeup = skynet.wait, skynet.wakeup

local function wake(s)
	local reader = s.reader
	if reader then
		s.reader = nil
		wakeup(reader)
	end
end

local function pause(s, size)
	if s.paused then
		return
	end
	if size then
		skynet.error(string.format("Pause socket (%d) size : %d", s.id, size))
	else
		skynet.error(string.format("Pause socket (%d)", s.id))
	end
	driver.pause(s.id)
	s.paused = true
end

--- Waits until an event wakes this socket's record.
local function suspend(s)
	assert(not s.reader, "another coroutine waits for this socket")
	s.reader = running()
	if s.paused then
		-- The event of the resume wakes nobody: who waits wants bytes.
		skynet.error(string.format("Resume socket (%d)", s.id))
		s.paused = false
		driver.start(s.id)
	end
	wait()
	local closer = s.closer
	if closer then
		s.closer = nil
		-- It may go on after this coroutine: what came before the end is read by then.
		wakeup(closer)
	end
end

local on_event = {}

--- DATA
on_event[1] = function(id, size, data)
	local s = sockets[id]
	if not s then
		skynet.error("socket: drop package from " .. id)
		driver.drop(data, size)
		return
	end
	local unread = push(s.buffer, nil, data, size)
	local wanted = s.wanted
	if wanted then
		local enough
		if wanted == true then
			enough = false
		elseif type(wanted) == "number" then
			enough = unread >= wanted
		else
			enough = readline(s.buffer, nil, wanted)
		end
		if enough then
			s.wanted = nil
			if unread > UNREAD_MAX then
				pause(s, unread)
			end
			return wake(s)
		end
	end
	if s.limit and unread > s.limit then
		skynet.error(string.format("socket buffer overflow: fd=%d size=%d", id, unread))
		driver.close(id)
	elseif not wanted and unread > UNREAD_MAX then
		pause(s, unread)
	end
end

--- CONNECT
on_event[2] = function(id, port, address)
	local s = sockets[id]
	if not s then
		return
	end
	if s.connected or s.datagrams then
		-- A pause has ended, or a datagram socket is there.
		return
	end
	if s.listens then
		if not s.address then
			s.address, s.port = address, port
		end
	else
		s.connected = true
		s.connecting = nil
	end
	wake(s)
end

--- CLOSE
on_event[3] = function(id)
	local s = sockets[id]
	if s then
		s.connected = false
		wake(s)
	else
		driver.close(id)
	end
	local f = on_close[id]
	if f then
		on_close[id] = nil
		f(id)
	end
end

--- ACCEPT
on_event[4] = function(id, new, address)
	local s = sockets[id]
	if s and s.callback then
		s.callback(new, address)
	else
		driver.close(new)
	end
end

--- ERROR
on_event[5] = function(id, _, text)
	local s = sockets[id]
	if not s then
		driver.shutdown(id)
		skynet.error("socket: error on unknown", id, text)
		return
	end
	if s.callback and s.connected and not s.datagrams then
		-- One connection could not be taken; the listener lives on.
		skynet.error("socket: accept error:", text)
		return
	end
	if s.connected then
		skynet.error("socket: error on", id, text)
		if s.datagrams then
			-- One datagram could not be sent, or went to nobody.
			return
		end
	elseif s.connecting then
		s.connecting = text
	end
	s.connected = false
	driver.shutdown(id)
	wake(s)
end

--- UDP
on_event[6] = function(id, size, data, address)
	local s = sockets[id]
	local text = skynet.tostring(data, size)
	driver.drop(data, size)
	if not (s and s.callback) then
		skynet.error("socket: drop udp package from " .. id)
		return
	end
	s.callback(text, address)
end

--- WARNING
on_event[7] = function(id, kib)
	local s = sockets[id]
	if not s then
		return
	end
	if s.on_warning then
		s.on_warning(id, kib)
	else
		skynet.error(string.format("WARNING: %d K bytes need to send out (fd = %d)", kib, id))
	end
end

skynet.register_protocol {
	name = "socket",
	id = skynet.PTYPE_SOCKET,
	unpack = driver.unpack,
	dispatch = function(_, _, event, ...)
		on_event[event](...)
	end,
}

--- Waits until a socket is open.
---@return integer? id
---@return string? err
local function opened(id, callback)
	assert(not on_close[id], "socket has onclose callback")
	local before = sockets[id]
	if before and not before.listens then
		error "socket is not closed"
	end
	local s = {
		id = id,
		buffer = not callback and driver.buffer() or nil,
		connected = false,
		connecting = true,
		callback = callback,
	}
	sockets[id] = s
	suspend(s)
	if s.connected then
		return id
	end
	sockets[id] = nil
	local why = s.connecting
	return nil, type(why) == "string" and why or "socket closed"
end

---Connects, and waits for that.
---@param address string `host`, `host:port` or `unix:/path`
---@param port? integer
---@return integer? id
---@return string? err
function socket.open(address, port)
	local id = driver.connect(address, port)
	if id < 0 then
		return nil, "reach skynet socket number limit"
	end
	return opened(id)
end

---Uses a descriptor of the process.
---@param fd integer
---@return integer? id
---@return string? err
function socket.bind(fd)
	return opened(driver.bind(fd))
end

---@return integer? id of the standard input
function socket.stdin()
	return socket.bind(0)
end

---Begins with a socket that listens or was accepted; or takes one over from another service.
---@param id integer
---@param callback? fun(id: integer, address: string) for each connection that a listener takes
---@return integer? id
---@return string? err
function socket.start(id, callback)
	driver.start(id)
	return opened(id, callback)
end

---Listens, and waits until that is so. Connections are taken from `start` on.
---@param host string
---@param port? integer 0 for any
---@param backlog? integer
---@return integer id
---@return string address
---@return integer port
function socket.listen(host, port, backlog)
	local id = driver.listen(host, port, backlog)
	local s = { id = id, connected = false, listens = true }
	assert(sockets[id] == nil)
	sockets[id] = s
	suspend(s)
	return id, s.address, s.port
end

---Stops taking bytes from the network, until the next read.
---@param id integer
function socket.pause(id)
	local s = sockets[id]
	if s then
		pause(s)
	end
end

local function finish_close(s)
	driver.close(s.id)
	if not s.connected then
		if s.connecting then
			s.connecting = "socket closed"
			wake(s)
		end
		return
	end
	s.paused = false
	if s.reader then
		-- It reads what is left first; the end wakes it, and it wakes us.
		assert(not s.closer, "two coroutines close one socket")
		s.closer = running()
		wait()
	else
		suspend(s)
	end
	s.connected = false
end

---Closes a socket: what was written is still sent, and what came can be read by the coroutine that waits for it.
---@param id integer
function socket.close(id)
	local s = sockets[id]
	if not s then
		return
	end
	finish_close(s)
	-- The same number may be somebody else's by now only if the record says so.
	if sockets[id] == s then
		sockets[id] = nil
	end
end

---Closes a socket at once: what waits to be sent is lost. `close` is still due.
---@param id integer
function socket.shutdown(id)
	local s = sockets[id]
	if s then
		-- The event of the close will wake who reads.
		driver.shutdown(id)
	end
end

---Closes an id that this service never started, such as one that a listener has given it.
---@param id integer
function socket.close_fd(id)
	assert(sockets[id] == nil, "Use socket.close instead")
	driver.close(id)
end

--- Waits until what is wanted is there, or the socket ends.
local function await(s, wanted)
	if s.connected then
		assert(not s.wanted, "another coroutine reads this socket")
		s.wanted = wanted
		suspend(s)
		s.wanted = nil
	end
end

---Reads exactly `size` bytes; without a size whatever has come, at least one.
---@param id integer
---@param size? integer
---@return string|false data
---@return string? rest what had come before the end
function socket.read(id, size)
	local s = sockets[id]
	assert(s, "no such socket")
	local buffer = s.buffer
	if size == nil then
		local data = readall(buffer)
		if data ~= "" then
			return data
		end
		await(s, 1)
		data = readall(buffer)
		if data == "" then
			return false, data
		end
		return data
	end
	local data = pop(buffer, nil, size)
	if data then
		return data
	end
	if s.closer or not s.connected then
		return false, readall(buffer)
	end
	await(s, size)
	data = pop(buffer, nil, size)
	if data then
		return data
	end
	return false, readall(buffer)
end

---Reads until the other side ends.
---@param id integer
---@return string|false
function socket.readall(id)
	local s = sockets[id]
	assert(s, "no such socket")
	if not s.connected then
		local data = readall(s.buffer)
		return data ~= "" and data
	end
	await(s, true)
	return readall(s.buffer)
end

---Reads a line, without its end.
---@param id integer
---@param sep? string one byte or more, `\n` by default
---@return string|false line
---@return string? rest what had come before the end
function socket.readline(id, sep)
	sep = sep or "\n"
	local s = sockets[id]
	assert(s, "no such socket")
	local line = readline(s.buffer, true, sep)
	if line then
		return line
	end
	if not s.connected then
		return false, readall(s.buffer)
	end
	await(s, sep)
	line = readline(s.buffer, true, sep)
	if line then
		return line
	end
	return false, readall(s.buffer)
end

---Waits until there is something to read.
---@param id integer
---@return boolean there false: the other side has ended
function socket.block(id)
	local s = sockets[id]
	if not s or not s.connected then
		return false
	end
	local _, unread = pop(s.buffer, nil, 0)
	if unread == 0 then
		await(s, 0)
	end
	return s.connected
end

socket.write = driver.send
socket.lwrite = driver.lsend
socket.header = driver.header

---@param id integer
---@return boolean
function socket.invalid(id)
	return sockets[id] == nil
end

---@param id integer
---@return boolean?
function socket.disconnected(id)
	local s = sockets[id]
	if s then
		return not (s.connected or s.connecting)
	end
end

---Forgets a socket without closing it: another service may `start` it.
---@param id integer
function socket.abandon(id)
	local s = sockets[id]
	if s then
		s.connected = false
		wake(s)
		on_close[id] = nil
		sockets[id] = nil
	end
end

---Closes the socket when more than so many bytes wait to be read.
---@param id integer
---@param limit integer
function socket.limit(id, limit)
	local s = assert(sockets[id], "no such socket")
	s.limit = limit
end

---@param id integer
---@param callback fun(id: integer, kib: integer) much waits to be sent; 0: no longer
function socket.warning(id, callback)
	local s = assert(sockets[id], "no such socket")
	s.on_warning = callback
end

---@param id integer
---@param callback fun(id: integer)
function socket.onclose(id, callback)
	on_close[id] = callback
end

local function datagrams(id, callback)
	assert(not sockets[id], "socket is not closed")
	sockets[id] = { id = id, connected = true, datagrams = true, callback = callback }
	return id
end

---@param callback fun(data: string, address: string)
---@param host? string
---@param port? integer
---@return integer id
function socket.udp(callback, host, port)
	return datagrams(driver.udp(host, port), callback)
end

---@param address string
---@param port integer
---@param callback fun(data: string, address: string)
---@return integer id
function socket.udp_listen(address, port, callback)
	return datagrams(driver.udp_listen(address, port), callback)
end

---@param address string
---@param port integer
---@param callback fun(data: string, address: string)
---@return integer id
function socket.udp_dial(address, port, callback)
	return datagrams(driver.udp_dial(address, port), callback)
end

---@param id integer
---@param address string
---@param port integer
---@param callback? fun(data: string, address: string)
function socket.udp_connect(id, address, port, callback)
	local s = sockets[id]
	if s then
		assert(s.datagrams, "not a udp socket")
		if callback then
			s.callback = callback
		end
	else
		datagrams(id, callback)
	end
	driver.udp_connect(id, address, port)
end

socket.sendto = driver.udp_send
socket.udp_address = driver.udp_address
socket.netstat = driver.info
socket.resolve = driver.resolve

return socket
