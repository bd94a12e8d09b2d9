--- WebSocket: servers by callbacks, clients by `read` and `write`.
local skynet = require "skynet"
local socket = require "skynet.socket"
local codec = require "skynet.httpcodec"
local httpd = require "http.httpd"
local internal = require "http.internal"
local sockethelper = require "http.sockethelper"
local deadline = require "http.deadline"

local concat = table.concat
local socket_error = sockethelper.socket_error

local CONTINUATION <const>, TEXT <const>, BINARY <const> = 0, 1, 2
local CLOSE <const>, PING <const>, PONG <const> = 8, 9, 10

local names <const> = { [TEXT] = "text", [BINARY] = "binary" }
local ops <const> = { text = TEXT, binary = BINARY }

--- A frame, and a message of several, has no more bytes than that at a server,
local SERVER_MAX <const> = 256 * 1024
--- and at a client.
local CLIENT_MAX <const> = 64 * 1024 * 1024
--- The payload of a close frame: a code and a reason.
local REASON_MAX <const> = 123

--- A server's text for a handshake that it refuses is read up to this length.
local REFUSAL_MAX <const> = 4096

--- Codes of close frames.
local PROTOCOL_ERROR <const>, TOO_BIG <const> = 1002, 1009

local M = {}

---@class http.websocket.connection
---@field id integer
---@field addr? string
---@field real_ip? string
---@field handle? table callbacks
---@field read fun(sz?: integer): string
---@field write fun(s: string)
---@field close fun()
---@field limit integer of a message's length
---@field mask? boolean each frame that is sent is masked
---@field buffer string what was read; its frames up to `at` are done with
---@field at integer
---@field backlog? integer KB that the other side has not taken yet, if there are many

---@type table<integer, http.websocket.connection>
local connections = {}

local function connection_of(id)
	local ws = connections[id]
	if not ws then
		error(("websocket %s is closed, or none"):format(id), 3)
	end
	return ws
end

---Closes the socket. Yields.
local function drop(ws)
	if connections[ws.id] == ws then
		connections[ws.id] = nil
		ws.close()
	end
end

---Writes a frame.
---@param mask? integer | boolean
local function send(ws, op, payload, mask)
	if mask == nil then
		mask = ws.mask
	end
	if mask == true then
		mask = codec.mask()
	end
	ws.write(codec.encode(op, payload or "", mask or nil))
end

local function close_payload(code, reason)
	return code and (">I2"):pack(code) .. (reason or ""):sub(1, REASON_MAX)
end

---@return integer? code
---@return string? reason
local function read_close(payload)
	if #payload >= 2 then
		return (">I2"):unpack(payload), payload:sub(3)
	end
end

---Ends a connection that does not keep to the protocol: the other side is told, then the error is raised.
local function violates(ws, code, reason)
	pcall(send, ws, CLOSE, close_payload(code, reason))
	error(reason, 0)
end

---Reads the next frame.
---@return integer op
---@return boolean fin
---@return string payload
local function receive(ws)
	while true do
		local op, fin, next_at, payload = codec.frame(ws.buffer, ws.at, ws.limit)
		if op then
			if next_at > #ws.buffer then
				ws.buffer, ws.at = "", 1
			else
				ws.at = next_at
			end
			return op, fin, payload
		elseif op == nil then
			-- Matched by programs: keep the words.
			violates(ws, fin == "payload_len is too large" and TOO_BIG or PROTOCOL_ERROR, fin)
		end
		-- All that is missing of a long frame in one piece; else whatever is there, which may be several frames.
		local missing = fin
		local rest = ws.buffer:sub(ws.at)
		ws.buffer = rest .. ws.read(missing > 4096 and missing or nil)
		ws.at = 1
	end
end

