--- TLS over a socket, as functions that read and write: what `http.sockethelper` is for plain connections.
---
--- A context has what many connections share (certificates); each connection has a session of `ltls`, which turns bytes
--- into other bytes and knows no socket.
local skynet = require "skynet"
local socket = require "skynet.socket"
local sockethelper = require "http.sockethelper"
local c = require "ltls.c"

local concat = table.concat
local socket_error = sockethelper.socket_error

local M = {}

--- Where the bytes of a session go, for its last ones.
---@type table<ltls.tls, fun(bytes: string)>
local writers = setmetatable({}, { __mode = "k" })

local function writer(fd, tls)
	local write = writers[tls]
	if not write then
		write = sockethelper.writefunc(fd)
		writers[tls] = write
	end
	return write
end

---Sends what a session has to say, if anything.
local function send(write, bytes)
	if bytes and bytes ~= "" then
		write(bytes)
	end
end

---Calls a method that reads foreign bytes. When it fails, the other side is told why before the error is raised.
local function take(write, tls, method, bytes)
	local ok, result = pcall(tls[method], tls, bytes)
	if not ok then
		pcall(function()
			send(write, tls:write())
		end)
		error(result, 0)
	end
	return result
end

---Exchanges bytes until the session is ready.
local function shake_hands(read, write, tls)
	send(write, take(write, tls, "handshake"))
	while not tls:finished() do
		send(write, take(write, tls, "handshake", read()))
	end
end

---@param fd integer
---@param tls_ctx ltls.tls
---@param timeout? integer | http.deadline for what is read
---@return fun(hostname?: string) init makes the handshake of a client; the name is the one in the certificate. Yields.
function M.init_requestfunc(fd, tls_ctx, timeout)
	local read, write = sockethelper.readfunc(fd, nil, timeout), writer(fd, tls_ctx)
	return function(hostname)
		if hostname then
			tls_ctx:set_ext_host_name(hostname)
		end
		shake_hands(read, write, tls_ctx)
	end
end

---@param fd integer
---@param tls_ctx ltls.tls
---@param timeout? integer | http.deadline for what is read
---@return fun() init makes the handshake of a server. Yields.
function M.init_responsefunc(fd, tls_ctx, timeout)
	local read, write = sockethelper.readfunc(fd, nil, timeout), writer(fd, tls_ctx)
	return function()
		shake_hands(read, write, tls_ctx)
	end
end

---@param tls_ctx ltls.tls
---@return fun() close says good-bye, if the socket is still open, and ends the session; the socket stays
function M.closefunc(tls_ctx)
	return function()
		local bytes = tls_ctx:close()
		local write = writers[tls_ctx]
		if write then
			writers[tls_ctx] = nil
			pcall(send, write, bytes)
		end
	end
end

---@param fd integer
---@param tls_ctx ltls.tls
---@param timeout? integer | http.deadline as for `sockethelper.readfunc`
---@return fun(sz?: integer): string
function M.readfunc(fd, tls_ctx, timeout)
	local read, write = sockethelper.readfunc(fd, nil, timeout), writer(fd, tls_ctx)
	local before = ""

	---At least one byte.
	local function receive()
		-- Text may have come together with the end of the handshake.
		local text = tls_ctx:read()
		while not text or text == "" do
			if tls_ctx:peer_closed() then
				error(socket_error)
			end
			text = take(write, tls_ctx, "read", read())
			-- The other side may ask for new keys.
			send(write, tls_ctx:write())
		end
		return text
	end

	return function(sz)
		local text = before
		if not sz then
			before = ""
			return text ~= "" and text or receive()
		end
		if #text < sz then
			local pieces, size = { text }, #text
			while size < sz do
				local piece = receive()
				size = size + #piece
				pieces[#pieces + 1] = piece
			end
			text = concat(pieces)
		end
		before = text:sub(sz + 1)
		return text:sub(1, sz)
	end
end

---@param fd integer
---@param tls_ctx ltls.tls
---@return fun(content: string)
function M.writefunc(fd, tls_ctx)
	local write = writer(fd, tls_ctx)
	return function(content)
		send(write, tls_ctx:write(content))
	end
end

---@param fd integer
---@param tls_ctx ltls.tls
---@return fun(): string readall all that comes until the other side closes
function M.readallfunc(fd, tls_ctx)
	local write = writer(fd, tls_ctx)
	return function()
		local before = tls_ctx:read() or ""
		local bytes = socket.readall(fd)
		return bytes and bytes ~= "" and before .. take(write, tls_ctx, "read", bytes) or before
	end
end

---A context. What the config says of whom clients trust is in it: `tls_ca` names authorities beside the system's, and
---with `tls_verify = "false"` clients do not ask who a server is.
---@return ltls.context
function M.newctx()
	local context = c.newctx()
	local authorities = skynet.getenv "tls_ca"
	if authorities then
		context:set_ca(authorities)
	end
	if skynet.getenv "tls_verify" == "false" then
		context:set_verify(false)
	end
	return context
end

---@param method "client" | "server"
---@param ssl_ctx ltls.context
---@param hostname? string for a client: the name in the certificate of the server
---@return ltls.tls
function M.newtls(method, ssl_ctx, hostname)
	return c.newtls(method, ssl_ctx, hostname)
end

return M
