--- Listens, and deals connections to the agents in turn.
local skynet = require "skynet"
local socket = require "skynet.socket"

local AGENTS <const> = 2

skynet.start(function()
	local agents = {}
	for i = 1, AGENTS do
		agents[i] = skynet.newservice "agent"
	end
	local address = skynet.getenv "web_address" or "127.0.0.1"
	local listener, ip, port = socket.listen(address, tonumber(skynet.getenv "web_port"))
	local turn = 0
	socket.start(listener, function(fd, from)
		-- This service has not started the connection, so the agent may.
		skynet.send(agents[turn % AGENTS + 1], "lua", fd, from)
		turn = turn + 1
	end)
	skynet.error(("web: http://%s:%d/"):format(ip, port))
end)
