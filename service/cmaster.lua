--- The master of a cluster: tells its nodes of each other, and keeps the global names.
---
--- Each node's `cslave` holds one connection to it. What it speaks is skynet's protocol; nodes of skynet-rs say so in a
--- table behind the values of `H`, and only they get the packages that skynet does not know (`A`, `E`, `P`, `U`, `X`).
local skynet = require "skynet"
local socket = require "skynet.socket"
local core = require "skynet.harbor.core"
local global = require "skynet.harbor.name"
local settings = require "skynet.harbor.settings"
local wire = require "skynet.harbor.wire"

local address = assert(skynet.getenv "standalone", "cmaster needs standalone, the address to listen on")
local secret = settings.secret()
local down_after = settings.down_after()
local ping_interval = settings.ping_interval()
-- A master that is no member has DATACENTER and SERVICE live on one of the members.
local appoints = settings.id() == 0

-- Connections that have not said who they are.
local STRANGERS_MAX = 256
local BACKLOG = 256
local NAMES_MAX = 1 << 18
local ADDRESS_LEN_MAX = 128
-- For so long a node that holds an id may take to show that it lives, in centiseconds.
local PROBE_TIME = 100
-- A restarted master, and one that has lost the host, waits for it until it appoints another one: it may have lost only
-- the connection. Nodes try to come back each second.
local APPOINT_AFTER = 150

-- So long a newcomer waits while its id is being registered for another connection.
local JOIN_TIME = 2 * (PROBE_TIME + APPOINT_AFTER)

---@class Slave
---@field id integer
---@field fd integer? nil: it is gone
---@field reader Reader
---@field address string
---@field rs boolean
---@field incarnation string?
---@field host boolean?
---@field can_host boolean? it starts, and may be appointed
---@field heard integer packages
---@field seen integer when the last one came
---@field nonce any
---@field met table<integer, true>? ids that a node of skynet knows: it connects to each only once in its life

local slaves = {}		---@type table<integer, Slave>
local joining = {}		---@type table<integer, true>
local names = {}		---@type table<string, integer>
local name_count = 0
local strangers = 0
-- When a host was last here, and which node it was; a restarted master does not know.
local host_seen = { at = skynet.now() }	---@type { at: integer, id: integer? }

---@param slave Slave?
---@return boolean?
local function is_live(slave)
	return slave and slave.fd ~= nil
end

local function send(slave, package)
	socket.write(slave.fd, package)
end

---@param package string
---@param rs_only boolean?
local function broadcast(package, rs_only)
	for _, slave in pairs(slaves) do
		if is_live(slave) and (slave.rs or not rs_only) then
			send(slave, package)
		end
	end
end

---@param name string
---@param handle integer?
local function set_name(name, handle)
	name_count = name_count + (handle and 1 or 0) - (names[name] and 1 or 0)
	names[name] = handle
end

---The connection of a slave is gone, and with it the node as far as the master knows.
---@param slave Slave
---@param why string?
local function lose(slave, why)
	local fd = slave.fd
	if not fd or slaves[slave.id] ~= slave then
		return
	end
	slave.fd = nil
	socket.shutdown(fd)
	if slave.host then
		host_seen = { at = skynet.now(), id = slave.id }
	end
	if why then
		skynet.error(("slave %d (fd = %d, %s): %s"):format(slave.id, fd, slave.address, why))
	end
	-- Matched by log readers: keep the words.
	skynet.error(("slave %d is down"):format(slave.id))
	for name, handle in pairs(names) do
		if global.node(handle) == slave.id then
			set_name(name, nil)
		end
	end
	broadcast(wire.pack("D", slave.id))
end

-- What slaves say -----------------------------------------------------------------------------------------------------

local function owner_text(handle)
	local owner = slaves[global.node(handle)]
	return ("%s (harbor %d, %s)"):format(skynet.address(handle), global.node(handle), owner and owner.address or "unknown")
end

local from_slave = {}

