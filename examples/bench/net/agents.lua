--- A gate, and an agent service for each client.
local skynet = require "skynet"
require "skynet.manager"

local port = tonumber((...))
local gate
local agents = {}	---@type table<integer, integer> by the client's descriptor

local event = {}

function event.open(fd)
	agents[fd] = skynet.newservice("agent", gate, fd)
end

function event.close(fd)
	local agent = agents[fd]
	agents[fd] = nil
	if agent then
		skynet.kill(agent)
	end
end

event.error = event.close

skynet.start(function()
	skynet.dispatch("lua", function(_, _, _, what, fd)
		if event[what] then
			event[what](fd)
		end
	end)
	gate = skynet.newservice "gate"
	skynet.call(gate, "lua", "open", {
		address = "127.0.0.1",
		port = port,
		maxclient = 65535,
		nodelay = true,
		watchdog = skynet.self(),
	})
end)
