--- Decides what becomes of connections: each gets an agent, which ends with it.
--- From main: start(conf) -> address, port. From the gate: see service/gate.lua. From agents: say(name, text), close(fd).
local skynet = require "skynet"

local gate
local agents = {}		-- by fd

---Ends a connection and its agent, which is told, so that it can put its things in order before it goes.
local function dismiss(fd)
	local agent = agents[fd]
	if agent then
		agents[fd] = nil
		skynet.call(gate, "lua", "kick", fd)
		skynet.send(agent, "lua", "leave")
	end
end

local socket = {}

function socket.open(fd, address)
	skynet.error(("chat: %s comes as %d"):format(address, fd))
	local agent = skynet.newservice "agent"
	agents[fd] = agent
	-- The agent tells the gate to send packages to it; nothing is read before that. If the client has gone meanwhile,
	-- the gate does not know it any more.
	local ok = pcall(skynet.call, agent, "lua", "serve", { gate = gate, fd = fd, watchdog = skynet.self() })
	if not ok then
		dismiss(fd)
	end
end

function socket.close(fd)
	skynet.error(("chat: %d is gone"):format(fd))
	dismiss(fd)
end

function socket.error(fd, reason)
	skynet.error(("chat: %d is gone: %s"):format(fd, reason))
	dismiss(fd)
end

---A client that does not read is cut off before it takes the memory of all.
function socket.warning(fd, kb)
	if kb > 1024 then
		skynet.call(gate, "lua", "kick", fd)
	end
end

local command = {}

function command.start(conf)
	return skynet.call(gate, "lua", "open", conf)
end

function command.say(name, text)
	for _, agent in pairs(agents) do
		skynet.send(agent, "lua", "hear", name, text)
	end
end

function command.close(fd)
	skynet.call(gate, "lua", "kick", fd)
end

skynet.start(function()
	skynet.dispatch("lua", function(session, _, name, ...)
		if name == "socket" then
			-- The gate wants no answer.
			local event = ...
			socket[event](select(2, ...))
		elseif session == 0 then
			command[name](...)
		else
			skynet.retpack(command[name](...))
		end
	end)
	gate = skynet.newservice "gate"
end)