function from_slave.R(slave, name, handle)
	assert(type(name) == "string", "R needs a name")
	assert(global.is_handle(handle), "R needs a handle")
	local refusal = global.refusal(name)
	if refusal or not names[name] and name_count >= NAMES_MAX then
		refusal = refusal or ("there are %d names already"):format(name_count)
		return skynet.error(("slave %d cannot register %s: %s"):format(slave.id, wire.shown(name), wire.shown(refusal)))
	end
	local owner = names[name]
	-- A node is the authority for the names of its own services.
	local is_its_own = owner and global.node(owner) == slave.id and global.node(handle) == slave.id
	if owner and owner ~= handle and not is_its_own and is_live(slaves[global.node(owner)]) then
		skynet.error(("the global name %s belongs to %s: refused to %s"):format(name, owner_text(owner), owner_text(handle)))
		if name == "SERVICE" then
			-- Another one was appointed while it was away.
			slave.host = false
		end
		if slave.rs then
			send(slave, wire.pack("X", name, owner, slaves[global.node(owner)].address))
		else
			send(slave, wire.pack("N", name, owner))
		end
		return
	end
	set_name(name, handle)
	broadcast(wire.pack("N", name, handle))
end

function from_slave.Q(slave, name)
	assert(type(name) == "string", "Q needs a name")
	local handle = names[name]
	if handle then
		send(slave, wire.pack("N", name, handle))
	end
end

---The service behind a name has ended.
function from_slave.U(slave, name, handle)
	assert(type(name) == "string" and global.is_handle(handle), "U needs a name and a handle")
	if names[name] == handle and global.node(handle) == slave.id then
		set_name(name, nil)
		broadcast(wire.pack("U", name, handle), true)
	end
end

---It lives, and asks for a sign in return if the second value is 1.
function from_slave.P(slave, wants_answer)
	if wants_answer == 1 and slave.rs then
		send(slave, wire.pack "P")
	end
end

---@param slave Slave
local function dispatch(slave, kind, ...)
	slave.heard = slave.heard + 1
	slave.seen = skynet.now()
	local run = from_slave[kind]
	if run then
		run(slave, ...)
	else
		-- Matched by log readers: keep the words.
		skynet.error("Invalid slave message type " .. wire.shown(kind))
	end
end

---Reads what a slave says until its connection ends.
---@param slave Slave
local function serve(slave)
	local fd, reader = slave.fd, slave.reader
	local ok, failure
	repeat
		ok, failure = pcall(function()
			dispatch(slave, wire.read(reader))
		end)
	until not ok or slave.fd ~= fd
	local reason = not ok and wire.reason(failure)
	lose(slave, reason and reason ~= "closed" and reason or nil)
	socket.close(fd)
end

-- Who wants to join ---------------------------------------------------------------------------------------------------

---Whether the node that has an id shows that it lives. Of a node of skynet only the connection can tell. Yields.
---@param holder Slave
---@return boolean
local function shows_life(holder)
	if not holder.rs then
		return is_live(holder)
	end
	local heard = holder.heard
	local give_up = skynet.now() + PROBE_TIME
	send(holder, wire.pack("P", 1))
	repeat
		skynet.sleep(2)
		if not is_live(holder) then
			return false
		elseif holder.heard ~= heard then
			return true
		end
	until skynet.now() >= give_up
	return false
end

---@return boolean
local function has_host()
	for _, slave in pairs(slaves) do
		if is_live(slave) and slave.host then
			return true
		end
	end
	return false
end

---Whether the host of before may still come back, before a node that starts is appointed.
---@param id integer of that node: where it was the host, the host is gone
---@return boolean
local function is_host_due(id)
	return host_seen.id ~= id and skynet.now() < host_seen.at + APPOINT_AFTER
end

