--- The gate: owns client connections for a watchdog, and sends what comes on each to the agent that it is told of.
---
--- To the watchdog, as "lua" messages: ("socket", "open", fd, address), ("socket", "close", fd), ("socket", "error", fd,
--- reason), ("socket", "warning", fd, kb), and, for a connection without an agent, ("socket", "data", fd, package). To an
--- agent, as "client" messages: the package, with the fd as the session and `client` as the source. After "close", what
--- is sent to the client may still reach it; "kick" ends that.
local skynet = require "skynet"
local gateserver = require "snax.gateserver"
local netpack = require "skynet.netpack"

local watchdog
local connections = {}		-- by fd

skynet.register_protocol {
	name = "client",
	id = skynet.PTYPE_CLIENT,
}

local handler = {}

---@param source integer
---@param conf table what `gateserver` wants, and `watchdog`: whom to tell, by default the one who opens the gate
---@return string address
---@return integer port
function handler.open(source, conf)
	watchdog = conf.watchdog or source
	return conf.address, conf.port
end

function handler.message(fd, data, size)
	local agent = connections[fd].agent
	if agent then
		skynet.redirect(agent, connections[fd].client, "client", fd, data, size)
	else
		skynet.send(watchdog, "lua", "socket", "data", fd, netpack.tostring(data, size))
	end
end

function handler.connect(fd, address)
	connections[fd] = { address = address }
	skynet.send(watchdog, "lua", "socket", "open", fd, address)
end

function handler.disconnect(fd)
	if connections[fd] then
		connections[fd] = nil
		skynet.send(watchdog, "lua", "socket", "close", fd)
	end
end

function handler.error(fd, reason)
	if connections[fd] then
		connections[fd] = nil
		skynet.send(watchdog, "lua", "socket", "error", fd, reason)
	end
end

function handler.warning(fd, kb)
	skynet.send(watchdog, "lua", "socket", "warning", fd, kb)
end

local commands = {}

---Packages go to an agent from now on.
---@param source integer
---@param fd integer
---@param client? integer the source that the agent sees; 0
---@param agent? integer the one who asks
function commands.forward(source, fd, client, agent)
	local connection = assert(connections[fd], "the gate has no such connection")
	connection.client = client or 0
	connection.agent = agent or source
	gateserver.openclient(fd)
end

---Packages go to the watchdog from now on.
function commands.accept(_, fd)
	local connection = assert(connections[fd], "the gate has no such connection")
	connection.client, connection.agent = nil, nil
	gateserver.openclient(fd)
end

function commands.kick(_, fd)
	gateserver.closeclient(fd)
end

function handler.command(cmd, source, ...)
	local run = assert(commands[cmd], "the gate has no such command")
	return run(source, ...)
end

gateserver.start(handler)
