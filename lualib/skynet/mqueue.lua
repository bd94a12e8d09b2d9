--- Messages of one protocol ("queue") handled strictly one after another, even when the handler yields.
---
--- Kept for old projects; `skynet.queue` is the better tool.
local skynet = require "skynet"

local handler		-- set once, by register
local waiting, first, last = {}, 1, 0
local busy = false

local M = {}

---What became of one message: an answer to a caller, a log line for a sender.
local function settle(request, ok, ...)
	if request.session ~= 0 then
		request.response(true, ok, ...)
	elseif not ok then
		skynet.error(("%s sent a message to the queue of %s, which failed: %s"):format(
			skynet.address(request.source), skynet.address(skynet.self()), tostring((...))))
	elseif (...) ~= nil then
		skynet.error(("%s sent a message to the queue of %s, whose result nobody receives"):format(
			skynet.address(request.source), skynet.address(skynet.self())))
	end
end

local drain

-- Runs when the drain ends in whatever way, `killthread` included: what still waits gets a new one.
local ending = setmetatable({}, {
	__close = function()
		busy = false
		if first <= last then
			busy = true
			skynet.fork(drain)
		end
	end,
})

function drain()
	local _ <close> = ending
	while first <= last do
		local request = waiting[first]
		waiting[first] = nil
		first = first + 1
		settle(request, pcall(handler, table.unpack(request, 1, request.n)))
	end
	first, last = 1, 0
end

skynet.register_protocol {
	name = "queue",
	id = skynet.PTYPE_QUEUE or 8,
	pack = skynet.pack,
	unpack = skynet.unpack,
	dispatch = function(session, source, ...)
		local request = table.pack(...)
		request.session, request.source = session, source
		request.response = session ~= 0 and skynet.response()
		last = last + 1
		waiting[last] = request
		if handler and not busy then
			busy = true
			drain()
		end
	end,
}

---Sets the handler; messages that came before it are handled now.
---@param f fun(...): ... its results answer a call
function M.register(f)
	assert(handler == nil, "the queue has a handler already")
	handler = f
	if first <= last and not busy then
		busy = true
		skynet.fork(drain)
	end
end

local function result(ok, ...)
	if not ok then
		error((...), 0)
	end
	return ...
end

---Calls the handler of another service. Yields; its error is raised here.
---@param address integer|string
---@param ... any
---@return any ...
function M.call(address, ...)
	return result(skynet.call(address, "queue", ...))
end

---@param address integer|string
---@param ... any
function M.send(address, ...)
	return skynet.send(address, "queue", ...)
end

---How many messages wait.
---@return integer
function M.size()
	return last - first + 1
end

return M
