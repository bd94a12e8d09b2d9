--- Ends of TLS connections, for tests/lua_tls.rs: two in one service, or one at a socket.
local skynet = require "skynet"
local socket = require "skynet.socket"
local ltls = require "ltls.c"

local M = {}

---A server's context with this certificate, and a client's that trusts this authority.
---@return ltls.context server
---@return ltls.context client
function M.contexts(certfile, keyfile, cafile)
	local server, client = ltls.newctx(), ltls.newctx()
	server:set_cert(certfile, keyfile)
	if cafile then
		client:set_ca(cafile)
	end
	return server, client
end

---Gives what each end says to the other, until neither says more.
function M.shake(client, server)
	local to, other, data = server, client, client:handshake()
	while data do
		if to:finished() then
			-- Tickets come after the handshake.
			assert(to:read(data) == "")
			data = nil
		else
			data = to:handshake(data)
		end
		to, other = other, to
	end
	assert(client:finished() and server:finished())
end

---Both ends of a connection, past the handshake.
function M.pair(server_ctx, client_ctx, name)
	local client, server = ltls.newtls("client", client_ctx, name), ltls.newtls("server", server_ctx)
	M.shake(client, server)
	return client, server
end

local function run(id, tls, body)
	local ok, reason = pcall(function()
		if not tls:finished() then
			local hello = tls:handshake()
			if hello then
				socket.write(id, hello)
			end
		end
		while not tls:finished() do
			local answer = tls:handshake((assert(socket.read(id), "the peer is gone")))
			if answer then
				socket.write(id, answer)
			end
		end
		-- The next text, or nothing at the end; the flag says that the end is the peer's own.
		local function read()
			local text = tls:read()
			while text == "" do
				local data = not tls:peer_closed() and socket.read(id)
				if not data then
					return nil, tls:peer_closed()
				end
				text = tls:read(data)
			end
			return text
		end
		local function write(text)
			socket.write(id, tls:write(text))
		end
		return body(read, write, tls)
	end)
	local last = ok and tls:close() or tls:write()
	if last and last ~= "" then
		socket.write(id, last)
	end
	socket.close(id)
	if not ok then
		error(reason, 0)
	end
	return reason
end

---Listens; `body(read, write, tls)` gets each connection. What fails is logged.
---@return integer port
function M.serve(ctx, body)
	local id, _, port = socket.listen("127.0.0.1", 0)
	socket.start(id, function(new)
		skynet.fork(function()
			socket.start(new)
			run(new, ltls.newtls("server", ctx), body)
		end)
	end)
	return port
end

---Connects, and runs `body(read, write, tls)`; returns its result.
function M.connect(ctx, port, name, body)
	local id = assert(socket.open("127.0.0.1", port))
	return run(id, ltls.newtls("client", ctx, name), body)
end

return M
