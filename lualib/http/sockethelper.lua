--- Sockets as functions that read and write, and raise when the connection is lost.
local skynet = require "skynet"
local socket = require "skynet.socket"
local deadline = require "http.deadline"

local read = socket.read

local M = {}

--- What is raised when a connection is lost. Each failure is an error of its own with its own words, and all are equal:
--- `err == sockethelper.socket_error` says that it is one.
local error_meta = {}
error_meta.__name = "socket_error"

function error_meta.__tostring(self)
	return self.info and "[Socket Error] : " .. self.info or "[Socket Error]"
end

function error_meta.__eq(a, b)
	return getmetatable(a) == error_meta and getmetatable(b) == error_meta
end

function error_meta.__call(_, info)
	return setmetatable({ info = info ~= nil and tostring(info) or nil }, error_meta)
end

---@class http.socket_error
---@overload fun(info?: any): http.socket_error
M.socket_error = setmetatable({}, error_meta)
local socket_error = M.socket_error

---A function that reads a number of bytes, or what is there.
---@param fd integer
---@param pre? string is read before what the socket has
---@param timeout? integer | http.deadline centiseconds from now on, after which reads fail and the socket is shut down
---@return fun(sz?: integer): string
function M.readfunc(fd, pre, timeout)
	local limit = type(timeout) == "number" and deadline.new(fd, timeout) or timeout

	local function receive(sz)
		local data
		if limit then
			data = limit:read(read, sz)
		else
			data = read(fd, sz)
		end
		if not data then
			error(limit and limit.expired and socket_error "read timeout" or socket_error)
		end
		return data
	end

	if not pre or pre == "" then
		return receive
	end
	return function(sz)
		local before = pre
		if not before then
			return receive(sz)
		elseif not sz or sz == #before then
			pre = nil
			return before
		elseif sz < #before then
			pre = before:sub(sz + 1)
			return before:sub(1, sz)
		end
		pre = nil
		return before .. receive(sz - #before)
	end
end

---All that comes until the other side closes.
---@param fd integer
---@return string
function M.readall(fd)
	return socket.readall(fd) or ""
end

---A function that writes.
---@param fd integer
---@return fun(content: string)
function M.writefunc(fd)
	return function(content)
		if not socket.write(fd, content) then
			error(socket_error)
		end
	end
end

---Connects, and waits until it is done. Yields.
---@param host string
---@param port integer
---@param timeout? integer in centiseconds
---@return integer fd
function M.connect(host, port, timeout)
	local fd, err
	local timed_out = false
	if timeout then
		local token = {}
		local late, done = false, false
		skynet.fork(function()
			local ok, id, why = pcall(socket.open, host, port)
			done = true
			if late then
				-- Nobody waits for it any more.
				if ok and id then
					socket.close(id)
				end
				return
			end
			if ok then
				fd, err = id, why
			else
				err = id
			end
			skynet.wakeup(token)
		end)
		skynet.sleep(timeout, token)
		if not done then
			late, timed_out = true, true
		end
	else
		fd = socket.open(host, port)
	end
	if fd then
		return fd
	end
	-- Matched by programs: keep the words.
	error(socket_error(("connect failed host = %s port = %s timeout = %s err = %s is_time_out = %s"):format(
		host, port, timeout, err, timed_out)))
end

---@param fd integer
function M.close(fd)
	socket.close(fd)
end

---Without waiting for what is to be sent; `close` is still needed.
---@param fd integer
function M.shutdown(fd)
	socket.shutdown(fd)
end

return M
