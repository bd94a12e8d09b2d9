--- TLS over a socket, as functions that read and write: what `http.sockethelper` is for plain connections.
---
--- A context has what many connections share (certificates); each connection has a session of `ltls`, which turns bytes
--- into other bytes and knows no socket.
local c = require "ltls.c"
local sockethelper = require "http.sockethelper"
local socket = require "skynet.socket"

local concat = table.concat

local M = {}

---Sends what a session has to say, if anything.
local function send(write, bytes)
	if bytes and bytes ~= "" then
		write(bytes)
	end
end

---Exchanges bytes until the session is ready.
local function shake_hands(read, write, tls)
	send(write, tls:handshake())
	while not tls:finished() do
		send(write, tls:handshake(read()))
	end
end

---@param fd integer
---@param tls_ctx ltls.session
---@param timeout? integer | http.deadline for what is read
---@return fun(hostname?: string) init makes the handshake of a client; the name is the one in the certificate. Yields.
function M.init_requestfunc(fd, tls_ctx, timeout)
	local read, write = sockethelper.readfunc(fd, nil, timeout), sockethelper.writefunc(fd)
	return function(hostname)
		if hostname then
			tls_ctx:set_ext_host_name(hostname)
		end
		shake_hands(read, write, tls_ctx)
	end
end

---@param fd integer
---@param tls_ctx ltls.session
---@param timeout? integer | http.deadline for what is read
---@return fun() init makes the handshake of a server. Yields.
function M.init_responsefunc(fd, tls_ctx, timeout)
	local read, write = sockethelper.readfunc(fd, nil, timeout), sockethelper.writefunc(fd)
	return function()
		shake_hands(read, write, tls_ctx)
	end
end

---@param tls_ctx ltls.session
---@return fun() close ends the session; the socket stays
function M.closefunc(tls_ctx)
	return function()
		tls_ctx:close()
	end
end

---@param fd integer
---@param tls_ctx ltls.session
---@param timeout? integer | http.deadline as for `sockethelper.readfunc`
---@return fun(sz?: integer): string
function M.readfunc(fd, tls_ctx, timeout)
	local read, write = sockethelper.readfunc(fd, nil, timeout), sockethelper.writefunc(fd)
	local before = ""

	---At least one byte.
	local function receive()
		-- Text may have come together with the end of the handshake.
		local text = tls_ctx:read()
		while not text or text == "" do
			text = tls_ctx:read(read())
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
---@param tls_ctx ltls.session
---@return fun(content: string)
function M.writefunc(fd, tls_ctx)
	local write = sockethelper.writefunc(fd)
	return function(content)
		send(write, tls_ctx:write(content))
	end
end

---@param fd integer
---@param tls_ctx ltls.session
---@return fun(): string readall all that comes until the other side closes
function M.readallfunc(fd, tls_ctx)
	return function()
		local before = tls_ctx:read() or ""
		local bytes = socket.readall(fd)
		return bytes and bytes ~= "" and before .. (tls_ctx:read(bytes) or "") or before
	end
end

---@return ltls.context
function M.newctx()
	return c.newctx()
end

---@param method "client" | "server"
---@param ssl_ctx ltls.context
---@param hostname? string for a client: the name in the certificate of the server
---@return ltls.session
function M.newtls(method, ssl_ctx, hostname)
	return c.newtls(method, ssl_ctx, hostname)
end

return M
