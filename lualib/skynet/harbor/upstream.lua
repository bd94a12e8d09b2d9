--- The connection of a node to its master: made when the node starts, and made again whenever it is lost.
local skynet = require "skynet"
local socket = require "skynet.socket"
local core = require "skynet.harbor.core"
local settings = require "skynet.harbor.settings"
local wire = require "skynet.harbor.wire"

local M = {}

-- Seconds and the like in centiseconds.
local CONNECT_TIME = 500
local BACKOFF_FIRST, BACKOFF_MAX = 10, 100
-- A master that closes the connection without a word may have been killed just then. One of skynet refuses an id so, and
-- that is believed after this time.
local SILENT_REFUSAL_TIME = 300
-- Of so many tries to reach the master, one is told to the log.
local LOG_EACH = 10

---@class Upstream
---@field id integer of this node
---@field address string at which this node listens
---@field master string
---@field hosts fun(): boolean whether DATACENTER and SERVICE live here
---@field joined fun(n: integer, extra: table) first thing that the master says, also after it was lost
---@field heard fun(kind: any, ...) everything else
---@field lost fun()

local node				---@type Upstream
local fd				---@type integer? while the connection serves
local reader			---@type Reader
local speaks_rs = false
-- What a node hosts is decided when it starts: then it tells the master that it cannot be appointed any more.
local was_joined = false
local seen = 0
local secret = settings.secret()

---@param ... any
---@return boolean sent false: there is no connection
function M.send(...)
	return fd ~= nil and socket.write(fd, wire.pack(...)) ~= false
end

---The same for what only skynet-rs understands.
---@param ... any
---@return boolean
function M.send_rs(...)
	return speaks_rs and M.send(...)
end

---@return boolean
function M.is_connected()
	return fd ~= nil
end

-- Matched by programs: keep the first three words.
local FAILED = "slave shakehand failed: "
local CLOSED = FAILED .. "the master closed the connection"
local LATE = FAILED .. "no answer in time"

local function refuse(why)
	error(FAILED .. why, 0)
end

---Shows the master that this node knows the secret, once the master has shown that it does.
local function prove(new, ours, theirs, proof)
	if not secret then
		refuse "the master has a harbor_secret, and none is set here"
	elseif not wire.is_nonce(theirs) or not wire.is_proof(proof, wire.proof(secret, "master", node.id, ours, theirs)) then
		refuse "the master does not know harbor_secret"
	end
	socket.write(new, wire.pack("A", wire.proof(secret, "slave", node.id, theirs, ours)))
end

---Says who we are, and hears how many nodes there are.
---@return integer n
---@return table extra
local function handshake(new, reader)
	local nonce = core.nonce()
	local extra = { rs = 1, i = core.incarnation(), n = nonce, host = node.hosts() and 1 or was_joined and 0 or nil }
	socket.write(new, wire.pack_with(extra, "H", node.id, node.address))
	local is_proven = not secret
	while true do
		local ok, kind, first, second = pcall(wire.read, reader)
		if not ok then
			local why = wire.reason(kind)
			if why == "closed" then
				error(CLOSED, 0)
			end
			refuse(why)
		elseif kind == "E" then
			refuse("the master says: " .. wire.shown(first))
		elseif kind == "A" then
			prove(new, nonce, first, second)
			is_proven = true
		elseif kind ~= "W" or math.type(first) ~= "integer" then
			refuse("the master says " .. wire.shown(kind))
		elseif not is_proven then
			refuse "harbor_secret is set here, and the master does not take part in it"
		else
			return first, type(second) == "table" and second or {}
		end
	end
end

---Joins over a new connection; closes it if that fails.
---@param new integer
---@param time integer centiseconds
local function join(new, time)
	wire.tune(new, function()
		socket.shutdown(new)
	end)
	local in_time = wire.limit(new, time)
	local new_reader = wire.reader(new)
	local ok, n, extra = pcall(handshake, new, new_reader)
	if not in_time() then
		ok, n = false, LATE
	end
	if not ok then
		wire.close(new)
		error(n, 0)
	end
	fd, reader, speaks_rs, seen = new, new_reader, extra.rs == 1, skynet.now()
	was_joined = true
	node.joined(n, extra)
