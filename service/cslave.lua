--- `.cslave` of a member of a cluster: speaks with the master, knows the global names, makes the connections to other nodes.
---
--- A connection to another node is only opened here; then its descriptor goes to the harbor service, which owns the link
--- from the first byte on, and tells when a life of a peer begins and ends.
local skynet = require "skynet"
local socket = require "skynet.socket"
local driver = require "skynet.socketdriver"
local global = require "skynet.harbor.name"
local settings = require "skynet.harbor.settings"
local upstream = require "skynet.harbor.upstream"
local wire = require "skynet.harbor.wire"
require "skynet.manager"

local id = settings.id()
local address = assert(skynet.getenv "address", "a member of a cluster needs address, where others reach it")

-- Accepted connections whose peer has not said who it is.
local STRANGERS_MAX = 64
local BACKLOG = 256
-- A try to connect may take so long, in centiseconds.
local CONNECT_TIME = 300
local RETRY_FIRST, RETRY_MAX = 20, 200

---@class Peer
---@field id integer
---@field address string? of those that the master told us to connect to
---@field rs boolean?
---@field incarnation string? of the life that is connected
---@field known boolean? it has connected, or is gone for good
---@field up boolean?
---@field gone boolean? the master says so
---@field connecting table? the try that is under way

local harbor_service		---@type integer
local hosting = skynet.getenv "standalone" ~= nil
local peers = {}			---@type table<integer, Peer>
local names = {}			---@type table<string, integer>
local own = {}				---@type table<string, integer> those registered on this node
local asking = {}			---@type table<string, function[]> who waits for a name
local links, connects = {}, {}	---@type table<integer, function[]>
local master_links = {}		---@type function[]
local strangers = 0
local missing				---@type { count: integer, token: table }? nodes that this one waits for when it starts

skynet.register_protocol {
	name = "harbor",
	id = skynet.PTYPE_HARBOR,
	pack = function(text) return text end,
	unpack = skynet.tostring,
}

local function tell(format, ...)
	skynet.send(harbor_service, "harbor", format:format(...))
end

---@param peer_id integer
---@return Peer
local function peer_of(peer_id)
	local peer = peers[peer_id]
	if not peer then
		peer = { id = peer_id }
		peers[peer_id] = peer
	end
	return peer
end

---Answers those who wait in a list, with nothing or with values.
local function answer(list, ...)
	for _, response in ipairs(list or {}) do
		response(true, ...)
	end
end

---A node has been seen, which a start may be waiting for.
local function note_known(peer)
	if not peer.known then
		peer.known = true
		if missing then
			missing.count = missing.count - 1
			if missing.count <= 0 then
				skynet.wakeup(missing.token)
			end
		end
	end
end

-- Names ---------------------------------------------------------------------------------------------------------------

---@param name string
---@param handle integer
local function learn(name, handle)
	names[name] = handle
	local waiting = asking[name]
	asking[name] = nil
	answer(waiting, handle)
	-- The harbor service takes the owner from the message's source.
	skynet.redirect(harbor_service, handle, "harbor", 0, "N " .. name)
end

---@param name string
local function forget(name)
	names[name] = nil
	own[name] = nil
	tell("G %s", name)
end

---A name of a service of this node belongs to another one.
---@param name string
local function give_up(name)
	own[name] = nil
	if name == "SERVICE" then
		-- Another node was appointed while this one was away from the master.
		hosting = false
	end
end

---@param is_lost fun(name: string, handle: integer): boolean?
local function forget_all(is_lost)
	for name, handle in pairs(names) do
		if is_lost(name, handle) then
			forget(name)
		end
	end
end

local function forget_names_of(peer_id)
	forget_all(function(_, handle)
		return global.node(handle) == peer_id
	end)
end

-- Connections to other nodes ------------------------------------------------------------------------------------------

---@param letter "S"|"A"
---@param fd integer
---@param peer Peer
local function hand_over(letter, fd, peer)
	-- What comes from now on waits in the network until the harbor service has the connection.
	driver.pause(fd)
	socket.abandon(fd)
	tell("%s %d %d%s", letter, fd, peer.id, peer.rs and " rs" or "")
	note_known(peer)
end

---@return integer? fd
---@return string? reason
local function open(peer)
	local fd, why = wire.open(peer.address, CONNECT_TIME)
	if fd then
		driver.nodelay(fd)
		-- Matched by log readers: keep the words.
		skynet.error(("Connect to harbor %d (fd=%d), %s"):format(peer.id, fd, peer.address))
	end
	return fd, why
end

