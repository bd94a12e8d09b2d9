--- The client's side of HTTP: one connection for each request.
local skynet = require "skynet"
local internal = require "http.internal"
local sockethelper = require "http.sockethelper"
local deadline = require "http.deadline"

local concat = table.concat
local socket_error = sockethelper.socket_error

local M = {}

--- A whole request, from the connect to the end of the body, takes so many centiseconds at most; nil: as many as it takes.
---@type integer?
M.timeout = nil

--- A response's body has no more bytes than that.
M.bodylimit = internal.bodylimit

local dns	-- `skynet.dns`, once it is wanted

---From now on names are resolved by `skynet.dns` instead of the system.
---@param server? string
---@param port? integer
function M.dns(server, port)
	dns = require "skynet.dns"
	dns.server(server, port)
end

local default_ports <const> = { http = 80, https = 443 }

---Divides `[http|https://]name[:port]`.
---@return "http" | "https" protocol
---@return string host name and port as they came
---@return string name without the brackets of an address
---@return integer port
local function parse(host)
	local protocol, rest = host:match "^(%a[%w+.-]*)://(.*)$"
	if protocol then
		protocol = protocol:lower()
		if not default_ports[protocol] then
			error(("Invalid protocol: %s"):format(protocol), 0)
		end
		host = rest
	else
		protocol = "http"
	end
	local name, port = host:match "^%[(.-)%]:?(%d*)$"
	if not name then
		local _, colons = host:gsub(":", "")
		if colons > 1 then
			error(("Invalid host: bare IPv6 address '%s', use '[%s]' instead"):format(host, host), 0)
		end
		name, port = host:match "^([^:]+):?(%d*)$"
	end
	if not name or name == "" then
		error(("Invalid host: '%s'"):format(host), 0)
	end
	return protocol, host, name, port == "" and default_ports[protocol] or math.tointeger(tonumber(port))
end

local function resolve(name)
	-- An address needs no server.
	if not dns or name:find ":" or name:find "^[%d.]+$" then
		return name
	end
	local ok, address, why = pcall(dns.resolve, name)
	if not ok then
		address, why = nil, address
	end
	if not address then
		error(("%s dns resolve failed msg:%s"):format(name, why), 0)
	end
	return address
end

local client_context	-- what all connections over TLS share

---What reads and writes a connection.
local function plain(fd, limit)
	return {
		read = sockethelper.readfunc(fd, nil, limit),
		write = sockethelper.writefunc(fd),
	}
end

local function secure(fd, limit, name)
	local tlshelper = require "http.tlshelper"
	client_context = client_context or tlshelper.newctx()
	local session = tlshelper.newtls("client", client_context, name)
	tlshelper.init_requestfunc(fd, session, limit)(name)
	return {
		read = tlshelper.readfunc(fd, session, limit),
		write = tlshelper.writefunc(fd, session),
		close = tlshelper.closefunc(session),
	}
end

---All that comes until the other side closes; in pieces, so that the limit holds.
local function readall(read, limit)
	local pieces, size = {}, 0
	while size <= limit do
		local ok, piece = pcall(read)
		if not ok then
			if piece ~= socket_error or piece.info then
				error(piece, 0)
			end
			break
		end
		size = size + #piece
		pieces[#pieces + 1] = piece
	end
	return concat(pieces)
end

---@return integer fd
---@return table interface
---@return string host
local function connect(host)
	local timeout = M.timeout
	local begun = skynet.now()
	local protocol, address, name, port = parse(host)
	local resolved = resolve(name)
	local left = timeout and math.max(timeout - (skynet.now() - begun), 0)
	local fd = sockethelper.connect(resolved, port, left)
	local limit = timeout and deadline.new(fd, math.max(timeout - (skynet.now() - begun), 0))
	local ok, interface = pcall(protocol == "https" and secure or plain, fd, limit, name)
	if not ok then
		sockethelper.close(fd)
		error(interface, 0)
	end
	function interface.readall()
		return readall(interface.read, M.bodylimit)
	end
	return fd, interface, address
end

local function close(fd, interface)
	-- While the socket is there, so that it can still say good-bye.
	if interface.close then
		interface.close()
	end
	sockethelper.close(fd)
end

local function finish(fd, interface, ok, ...)
	close(fd, interface)
	if not ok then
		error((...), 0)
	end
	return ...
end

local function exchange(interface, method, host, url, recvheader, header, content)
	local code, rest, fields = internal.request(interface, method, host, url, recvheader, header, content)
	if method == "HEAD" then
		return code, ""
	end
	return code, internal.response(interface, code, rest, fields, M.bodylimit)
end

---Sends a request and reads the response. Yields. Raises when there is none, or none that can be read.
---@param method string
---@param host string `[http://|https://]name[:port]`
---@param url string
---@param recvheader? table gets the response's header
---@param header? table<string, string | number | (string | number)[]>
---@param content? string
---@return integer code
---@return string body
function M.request(method, host, url, recvheader, header, content)
	local fd, interface, name = connect(host)
	return finish(fd, interface, pcall(exchange, interface, method, name, url, recvheader, header, content))
end

---Asks for a response without its body. Yields.
---@return integer code
function M.head(host, url, recvheader, header, content)
	return (M.request("HEAD", host, url, recvheader, header, content))
end

---Sends a request, and leaves the body of the response to be read piece by piece. Yields.
---@return http.stream stream `for piece, stream in stream do ... end`; to be closed, if it is left before its end
function M.request_stream(method, host, url, recvheader, header, content)
	local fd, interface, name = connect(host)
	local ok, stream = pcall(function()
		local code, rest, fields = internal.request(interface, method, name, url, recvheader, header, content)
		return internal.response_stream(interface, code, rest, fields)
	end)
	if not ok then
		return finish(fd, interface, ok, stream)
	end
	function stream.onclose()
		close(fd, interface)
	end
	return stream
end

---@param host string
---@param url string
---@param recvheader? table
---@param header? table
---@param content? string
---@return integer code
---@return string body
function M.get(host, url, recvheader, header, content)
	return M.request("GET", host, url, recvheader, header, content)
end

local function escape(what)
	return (tostring(what):gsub("[^%w_]", function(c)
		return ("%%%02X"):format(c:byte())
	end))
end

---Sends a form.
---@param host string
---@param url string
---@param form table<string, string | number>
---@param recvheader? table
---@return integer code
---@return string body
function M.post(host, url, form, recvheader)
	local fields = {}
	for name, value in pairs(form) do
		fields[#fields + 1] = escape(name) .. "=" .. escape(value)
	end
	local header = { ["content-type"] = "application/x-www-form-urlencoded" }
	return M.request("POST", host, url, recvheader, header, concat(fields, "&"))
end

return M