end

---Hears the master until the connection ends.
local function serve()
	local mine = fd
	local ok, failure
	repeat
		ok, failure = pcall(function()
			local function hear(kind, ...)
				seen = skynet.now()
				if kind == "P" and speaks_rs then
					if ... == 1 then
						M.send "P"
					end
				else
					node.heard(kind, ...)
				end
			end
			hear(wire.read(reader))
		end)
	until not ok
	fd, speaks_rs = nil, false
	local reason = wire.reason(failure)
	if reason ~= "closed" then
		skynet.error(("the connection to the master is given up: %s"):format(wire.shown(reason)))
	end
	-- Matched by log readers: keep the words.
	skynet.error "Master disconnect"
	node.lost()
	socket.shutdown(mine)
	socket.close(mine)
end

---Tries to reach the master until it works or the time is over. Yields.
---@param give_up? integer time
---@return integer? fd
---@return string? reason
local function reach(give_up)
	local pause, tries = BACKOFF_FIRST, 0
	while true do
		local new, why = wire.open(node.master, CONNECT_TIME)
		if new then
			return new
		end
		tries = tries + 1
		if give_up and skynet.now() >= give_up then
			return nil, why
		end
		if tries % LOG_EACH == 1 then
			skynet.error(("the master at %s cannot be reached: %s; trying again"):format(node.master, why))
		end
		-- Not all nodes at the same moment, when the master is back.
		skynet.sleep(pause // 2 + math.random(0, pause // 2))
		pause = math.min(pause * 2, BACKOFF_MAX)
	end
end

local function come_back()
	local refusals = 0
	while true do
		local ok, failure = pcall(join, reach(), CONNECT_TIME)
		if ok then
			skynet.error(("Master %s is back"):format(node.master))
			return
		end
		if refusals % LOG_EACH == 0 then
			skynet.error(("the master at %s does not take this node back: %s"):format(node.master, tostring(failure)))
		end
		refusals = refusals + 1
		skynet.sleep(BACKOFF_MAX)
	end
end

local function watch()
	local interval, down_after = settings.ping_interval(), settings.down_after()
	local last = skynet.now()
	while true do
		skynet.sleep(interval)
		local now = skynet.now()
		if now - last > 3 * interval then
			-- This process was stopped: that nothing was heard is its own fault.
			seen = now
		end
		last = now
		if speaks_rs and fd then
			if now - seen >= down_after then
				skynet.error(("the master is silent for %.1f s"):format((now - seen) / 100))
				socket.shutdown(fd)
			else
				M.send "P"
			end
		end
	end
end

---Connects and joins; an error if the master cannot be reached in time, or does not want us. Yields.
---@param options Upstream
---@param ready fun() between connecting and joining
function M.start(options, ready)
	node = options
	local give_up = skynet.now() + settings.join_timeout()
	local closed_until, is_ready
	while true do
		local new, why = reach(give_up)
		if not new then
			-- Matched by programs: keep the first words.
			error(("Can't connect to master %s: %s"):format(node.master, why), 0)
		end
		if not is_ready then
			ready()
			is_ready = true
		end
		local ok, failure = pcall(join, new, math.max(settings.down_after(), CONNECT_TIME))
		if ok then
			break
		end
		local now = skynet.now()
		local wait_until = failure == LATE and give_up or now
		if failure == CLOSED then
			closed_until = closed_until or math.min(now + SILENT_REFUSAL_TIME, give_up)
			wait_until = closed_until
		end
		if now >= wait_until then
			error(failure, 0)
		end
		skynet.error(failure .. "; trying again")
		skynet.sleep(BACKOFF_FIRST + math.random(0, BACKOFF_FIRST))
	end
	skynet.fork(function()
		while true do
			serve()
			come_back()
		end
	end)
	skynet.fork(watch)
end

return M