---Connects to a node that the master has told us of, until it works or the node is gone.
---@param peer Peer
---@param incarnation string? of the life that the master tells of
local function connect(peer, incarnation)
	local try = { by_master = true }
	peer.connecting = try
	local pause = RETRY_FIRST
	while true do
		local fd, why = open(peer)
		if peer.connecting ~= try then
			-- The master has told something else meanwhile.
			if fd then
				socket.close(fd)
			end
			return
		elseif fd then
			peer.connecting = nil
			return hand_over("S", fd, peer)
		end
		if pause == RETRY_FIRST then
			-- Matched by log readers: keep the words.
			skynet.error(("Can't connect to %s: %s"):format(peer.address, why))
		end
		skynet.sleep(pause)
		if peer.connecting ~= try then
			return
		elseif peer.up and peer.incarnation == incarnation then
			-- It has connected to this node.
			peer.connecting = nil
			return
		end
		pause = math.min(pause * 2, RETRY_MAX)
	end
end

---The harbor service wants a connection once more. It does so also after a node that the master has lost: if the node lives, the
---link goes on, and if it does not, it refuses.
---@param peer Peer?
local function connect_again(peer, peer_id)
	if not peer or not peer.address then
		return tell("F %d failed", peer_id)
	elseif peer.connecting then
		return
	end
	local try = {}
	peer.connecting = try
	local fd, why = open(peer)
	if peer.connecting ~= try then
		if fd then
			socket.close(fd)
		end
		return
	end
	peer.connecting = nil
	if fd then
		hand_over("S", fd, peer)
	else
		tell("F %d %s", peer_id, why == "Connection refused" and "refused" or "failed")
	end
end

---Another node connects: its first byte says which.
local function accept(fd, from)
	-- Matched by log readers: keep the words.
	skynet.error(("New connection (fd = %d, %s)"):format(fd, from))
	if not socket.start(fd) then
		strangers = strangers - 1
		return
	end
	driver.nodelay(fd)
	local in_time = wire.limit(fd, settings.down_after())
	local byte = socket.read(fd, 1)
	strangers = strangers - 1
	in_time()
	local peer_id = byte and byte:byte()
	local peer = peers[peer_id]
	if not peer_id then
		skynet.error(("Connection (fd =%d) closed"):format(fd))
	elseif peer_id == 0 or peer_id == id then
		skynet.error(("Connection (fd =%d) from %s says that it is harbor %d"):format(fd, from, peer_id))
	elseif peer and not peer.rs and peer.up then
		-- Matched by log readers: keep the words.
		skynet.error(("Slave %d exist (fd =%d)"):format(peer_id, fd))
	else
		skynet.error(("Harbor %d connected (fd = %d)"):format(peer_id, fd))
		return hand_over("A", fd, peer_of(peer_id))
	end
	socket.close(fd)
end

-- What the master says ------------------------------------------------------------------------------------------------

local from_master = {}

---A node has joined, or is back: connect to it.
function from_master.C(peer_id, peer_address, extra)
	assert(math.type(peer_id) == "integer" and peer_id > 0 and peer_id < 256, "C needs an id")
	assert(type(peer_address) == "string" and peer_address ~= "", "C needs an address")
	extra = type(extra) == "table" and extra or {}
	if peer_id == id then
		return
	end
	local peer = peer_of(peer_id)
	local is_rs = extra.rs == 1
	peer.address, peer.gone, peer.rs = peer_address, nil, is_rs or nil
	if peer.up and is_rs and extra.i == peer.incarnation then
		-- It has only come back to the master.
		return tell("C %d", peer_id)
	end
	skynet.fork(connect, peer, is_rs and extra.i or nil)
end

---A node that was there before is at this address; it will connect to this one.
function from_master.I(peer_id, peer_address)
	assert(math.type(peer_id) == "integer" and peer_id > 0 and peer_id < 256, "I needs an id")
	assert(type(peer_address) == "string" and peer_address ~= "", "I needs an address")
	if peer_id ~= id then
		peer_of(peer_id).address = peer_address
	end
end

function from_master.N(name, handle)
	assert(type(name) == "string" and global.is_handle(handle), "N needs a name and a handle")
	if own[name] and own[name] ~= handle then
		skynet.error(("the global name %s of %s belongs to %s now"):format(
			name, skynet.address(own[name]), skynet.address(handle)))
		give_up(name)
	end
	learn(name, handle)
end

