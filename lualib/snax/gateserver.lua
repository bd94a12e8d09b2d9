--- Gates: services that own client connections and cut what comes on them into packages, each behind its length in two
--- bytes, the high one first.
---
--- A gate is made of a handler; what it does with packages is the handler's. `handler.message` gets a block of memory
--- that it has to free (`netpack.tostring`) or to hand on (`skynet.redirect`).
local skynet = require "skynet"
local netpack = require "skynet.netpack"
local socketdriver = require "skynet.socketdriver"

local gateserver = {}

---@class gateserver.handler
---@field message fun(fd: integer, data: lightuserdata, size: integer) A package came; the block is the handler's.
---@field connect fun(fd: integer, address: string) A client has connected; nothing is read before `openclient`.
---@field disconnect? fun(fd: integer) A connection is closed, or its client has ended it: then it may still be written to.
---@field error? fun(fd: integer, reason: string) A connection has failed.
---@field warning? fun(fd: integer, kb: integer) So much waits to be written; 0 when it has been.
---@field open? fun(source: integer, conf: table): ... The gate listens; the results answer the command `open`.
---@field command? fun(cmd: string, source: integer, ...): ... Any other command of another service.
---@field embed? boolean The handler's script calls `skynet.start` itself.

---@class gateserver.conf
---@field address? string "0.0.0.0"
---@field port integer
---@field maxclient? integer 1024
---@field nodelay? boolean
---@field backlog? integer

local MAXCLIENT = 1024
-- A client that has ended its side may be waiting for what the handler still has to say. One that the handler does not
-- close is closed after so many centiseconds.
local HALF_CLOSED_MAX = 6000

local listener			-- the socket that accepts, if the gate is open
local retired = {}		-- by fd: earlier ones, whose close is still to be told
local opening			-- who waits for it to listen
local queue				-- netpack's: begun packages, and those that wait
local maxclient = MAXCLIENT
local nodelay = false
local clients = {}		-- by fd: whether its packages are delivered; nothing once it is closed from here
local counted = {}		-- by fd: those who count as clients
local client_count = 0

---Begins to read from a client.
---@param fd integer
function gateserver.openclient(fd)
	if clients[fd] ~= nil then
		clients[fd] = true
		socketdriver.start(fd)
	end
end

---Ends a connection: no package of it is delivered any more, and `disconnect` follows if it has not been called. Unknown
---ones are ignored.
---@param fd integer
function gateserver.closeclient(fd)
	if clients[fd] ~= nil then
		clients[fd] = nil
		socketdriver.close(fd)
	end
end

---A client has gone, or has failed, and goes then.
local function uncount(fd)
	if counted[fd] then
		counted[fd] = nil
		client_count = client_count - 1
	end
end

---Turns a service into a gate.
---@param handler gateserver.handler
function gateserver.start(handler)
	local on_message = assert(handler.message, "a gate's handler needs the function message")
	local on_connect = assert(handler.connect, "a gate's handler needs the function connect")

	local commands = {}

	---@param source integer
	---@param conf gateserver.conf
	function commands.open(source, conf)
		assert(not listener, "the gate is open already")
		local address = conf.address or "0.0.0.0"
		local port = assert(conf.port, "a gate needs a port")
		maxclient = conf.maxclient or MAXCLIENT
		nodelay = conf.nodelay
		-- Matched by log readers: keep the words.
		skynet.error(("Listen on %s:%d"):format(address, port))
		listener = socketdriver.listen(address, port, conf.backlog)
		-- The real port comes with an event.
		opening = { id = listener }
		skynet.wait(opening)
		conf.address, conf.port = opening.address, opening.port
		opening = nil
		socketdriver.start(listener)
		if handler.open then
			return handler.open(source, conf)
		end
	end

	---Takes no more clients; those that are there stay. The gate can be opened again at once.
	function commands.close()
		local former = assert(listener, "the gate is not open")
		listener = nil
		retired[former] = true
		socketdriver.close(former)
	end

	local events = {}

	local function deliver(fd, data, size)
		if clients[fd] then
			on_message(fd, data, size)
		else
			-- It was on its way when the connection was closed. Matched by log readers: keep the words.
			skynet.error(("Drop message from fd (%d) : %s"):format(fd, netpack.tostring(data, size)))
		end
	end

	---Delivers what waits in the queue. A handler that blocks does not hold up what follows: a fork goes on with that
	---when this coroutine is suspended, or finds nothing left.
	local function deliver_queue()
		local fd, data, size = netpack.pop(queue)
		if fd then
			skynet.fork(deliver_queue)
			repeat
				deliver(fd, data, size)
				fd, data, size = netpack.pop(queue)
			until not fd
		end
	end

	events.data = deliver
	events.more = deliver_queue

	function events.init(id, address, port)
		if opening and opening.id == id and not opening.port then
			opening.address, opening.port = address, port
			skynet.wakeup(opening)
		end
	end

	function events.open(fd, address)
		counted[fd] = true
		client_count = client_count + 1
		if client_count >= maxclient then
			socketdriver.shutdown(fd)
			return
		end
		clients[fd] = false
		if nodelay then
			socketdriver.nodelay(fd)
		end
		on_connect(fd, address)
	end

	function events.close(fd)
		if retired[fd] then
			retired[fd] = nil
			return
		end
		if fd == listener then
			listener = nil
			return
		end
		uncount(fd)
		if clients[fd] ~= nil then
			clients[fd] = false
			skynet.timeout(HALF_CLOSED_MAX, function()
				gateserver.closeclient(fd)
			end)
		end
		if handler.disconnect then
			handler.disconnect(fd)
		end
	end

	function events.error(fd, reason)
		if fd == listener or retired[fd] then
			skynet.error("gateserver accept error:", reason)
			return
		end
		clients[fd] = nil
		uncount(fd)
		socketdriver.shutdown(fd)
		if handler.error then
			handler.error(fd, reason)
		end
	end

	function events.warning(fd, kb)
		if handler.warning then
			handler.warning(fd, kb)
		end
	end

	skynet.register_protocol {
		name = "socket",
		id = skynet.PTYPE_SOCKET,
		unpack = function(msg, sz)
			return netpack.filter(queue, msg, sz)
		end,
		dispatch = function(_, _, its_queue, event, ...)
			queue = its_queue
			if event then
				events[event](...)
			end
		end,
	}

	local function init()
		skynet.dispatch("lua", function(_, source, cmd, ...)
			local run = commands[cmd]
			if run then
				skynet.retpack(run(source, ...))
			else
				skynet.retpack(handler.command(cmd, source, ...))
			end
		end)
	end

	if handler.embed then
		init()
	else
		skynet.start(init)
	end
end

return gateserver
