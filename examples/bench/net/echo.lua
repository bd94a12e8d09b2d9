--- One service for all clients: sends back whatever comes.
local skynet = require "skynet"
local socket = require "skynet.socket"

local port = tonumber((...))

local function serve(id)
	socket.start(id)
	while true do
		local data = socket.read(id)
		if not data then
			break
		end
		socket.write(id, data)
	end
	socket.close(id)
end

skynet.start(function()
	local id = socket.listen("127.0.0.1", port, 1024)
	socket.start(id, function(new)
		skynet.fork(serve, new)
	end)
end)