---Reads frames until a message is whole, or something else has come.
---@return integer op of the message or of the control frame
---@return string payload
local function receive_message(ws)
	while true do
		local op, fin, payload = receive(ws)
		local parts = ws.parts
		if op >= CLOSE then
			return op, payload
		elseif (op == CONTINUATION) ~= (parts ~= nil) then
			violates(ws, PROTOCOL_ERROR, parts and "websocket frame: a message begins inside of another"
				or "websocket frame: nothing to continue")
		elseif fin and not parts then
			return op, payload
		end
		if not parts then
			parts = { op = op, size = 0 }
			ws.parts = parts
		end
		parts.size = parts.size + #payload
		if parts.size > ws.limit then
			violates(ws, TOO_BIG, "payload_len is too large")
		elseif payload ~= "" then
			parts[#parts + 1] = payload
		end
		if fin then
			ws.parts = nil
			return parts.op, concat(parts)
		end
	end
end

local function new_connection(id, interface, addr, limit)
	---@type http.websocket.connection
	local ws = {
		id = id,
		addr = addr,
		read = interface.read,
		write = interface.write,
		limit = limit,
		buffer = "",
		at = 1,
		close = function()
			-- While the socket is there, so that it can still say good-bye.
			if interface.close then
				interface.close()
			end
			socket.close(id)
		end,
	}
	connections[id] = ws
	return ws
end

local server_context	-- what the servers of this service share: its certificate

---What reads and writes a server's connection.
local function server_interface(id, protocol, limit, before)
	if protocol == "ws" then
		return { read = sockethelper.readfunc(id, before, limit), write = sockethelper.writefunc(id) }
	elseif protocol ~= "wss" then
		error(("invalid protocol: %s"):format(protocol), 0)
	end
	local tlshelper = require "http.tlshelper"
	if not server_context then
		local context = tlshelper.newctx()
		context:set_cert(skynet.getenv "certfile" or "./server-cert.pem", skynet.getenv "keyfile" or "./server-key.pem")
		server_context = context
	end
	local session = tlshelper.newtls("server", server_context)
	return {
		init = tlshelper.init_responsefunc(id, session, limit),
		read = tlshelper.readfunc(id, session, limit),
		write = tlshelper.writefunc(id, session),
		close = tlshelper.closefunc(session),
	}
end

local function lower(value)
	return type(value) == "string" and value:lower() or ""
end

---Reads a request for the protocol, and judges it.
---@return table? header nil if it is refused,
---@return string | integer url then with this code
---@return string? accept or this text
local function judge(ws, upgrade)
	local header, method, url
	if upgrade then
		header, method, url = upgrade.header, upgrade.method, upgrade.url
	else
		local head, rest = internal.readhead(ws.read, "")
		if not head then
			return nil, 413
		end
		ws.buffer = rest
		local version
		method, url, version, header = codec.request(head)
		version = tonumber(version)
		if not version then
			return nil, 400, "malformed request line"
		elseif version < 1.1 then
			return nil, 505
		end
	end
	if method ~= "GET" then
		return nil, 400, "need GET method"
	elseif not header then
		return nil, 400, "malformed header"
	elseif lower(header.upgrade) ~= "websocket" then
		-- Matched by clients: keep the words.
		return nil, 426, "Upgrade Required"
	elseif not header.host then
		return nil, 400, "host Required"
	elseif not lower(header.connection):find("upgrade", 1, true) then
		return nil, 400, "Connection must Upgrade"
	end
	local key = header["sec-websocket-key"]
	if not key then
		return nil, 400, "Sec-WebSocket-Key Required"
	end
	local accept = type(key) == "string" and codec.accept(key)
	if not accept then
		return nil, 400, "Sec-WebSocket-Key invalid"
	elseif header["sec-websocket-version"] ~= "13" then
		return nil, 400, "Sec-WebSocket-Version must 13"
	end
	return header, url, accept
end

---Which of the sub-protocols that a client offers is spoken: `chat`, if any.
---@return string? line nil if it offers others only
local function subprotocol(header)
	local offered = header["sec-websocket-protocol"]
	if not offered then
		return ""
	end
	for name in (type(offered) == "table" and concat(offered, ",") or offered):gmatch "[^%s,]+" do
		if name == "chat" then
			return "Sec-WebSocket-Protocol: chat\r\n"
		end
	end
end

local function callback(ws, name, ...)
	local handle = ws.handle
	local f = handle and handle[name]
	if f then
		f(ws.id, ...)
	end
end

---Answers the handshake.
---@return boolean accepted
local function answer(ws, upgrade)
	local header, url, accept = judge(ws, upgrade)
	local line = header and subprotocol(header)
	if header and not line then
		header, url, accept = nil, 400, "Sec-WebSocket-Protocol need include chat"
	end
	if not header then
		local ok, err = httpd.write_response(ws.write, url, accept)
		if not ok then
			error(err, 0)
		end
		return false
	end
	ws.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		.. ("Sec-WebSocket-Accept: %s\r\n%s\r\n"):format(accept, line))
	ws.real_ip = header["x-real-ip"]
	ws.header, ws.url = header, url
	return true
