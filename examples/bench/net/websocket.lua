--- Sends back each message of a WebSocket.
local skynet = require "skynet"
local socket = require "skynet.socket"
local websocket = require "http.websocket"

local port = tonumber((...))
local handler = {}

function handler.message(id, text, kind)
	websocket.write(id, text, kind)
end

skynet.start(function()
	local id = socket.listen("127.0.0.1", port, 1024)
	socket.start(id, function(new, address)
		skynet.fork(websocket.accept, new, handler, "ws", address)
	end)
end)