---Both sides show that they know the secret. Yields.
---@param slave Slave
local function prove(slave)
	local id, theirs, fd = slave.id, slave.nonce, slave.reader.fd
	if not wire.is_nonce(theirs) then
		error(("harbor_secret is set here, and slave %d does not take part in it"):format(id), 0)
	end
	local ours = core.nonce()
	socket.write(fd, wire.pack("A", ours, wire.proof(secret, "master", id, theirs, ours)))
	local ok, kind, proof = pcall(wire.read, slave.reader)
	if not ok or kind ~= "A" or not wire.is_proof(proof, wire.proof(secret, "slave", id, ours, theirs)) then
		error(("slave %d does not know harbor_secret"):format(id), 0)
	end
end

---Takes an id for a newcomer, unless somebody else has it. Yields.
---@param newcomer Slave
local function take_id(newcomer)
	local id = newcomer.id
	local holder = slaves[id]
	if not is_live(holder) then
		return
	end
	local is_same = newcomer.rs and holder.rs and newcomer.incarnation == holder.incarnation
	if is_same then
		-- It noticed a broken connection before the master did.
		local fd = holder.fd
		holder.fd = nil
		socket.shutdown(fd)
	elseif shows_life(holder) then
		-- Matched by programs: keep the words.
		error(("Slave %d already register on %s"):format(id, holder.address), 0)
	else
		lose(holder, "it does not answer, and its id is wanted")
	end
end

