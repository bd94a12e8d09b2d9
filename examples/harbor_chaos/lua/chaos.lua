--- One member of the cluster under test: numbers what it sends to each other member, and checks the numbers of what comes.
---
--- What it sees goes to the standard output as lines `CHAOS <what> ...`, which the harness reads (oracle.rs). A line is
--- written at once, past the log service, since this process may be killed at any moment.
---
--- There are two streams to each other member. "h" goes to the handle of one life of it, and is numbered anew for the next;
--- "n" goes to its global name, and so to whatever life of it has the name.
local skynet = require "skynet"
local harbor = require "skynet.harbor"
local core = require "skynet.harbor.core"
require "skynet.manager"		-- for skynet.register

local me = skynet.harbor(skynet.self())
local life = core.incarnation()
local member_count = assert(tonumber(skynet.getenv "chaos_members"))
-- A call to a handle, and one to a name, has to end within so many centiseconds.
local HANDLE_LIMIT = assert(tonumber(skynet.getenv "chaos_handle_limit"))
local NAME_LIMIT = assert(tonumber(skynet.getenv "chaos_name_limit"))

local STAT_INTERVAL = 20
local CALLERS = 3
local NOISE_LEN = 1 << 19

---@class Target one life of another member
---@field handle integer
---@field life string
---@field seq integer
---@field suspect boolean? a call to it failed

---@class Stream what comes from one life of another member
---@field last integer
---@field at number when that came
---@field gaps integer[][]

---@class Peer
---@field id integer
---@field name string
---@field target Target?
---@field named integer number of the last message to the name
---@field current string? life that was heard last
---@field retired table<string, true> lives that were followed by another one
---@field sent integer
---@field got integer
---@field ok integer
---@field failed integer
---@field last_ok number when the last call to the handle that had an answer began
---@field named_ok number the same for the name
---@field resumed integer

local peers = {}	---@type table<integer, Peer>
local streams = {}	---@type table<string, Stream>
local open = {}		---@type table<table, true> calls without an end
-- Calls that ended with an error, by what their answers would have been, and how many of each.
local failed = {}	---@type table<string, integer>

local function report(...)
	io.stdout:write("CHAOS ", table.concat({ ... }, " "), "\n")
	io.stdout:flush()
end

local function stamp(time)
	return ("%.2f"):format(time)
end

-- Contents ------------------------------------------------------------------------------------------------------------

-- The same bytes on all nodes, which no compression makes smaller.
local noise do
	local state, parts = 0x2545f4914f6cdd1d, {}
	for at = 1, NOISE_LEN // 8 do
		state = state ~ state << 13
		state = state ~ state >> 7
		state = state ~ state << 17
		parts[at] = string.pack("<i8", state)
	end
	noise = table.concat(parts)
end