end

---Serves a connection to its end.
local function serve(ws, init, upgrade, limit)
	callback(ws, "connect")
	if init then
		init()
	end
	if not answer(ws, upgrade) then
		callback(ws, "close")
		return
	end
	if limit then
		limit:lift()
	end
	callback(ws, "handshake", ws.header, ws.url)
	while connections[ws.id] == ws do
		local op, payload = receive_message(ws)
		if op == CLOSE then
			-- Who has sent it may be gone already.
			pcall(send, ws, CLOSE)
			callback(ws, "close", read_close(payload))
			return
		elseif op == PING then
			-- To one who asks and does not read the answers, no more of them are written.
			if not ws.backlog then
				send(ws, PONG, payload)
			end
			callback(ws, "ping")
		elseif op == PONG then
			callback(ws, "pong")
		else
			callback(ws, "message", payload, names[op])
		end
	end
	callback(ws, "close")
end

---Speaks the protocol with a client that has connected, until the connection ends. Yields.
---
---Callbacks in `handle`, each with the id first: `connect(id)`, `handshake(id, header, url)`, `message(id, data, kind)`,
---`ping(id)`, `pong(id)`, `close(id, code, reason)`, `error(id, err)`; and `warning(ws, kb)`.
---@param fd integer its socket, which is not started yet unless the request has been read
---@param handle? table<string, function>
---@param protocol? "ws" | "wss"
---@param addr? string of the client
---@param options? { upgrade?: { header: table, method: string, url: string, behind?: string }, timeout?: integer }
--- `upgrade`: the request, if it has been read already, and what was read behind it; `timeout`: centiseconds that the
--- handshake may take.
---@return boolean ok
---@return any err
function M.accept(fd, handle, protocol, addr, options)
	options = options or {}
	local upgrade = options.upgrade
	if not upgrade then
		local started, err = socket.start(fd)
		if not started then
			return false, err
		end
	end
	local limit = options.timeout and deadline.new(fd, options.timeout)
	local ok, interface = pcall(server_interface, fd, protocol or "ws", limit, upgrade and upgrade.behind)
	if not ok then
		socket.close(fd)
		return false, interface
	end
	local ws = new_connection(fd, interface, addr, SERVER_MAX)
	ws.handle = handle
	socket.warning(fd, function(id, kb)
		ws.backlog = kb > 0 and kb or nil
		local warning = handle and handle.warning
		if warning then
			warning(ws, kb)
		elseif kb > 0 then
			skynet.error(("WARNING: %d K bytes need to send out (fd = %d)"):format(kb, id))
		end
	end)
	local done, err = xpcall(serve, debug.traceback, ws, interface.init, upgrade, limit)
	local closed = connections[fd] ~= ws
	drop(ws)
	if done then
		return true
	elseif err ~= socket_error then
		return false, err
	elseif closed then
		callback(ws, "close")
	else
		callback(ws, "error", err)
	end
	return true
end

---Divides `ws://name[:port]/path?query`.
---@return "ws" | "wss" protocol
---@return string host as it stands there
---@return string name
---@return integer port
---@return string target for the request line
local function parse(url)
	local protocol, host, target = url:match "^(%a[%w+.-]*)://([^/?#]*)([^#]*)"
	if protocol ~= "ws" and protocol ~= "wss" then
		error(("invalid protocol: %s"):format(protocol), 3)
	end
	local name, port = host:match "^%[(.-)%]:?(%d*)$"
	if not name then
		name, port = host:match "^([^:]+):?(%d*)$"
	end
	if not name or name == "" then
		error(("invalid host: '%s'"):format(host), 3)
	end
	if port == "" then
		port = protocol == "wss" and 443 or 80
	end
	if target:sub(1, 1) ~= "/" then
		target = "/" .. target
	end
	return protocol, host, name, math.tointeger(tonumber(port)), target
end

local client_context	-- what all clients of this service share

local function client_interface(id, protocol, limit, name)
	if protocol == "ws" then
		return { read = sockethelper.readfunc(id, nil, limit), write = sockethelper.writefunc(id) }
	end
	local tlshelper = require "http.tlshelper"
	client_context = client_context or tlshelper.newctx()
	local session = tlshelper.newtls("client", client_context, name)
	tlshelper.init_requestfunc(id, session, limit)(name)
	return {
		read = tlshelper.readfunc(id, session, limit),
		write = tlshelper.writefunc(id, session),
		close = tlshelper.closefunc(session),
	}