---Tells the others of a newcomer, and the newcomer how many will connect to it. Does not yield.
---@param newcomer Slave
---@param appointed boolean
local function introduce(newcomer, appointed)
	local id, told, peers = newcomer.id, 0, {}
	local plain = wire.pack("C", id, newcomer.address)
	local extended = newcomer.rs and wire.pack_with({ rs = 1, i = newcomer.incarnation }, "C", id, newcomer.address)
	for at = 0, 31 do
		peers[at] = 0
	end
	newcomer.met = {}
	for other_id, other in pairs(slaves) do
		if is_live(other) and other_id ~= id then
			newcomer.met[other_id] = true
			if other.rs then
				peers[other_id // 8] = peers[other_id // 8] | 1 << other_id % 8
			end
			send(other, other.rs and extended or plain)
			if other.rs or not other.met[id] then
				told = told + 1
			end
			other.met[id] = true
		end
	end
	if newcomer.rs then
		local extra = { rs = 1, peers = string.char(table.unpack(peers, 0, 31)), host = appointed and 1 or nil }
		send(newcomer, wire.pack_with(extra, "W", told))
		for other_id in pairs(newcomer.met) do
			send(newcomer, wire.pack("I", other_id, slaves[other_id].address))
		end
	else
		send(newcomer, wire.pack("W", told))
	end
end

---@return Slave
local function read_hello(fd)
	local reader = wire.reader(fd)
	local kind, id, slave_address, extra = wire.read(reader)
	-- Matched by log readers: keep the words.
	assert(kind == "H", "Invalid handshake type " .. wire.shown(kind))
	assert(math.type(id) == "integer" and id > 0 and id < 256, "Invalid slave id " .. wire.shown(id))
	if type(slave_address) ~= "string" or slave_address == "" or #slave_address > ADDRESS_LEN_MAX then
		error("Invalid slave address " .. wire.shown(slave_address), 0)
	end
	extra = type(extra) == "table" and extra or {}
	local rs = extra.rs == 1 and type(extra.i) == "string"
	return {
		id = id,
		reader = reader,
		address = slave_address,
		rs = rs,
		incarnation = rs and extra.i:sub(1, 16) or nil,
		host = rs and extra.host == 1,
		can_host = rs and extra.host == nil,
		nonce = extra.n,
		heard = 0,
		seen = skynet.now(),
	}
end

---From the first byte of a connection until it is a slave's. Yields.
---@param fd integer
---@param answer { rs: boolean?, joining: integer? } what is to be undone, and whether a refusal is understood
---@return Slave
local function handshake(fd, answer)
	local in_time = wire.limit(fd, down_after)
	local ok, slave = pcall(read_hello, fd)
	answer.rs = ok and slave.rs
	local failure = slave
	if ok and secret then
		ok, failure = pcall(prove, slave)
	end
	assert(in_time(), "no handshake in time")
	if not ok then
		error(failure, 0)
	end
	local id = slave.id
	-- A node that is killed while it joins, and started again, must not be refused because of its former life.
	local give_up = skynet.now() + JOIN_TIME
	while joining[id] do
		if skynet.now() >= give_up then
			error(("Slave %d is being registered for another connection"):format(id), 0)
		end
		skynet.sleep(2)
	end
	joining[id] = true
	answer.joining = id
	while appoints and slave.can_host and not has_host() and is_host_due(id) do
		skynet.sleep(2)
	end
	take_id(slave)
	assert(not socket.disconnected(fd), "closed")
	local appointed = appoints and slave.can_host and not has_host()
	slave.host = slave.host or appointed
	slave.fd = fd
	slave.seen = skynet.now()
	slaves[id] = slave
	-- Matched by log readers: keep the words.
	skynet.error(("Harbor %d (fd=%d) report %s"):format(id, fd, wire.shown(slave.address)))
	introduce(slave, appointed)
	return slave
end

---@param fd integer
local function serve_connection(fd)
	local answer = {}
	local ok, slave = false, "closed"
	if socket.start(fd) then
		wire.tune(fd, function()
			socket.shutdown(fd)
			if ok then
				lose(slave, "it takes nothing in")
			end
		end)
		ok, slave = pcall(handshake, fd, answer)
	end
	strangers = strangers - 1
	if answer.joining then
		joining[answer.joining] = nil
	end
	if ok then
		return serve(slave)
	end
	local failure = wire.reason(slave)
	-- Matched by log readers: keep the words.
	skynet.error(("disconnect fd = %d, error = %s"):format(fd, failure))
	if answer.rs then
		socket.write(fd, wire.pack("E", failure:sub(1, 200)))
	end
	wire.close(fd)
end

-- Who is silent -------------------------------------------------------------------------------------------------------

local function watch()
	local last = skynet.now()
	while true do
		skynet.sleep(ping_interval)
		local now = skynet.now()
		-- A process that was stopped itself has heard nobody meanwhile, and it is not their fault.
		local slept = now - last > 3 * ping_interval
		last = now
		for _, slave in pairs(slaves) do
			if is_live(slave) and slave.rs then
				if slept then
					slave.seen = now
				elseif now - slave.seen >= down_after then
					lose(slave, ("silent for %.1f s"):format((now - slave.seen) / 100))
					goto continue
				end
				send(slave, wire.pack "P")
			end
			::continue::
		end
	end
end

local command = {}

---@return string address at which this master listens
function command.ADDRESS()
	return address
end

---@return table<integer, table> nodes by id
function command.STAT()
	local stat = {}
	for id, slave in pairs(slaves) do
		stat[id] = { address = slave.address, connected = is_live(slave), rs = slave.rs, host = slave.host or nil }
	end
	return stat
end

skynet.start(function()
	local listener, host, port = socket.listen(address, nil, BACKLOG)
	if address:match ":0$" and port then
		address = (host:find(":", 1, true) and "[%s]:%d" or "%s:%d"):format(host, port)
	end
	-- Matched by log readers: keep the words.
	skynet.error("master listen socket " .. address)
	socket.start(listener, function(fd, from)
		skynet.error(("connect from %s %d"):format(from, fd))
		if strangers >= STRANGERS_MAX then
			skynet.error(("disconnect fd = %d, error = %d others have not said who they are"):format(fd, strangers))
			return socket.close_fd(fd)
		end
		strangers = strangers + 1
		skynet.fork(serve_connection, fd)
	end)
	skynet.fork(watch)
	skynet.dispatch("lua", function(_, _, name, ...)
		local run = command[name]
		if not run then
			error(("cmaster: no command %s"):format(tostring(name)), 0)
		end
		skynet.retpack(run(...))
	end)
end)