---What message number `seq` has in it, if it has so many bytes.
---@param seq integer
---@param size integer
---@return string
local function content(seq, size)
	if seq % 2 == 0 then
		return ("%08x"):format(seq):rep(size // 8 + 1):sub(1, size)
	end
	local offset = seq * 7919 % (NOISE_LEN - size)
	return noise:sub(offset + 1, offset + size)
end

---Mostly short, now and then one that goes in fragments.
---@return integer
local function random_size()
	local dice = math.random(100)
	if dice <= 92 then
		return math.random(0, 300)
	elseif dice <= 98 then
		return math.random(300, 40000)
	end
	return math.random(60000, 400000)
end

-- What comes ----------------------------------------------------------------------------------------------------------

---Lives of a member follow each other: nothing of one comes behind something of the next.
---@param peer Peer
---@param its_life string
local function note_life(peer, its_life)
	if peer.retired[its_life] then
		report("ghost", peer.id, its_life, stamp(skynet.time()))
	elseif peer.current ~= its_life then
		if peer.current then
			peer.retired[peer.current] = true
		end
		peer.current = its_life
	end
end

local function stream_of(peer, its_life, kind)
	local key = ("%d %s %s"):format(peer.id, its_life, kind)
	local stream = streams[key]
	if not stream and kind == "h" then
		stream = { last = 0, at = skynet.time(), gaps = {} }
		streams[key] = stream
	end
	return stream, key
end

---@param peer Peer
---@param its_life string
---@param kind "h"|"n"
---@param seq integer
local function check_number(peer, its_life, kind, seq)
	local now = skynet.time()
	local stream, key = stream_of(peer, its_life, kind)
	if not stream then
		-- Those before it went to a former life of this node.
		streams[key] = { last = seq, at = now, gaps = {} }
		return
	elseif seq <= stream.last then
		local what = "twice"
		for _, gap in ipairs(stream.gaps) do
			if seq >= gap[1] and seq <= gap[2] then
				what = "disorder"
			end
		end
		return report(what, key, seq, stream.last, stamp(now))
	elseif seq > stream.last + 1 then
		table.insert(stream.gaps, { stream.last + 1, seq - 1 })
		report("gap", key, stream.last + 1, seq - 1, stamp(stream.at), stamp(now))
	end
	stream.last, stream.at = seq, now
end

local command = {}

---A life of another member asks for ours, before it sends numbers.
function command.hello(from, its_life)
	note_life(peers[from], its_life)
	stream_of(peers[from], its_life, "h")
	return life, "hello"
end

---@param from integer
---@param its_life string
---@param my_life string? for which it is meant
---@param kind "h"|"n"
---@param seq integer
---@param size integer
---@param bytes string
---@param pause integer? centiseconds until the answer
function command.take(from, its_life, my_life, kind, seq, size, bytes, pause)
	local peer = peers[from]
	if my_life and my_life ~= life then
		report("wrong_life", from, its_life, my_life, seq, stamp(skynet.time()))
	else
		note_life(peer, its_life)
		check_number(peer, its_life, kind, seq)
	end
	if bytes ~= content(seq, size) then
		report("content", from, its_life, kind, seq, size, #bytes)
	end
	peer.got = peer.got + 1
	if pause and pause > 0 then
		skynet.sleep(pause)
	end
	return ("%s %d %s"):format(life, seq, kind)
end

-- What goes -----------------------------------------------------------------------------------------------------------

---@param limit integer
---@param wanted string? the answer, where it is known
---@return boolean ok
---@return any answer or the error
---@return number started
local function timed_call(limit, wanted, address, ...)
	local call = { started = skynet.now(), limit = limit, address = address }
	open[call] = true
	local started = skynet.time()
	local ok, answer = pcall(skynet.call, address, "lua", ...)
	open[call] = nil
	if not ok and wanted then
		failed[wanted] = (failed[wanted] or 0) + 1
	end
	return ok, answer, started
end

---An answer that nobody waits for. One may come behind an error: where a one-way message is lost, its sender is told that
---the receiver is gone, and with it all calls to it fail, also one that is on its way on a link that is up again.
local function late_answer(_, _, message, size)
	local answer, hello = skynet.unpack(message, size)
	if hello then
		return
	end
	local count = failed[answer]
	if not count then
		return report("answered_twice", tostring(answer), stamp(skynet.time()))
	end
	failed[answer] = count > 1 and count - 1 or nil
end

local function next_to_handle(target)
	target.seq = target.seq + 1
	local size = random_size()
	return "take", me, life, target.life, "h", target.seq, size, content(target.seq, size)
end

local function next_to_name(peer)
	peer.named = peer.named + 1
	local size = random_size() // 8
	return "take", me, life, nil, "n", peer.named, size, content(peer.named, size)
end

---@param peer Peer
local function send_on(peer)
	while true do
		skynet.sleep(math.random(1, 2))
		for _ = 1, peer.target and math.random(4) or 0 do
			skynet.send(peer.target.handle, "lua", next_to_handle(peer.target))
			peer.sent = peer.sent + 1
		end
		skynet.send(peer.name, "lua", next_to_name(peer))
		peer.sent = peer.sent + 1
	end
end

---@param peer Peer
local function call_on(peer)
	while true do
		local target = peer.target
		if target then
			local values = table.pack(next_to_handle(target))
			values[values.n + 1] = math.random(0, 3) * math.random(0, 12)
			local wanted = ("%s %d h"):format(target.life, target.seq)
			local ok, answer, started = timed_call(HANDLE_LIMIT, wanted, target.handle, table.unpack(values))
			if not ok then
				peer.failed = peer.failed + 1
				target.suspect = true
				skynet.sleep(5)
			else
				if answer ~= wanted then
					report("answer", peer.id, wanted, "and not", tostring(answer))
				end
				peer.ok = peer.ok + 1
				peer.last_ok = math.max(peer.last_ok, started)
			end
		end
		skynet.sleep(math.random(1, 3))
	end
end

---@param peer Peer
local function call_name_on(peer)
	while true do
		local values = table.pack(next_to_name(peer))
		local wanted = (" %d n"):format(peer.named)
		local ok, answer, started = timed_call(NAME_LIMIT, peer.target and peer.target.life .. wanted, peer.name,
			table.unpack(values, 1, values.n))
		if not ok then
			peer.failed = peer.failed + 1
		else
			-- Whichever life it was that had the name.
			if answer:sub(-#wanted) ~= wanted then
				report("answer", peer.id, wanted, "and not", tostring(answer))
			end
			peer.ok = peer.ok + 1
			peer.named_ok = math.max(peer.named_ok, started)
		end
		skynet.sleep(10)
	end
end

---Finds the life of another member that is there now, at the start and whenever a call failed.
---@param peer Peer
local function find(peer)
	while true do
		local target = peer.target
		if target and not target.suspect then
			skynet.sleep(5)
			goto continue
		end
		harbor.connect(peer.id)
		local handle = harbor.queryname(peer.name, 100)
		local ok, its_life = false, nil
		if handle then
			ok, its_life = timed_call(HANDLE_LIMIT, nil, handle, "hello", me, life)
		end
		if not ok then
			skynet.sleep(10)
		elseif target and target.life == its_life then
			target.suspect = nil
			if target.handle ~= handle then
				report("answer", peer.id, "another handle in the same life", its_life)
			end
		else
			peer.target = { handle = handle, life = its_life, seq = 0 }
			if target then
				-- It finds nobody.
				skynet.send(target.handle, "lua", next_to_handle(target))
			end
		end
		::continue::
	end
end

-- What the harness hears ----------------------------------------------------------------------------------------------

local function read_resumed()
	while true do
		skynet.sleep(100)
		for id, link in pairs(skynet.call(".cslave", "lua", "STAT")) do
			if peers[id] and link.resumed then
				peers[id].resumed = link.resumed
			end
		end
	end
end

local function tell()
	local last = skynet.now()
	while true do
		skynet.sleep(STAT_INTERVAL)
		local now = skynet.now()
		-- This process was stopped: its calls could not end meanwhile.
		local stood_still = now - last > 2 * STAT_INTERVAL and now - last - STAT_INTERVAL or 0
		last = now
		local oldest = now
		for call in pairs(open) do
			call.started = call.started + stood_still
			oldest = math.min(oldest, call.started)
			if now - call.started > call.limit and not call.told then
				call.told = true
				report("unended", tostring(call.address), now - call.started, stamp(skynet.time()))
			end
		end
		local words = { "stat", stamp(skynet.time()), stamp(skynet.time() - (now - oldest) / 100) }
		for id, peer in pairs(peers) do
			table.insert(words, ("%d:%d:%d:%d:%d:%d:%.2f:%.2f"):format(
				id, peer.sent, peer.got, peer.ok, peer.failed, peer.resumed, peer.last_ok, peer.named_ok))
		end
		report(table.unpack(words))
	end
end

skynet.start(function()
	for id = 1, member_count do
		if id ~= me then
			peers[id] = {
				id = id, name = "CHAOS" .. id, named = 0, retired = {},
				sent = 0, got = 0, ok = 0, failed = 0, resumed = 0, last_ok = 0, named_ok = 0,
			}
		end
	end
	skynet.dispatch("lua", function(session, _, name, ...)
		local run = command[name] or error(("chaos: no command %s"):format(tostring(name)))
		if session == 0 then
			run(...)
		else
			skynet.retpack(run(...))
		end
	end)
	skynet.dispatch_unknown_response(late_answer)
	report("up", life)
	skynet.register("CHAOS" .. me)
	for _, peer in pairs(peers) do
		skynet.fork(find, peer)
		skynet.fork(send_on, peer)
		skynet.fork(call_name_on, peer)
		for _ = 1, CALLERS do
			skynet.fork(call_on, peer)
		end
	end
	skynet.fork(read_resumed)
	skynet.fork(tell)
end)