end

---Sends the request of a client, and judges the answer.
local function request(ws, host, target, header)
	local key = codec.key()
	local sent = {
		Upgrade = "websocket",
		Connection = "Upgrade",
		["Sec-WebSocket-Version"] = "13",
		["Sec-WebSocket-Key"] = key,
	}
	for name, value in pairs(header or {}) do
		assert(sent[name] == nil, name)
		sent[name] = value
	end
	local code, rest, fields = internal.request(ws, "GET", host, target, {}, sent)
	if code ~= 101 then
		-- The text of a refusal may come behind its head.
		local length = internal.contentlength(fields)
		if length and length > #rest and length <= REFUSAL_MAX then
			local ok, more = pcall(ws.read, length - #rest)
			rest = rest .. (ok and more or "")
		end
		error(("websocket handshake error: code[%s] info:%s"):format(code, rest), 0)
	elseif lower(fields.upgrade) ~= "websocket" then
		error("websocket handshake upgrade must websocket", 0)
	elseif not lower(fields.connection):find("upgrade", 1, true) then
		error("websocket handshake connection must upgrade", 0)
	end
	local accept = fields["sec-websocket-accept"]
	if not accept then
		error("websocket handshake need Sec-WebSocket-Accept", 0)
	elseif accept ~= codec.accept(key) then
		error("websocket handshake invalid Sec-WebSocket-Accept", 0)
	end
	ws.buffer = rest
end

---Connects to a server. Yields. Raises when it cannot be reached, or refuses.
---@param url string
---@param header? table<string, string>
---@param timeout? integer centiseconds for the connect and the handshake
---@param options? { mask?: boolean, limit?: integer } `mask`: each frame is masked, as servers that keep to RFC 6455
--- demand; `limit`: of a message's length
---@return integer id
function M.connect(url, header, timeout, options)
	options = options or {}
	local protocol, host, name, port, target = parse(url)
	local ends = timeout and skynet.now() + timeout
	local id = sockethelper.connect(name, port, timeout)
	local limit = ends and deadline.new(id, ends - skynet.now())
	local ok, ws = pcall(client_interface, id, protocol, limit, name)
	if not ok then
		socket.close(id)
		error(ws, 0)
	end
	ws = new_connection(id, ws, host, options.limit or CLIENT_MAX)
	ws.mask = options.mask
	local shaken, err = pcall(request, ws, host, target, header)
	if not shaken then
		drop(ws)
		error(err, 0)
	end
	if limit then
		limit:lift()
	end
	return id
end

---The next message. Yields. Raises when the connection is lost.
---@param id integer
---@return string | false data false when the server closes
---@return string? payload of its close frame: a code of two bytes and a reason, or nothing
function M.read(id)
	local ws = connection_of(id)
	while true do
		local op, payload = receive_message(ws)
		if op == CLOSE then
			pcall(send, ws, CLOSE)
			drop(ws)
			return false, payload
		elseif op == PING then
			send(ws, PONG, payload)
		elseif op ~= PONG then
			return payload
		end
	end
end

---Sends a message.
---@param id integer
---@param data string
---@param fmt? "text" | "binary" text, if not given
---@param masking_key? integer | true a number of 32 bits; true takes a new one
function M.write(id, data, fmt, masking_key)
	local ws = connection_of(id)
	local op = ops[fmt or "text"]
	if not op then
		error(("a message is text or binary, not %s"):format(fmt), 2)
	end
	send(ws, op, data, masking_key)
end

---@param id integer
function M.ping(id)
	send(connection_of(id), PING)
end

---Says good-bye and closes. Yields. Does nothing if it is closed already.
---@param id integer
---@param code? integer
---@param reason? string
function M.close(id, code, reason)
	local ws = connections[id]
	if not ws then
		return
	end
	local ok, err = pcall(send, ws, CLOSE, close_payload(code, reason))
	drop(ws)
	if not ok and err ~= socket_error then
		skynet.error(err)
	end
end

---@param id integer
---@return string? addr of the other side, as it was given
function M.addrinfo(id)
	return connection_of(id).addr
end

---@param id integer
---@return string? ip what a proxy before us has put into `x-real-ip`
function M.real_ip(id)
	return connection_of(id).real_ip
end

---@param id integer
---@return boolean
function M.is_close(id)
	return not connections[id]
end

return M