---A registration of ours is refused.
function from_master.X(name, handle, owner_address)
	assert(type(name) == "string" and global.is_handle(handle), "X needs a name and a handle")
	skynet.error(("the global name %s belongs to %s (harbor %d, %s)%s"):format(
		wire.shown(name), skynet.address(handle), global.node(handle), wire.shown(owner_address),
		own[name] and ": refused to " .. skynet.address(own[name]) or ""))
	give_up(name)
	learn(name, handle)
end

---The service that had a name has ended.
function from_master.U(name, handle)
	if type(name) == "string" and names[name] == handle then
		forget(name)
	end
end

---A node is gone.
function from_master.D(peer_id)
	assert(math.type(peer_id) == "integer", "D needs an id")
	if peer_id == id then
		return
	end
	local peer = peer_of(peer_id)
	peer.gone = true
	if peer.connecting and peer.connecting.by_master then
		peer.connecting = nil
	end
	note_known(peer)
	forget_names_of(peer_id)
	tell("X %d", peer_id)
end

---@type Upstream
local node = { id = id, master = skynet.getenv "master" }

function node.hosts()
	return hosting
end

local is_first = true

function node.joined(n, extra)
	if is_first then
		missing = { count = n, token = {} }
		hosting = hosting or extra.host == 1
		is_first = false
	else
		-- What the master did not hear of meanwhile may have changed; a node of skynet will not tell it again.
		forget_all(function(name, handle)
			local peer = peers[global.node(handle)]
			return not own[name] and (not peer or peer.rs or not peer.up)
		end)
	end
	if type(extra.peers) == "string" then
		for other = 1, 255 do
			local bits = extra.peers:byte(other // 8 + 1) or 0
			if other ~= id and bits >> other % 8 & 1 == 1 then
				peer_of(other).rs = true
			end
		end
	end
	for name, handle in pairs(own) do
		upstream.send("R", name, handle)
	end
	for name in pairs(asking) do
		upstream.send("Q", name)
	end
end

function node.heard(kind, ...)
	local run = from_master[kind]
	if run then
		run(...)
	else
		skynet.error("Invalid master message type " .. wire.shown(kind))
	end
end

function node.lost()
	local waiting = master_links
	master_links = {}
	answer(waiting)
end

-- What the harbor service says ----------------------------------------------------------------------------------------

local from_harbor = {}

function from_harbor.Q(_, name)
	if names[name] then
		skynet.redirect(harbor_service, names[name], "harbor", 0, "N " .. name)
	elseif name ~= "" then
		upstream.send("Q", name)
	end
end

---A life of a peer begins.
function from_harbor.U(_, text)
	local number, incarnation = text:match "^(%d+) ?(%x*)$"
	local peer = peer_of(assert(math.tointeger(number), "U needs an id"))
	peer.up = true
	peer.incarnation = incarnation ~= "" and incarnation or nil
	-- It may have found this node before the master told of it.
	peer.rs = peer.incarnation ~= nil or nil
	note_known(peer)
	local waiting = connects[peer.id]
	connects[peer.id] = nil
	answer(waiting)
end

---A life of a peer has ended.
function from_harbor.D(_, text)
	local peer = peer_of(assert(math.tointeger(text), "D needs an id"))
	peer.up, peer.incarnation = nil, nil
	note_known(peer)
	forget_names_of(peer.id)
	local waiting = links[peer.id]
	links[peer.id] = nil
	answer(waiting)
end

function from_harbor.R(_, text)
	local peer_id = assert(math.tointeger(text), "R needs an id")
	skynet.fork(connect_again, peers[peer_id], peer_id)
end

---A service of this node that had a name has ended.
function from_harbor.E(source, name)
	local handle = own[name]
	-- Another one may have the name by now.
	if handle and (source == handle or source == harbor_service) then
		forget(name)
		upstream.send_rs("U", name, handle)
	end
end

skynet.register_protocol {
	name = "text",
	id = skynet.PTYPE_TEXT,
	unpack = skynet.tostring,
	dispatch = function(_, source, text)
		local letter, rest = text:match "^(%a) (.*)$"
		local run = from_harbor[letter]
		if run then
			run(source, rest)
		else
			-- Matched by log readers: keep the words.
			skynet.error("Unknown command " .. wire.shown(text))
		end
	end,
}

-- What services ask ---------------------------------------------------------------------------------------------------

local command = {}

function command.REGISTER(name, handle)
	local refusal = global.refusal(name) or not global.is_handle(handle) and "REGISTER needs a handle"
	if refusal then
		error(refusal, 0)
	elseif names[name] then
		error(("the global name %s belongs to %s"):format(name, skynet.address(names[name])), 0)
	end
	skynet.ret()
	own[name] = handle
	upstream.send("R", name, handle)
	learn(name, handle)
end

---@param name string
---@param time integer? centiseconds
function command.QUERYNAME(name, time)
	if type(name) == "string" and name:byte() == 46 then	-- "."
		return skynet.retpack((skynet.localname(name)))
	end
	local refusal = global.refusal(name)
	if refusal then
		error(refusal, 0)
	elseif names[name] then
		return skynet.retpack(names[name])
	end
	local waiting = asking[name]
	if not waiting then
		waiting = {}
		asking[name] = waiting
		upstream.send("Q", name)
	end
	local response = skynet.response()
	table.insert(waiting, response)
	if time then
		skynet.timeout(time, function()
			for at, waits in ipairs(asking[name] or {}) do
				if waits == response then
					table.remove(asking[name], at)
					if #asking[name] == 0 then
						asking[name] = nil
					end
					return response(true, nil, "timeout")
				end
			end
		end)
	end
end

---@param lists table<integer, function[]>
---@param peer_id any
local function wait_in(lists, peer_id)
	lists[peer_id] = lists[peer_id] or {}
	table.insert(lists[peer_id], skynet.response())
end

local function is_up(peer_id)
	assert(math.type(peer_id) == "integer" and peer_id >= 0 and peer_id < 256, "the id of a node is from 0 to 255")
	return peers[peer_id] and peers[peer_id].up
end

---Answered when a node is not connected, or no longer.
function command.LINK(peer_id)
	if is_up(peer_id) then
		wait_in(links, peer_id)
	else
		skynet.ret()
	end
end

---Answered when a node is connected.
function command.CONNECT(peer_id)
	if is_up(peer_id) then
		skynet.ret()
	else
		wait_in(connects, peer_id)
	end
end

---Answered when the connection to the master is lost.
function command.LINKMASTER()
	if upstream.is_connected() then
		table.insert(master_links, skynet.response())
	else
		skynet.ret()
	end
end

---Whether DATACENTER and SERVICE have to live on this node.
function command.HOST()
	skynet.retpack(hosting)
end

---The other nodes by id: their addresses, and what the harbor service knows of the links to them.
function command.STAT()
	local message, size = skynet.rawcall(harbor_service, "harbor", "STAT")
	local stat = skynet.unpack(message, size)
	stat = type(stat) == "table" and stat or {}
	for peer_id, peer in pairs(peers) do
		local entry = stat[peer_id] or {}
		entry.address, entry.gone = peer.address, peer.gone
		stat[peer_id] = entry
	end
	skynet.retpack(stat)
end

-- Start ---------------------------------------------------------------------------------------------------------------

---Listens for as long as the node lives: a node that comes back may have to connect to this one.
local function listen()
	local listen_at = skynet.getenv "harbor_listen"
	local listener, host, port = socket.listen(listen_at or address, nil, BACKLOG)
	-- Whoever stands in front of this node has a port of its own, and so has to be told which one.
	if not listen_at and address:match ":0$" and port then
		address = (host:find(":", 1, true) and "[%s]:%d" or "%s:%d"):format(host, port)
	end
	node.address = address
	return listener
end

local function wait_for_others()
	local time = settings.join_timeout()
	skynet.error(("Waiting for %d harbors"):format(missing.count))
	if missing.count > 0 then
		skynet.sleep(time, missing.token)
		if missing.count > 0 then
			skynet.error(("%d harbors have not connected within %.1f s"):format(missing.count, time / 100))
		end
	end
	missing = nil
end

skynet.start(function()
	assert(id > 0, "cslave is for a node whose harbor is 1 to 255")
	if not node.master then
		local master = assert(skynet.localname ".cmaster", "a member of a cluster needs master, the address of the master")
		node.master = skynet.call(master, "lua", "ADDRESS")
	end
	local listener = listen()
	skynet.error("slave connect to master " .. node.master)
	upstream.start(node, function()
		harbor_service = assert(skynet.launch("harbor", id, skynet.self()), "the harbor service did not start")
	end)
	socket.start(listener, function(fd, from)
		if strangers >= STRANGERS_MAX then
			skynet.error(("Connection (fd =%d) from %s: %d others have not said who they are"):format(fd, from, strangers))
			return socket.close_fd(fd)
		end
		strangers = strangers + 1
		skynet.fork(accept, fd, from)
	end)
	wait_for_others()
	-- Matched by log readers: keep the words.
	skynet.error "Shakehand ready"
	skynet.dispatch("lua", function(_, _, name, ...)
		local run = command[name]
		if not run then
			error(("cslave: no command %s"):format(tostring(name)), 0)
		end
		run(...)
	end)
end)
