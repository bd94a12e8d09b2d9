--- Serves connections: a page over HTTP, and an echo over WebSocket.
local skynet = require "skynet"
local socket = require "skynet.socket"
local httpd = require "http.httpd"
local sockethelper = require "http.sockethelper"
local websocket = require "http.websocket"
local url = require "http.url"

local PATIENCE <const> = 1000		-- centiseconds that a client may take for its request
local BODY_MAX <const> = 16 * 1024	-- bytes of a request's body

local function read_file(name)
	local file <close> = assert(io.open(SERVICE_PATH .. name, "rb"))
	return file:read "a"
end

local page = read_file "page.html"

--- What is served where: each gets the query and the body, and returns a status, a body and a header.
local places = {}

places["/"] = function()
	return 200, page, { ["content-type"] = "text/html; charset=utf-8" }
end

places["/hello"] = function(query)
	local name = url.parse_query(query).name or "stranger"
	return 200, ("Hello, %s!\n"):format(name), { ["content-type"] = "text/plain; charset=utf-8" }
end

places["/seen"] = function(_, body)
	skynet.error(("web: a page has seen %q"):format(body))
	return 204
end

--- What comes by WebSocket goes back.
local echo = {}

function echo.message(id, data, kind)
	websocket.write(id, kind == "text" and "echo: " .. data or data, kind)
end

local function serve(fd, from)
	local read = sockethelper.readfunc(fd, nil, PATIENCE)
	local code, target, method, header, body, behind = httpd.read_request(read, BODY_MAX)
	if not code then
		return
	end
	local write = sockethelper.writefunc(fd)
	if code ~= 200 then
		httpd.write_response(write, code)
		return
	end
	local path, query = url.parse(target)
	if path == "/ws" then
		-- It closes the socket, too.
		local request = { header = header, method = method, url = target, behind = behind }
		websocket.accept(fd, echo, "ws", from, { upgrade = request })
		return
	end
	local place = places[path]
	if place then
		httpd.write_response(write, place(query, body))
	else
		httpd.write_response(write, 404, "There is nothing here.\n")
	end
end

skynet.start(function()
	skynet.dispatch("lua", function(_, _, fd, from)
		if not socket.start(fd) then
			return
		end
		local ok, err = xpcall(serve, debug.traceback, fd, from)
		if not ok then
			skynet.error(err)
		end
		socket.close(fd)
	end)
end)
