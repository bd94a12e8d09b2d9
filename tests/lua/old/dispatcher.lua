--- A dispatcher in Lua over `skynet.core`, in the way of projects that are older than the native one: each message
--- gets a coroutine, which yields the session that it waits for.
local core = require "skynet.core"

local TEXT, RESPONSE, ERROR, LUA = 0, 1, 7, 10

local M = { log = {} }

---@type table<integer, thread> by the session that it waits for
local waiting = {}
---@type table<thread, { session: integer, source: integer }>
local requests = {}
local handler

local function proceed(co, ...)
	local ok, session = coroutine.resume(co, ...)
	if not ok then
		local request = requests[co]
		requests[co] = nil
		if request and request.session ~= 0 then
			core.send(request.source, ERROR, request.session, "")
		end
		error(debug.traceback(co, session), 0)
	elseif coroutine.status(co) == "dead" then
		requests[co] = nil
	else
		waiting[session] = co
	end
end

local function take(session)
	local co = waiting[session]
	waiting[session] = nil
	return assert(co, "nobody waits for this session")
end

local function dispatch(kind, msg, sz, session, source)
	table.insert(M.log, ("%d:%s"):format(kind, math.type(sz)))
	if kind == RESPONSE then
		proceed(take(session), true, msg, sz)
	elseif kind == ERROR then
		proceed(take(session), false)
	else
		local co = coroutine.create(handler)
		requests[co] = { session = session, source = source }
		proceed(co, kind, msg, sz, session, source)
	end
end

function M.call(address, ...)
	local session = assert(core.send(address, LUA, nil, core.pack(...)), "call to invalid address")
	local ok, msg, sz = coroutine.yield(session)
	assert(ok, "call failed")
	return core.unpack(msg, sz)
end

function M.sleep(ticks)
	coroutine.yield(core.intcommand("TIMEOUT", ticks))
end

function M.ret(...)
	local request = requests[coroutine.running()]
	core.send(request.source, RESPONSE, request.session, core.pack(...))
end

---@param f fun(kind: integer, msg: lightuserdata, sz: integer, session: integer, source: integer)
---@param start function
---@param forward? boolean
function M.start(f, start, forward)
	handler = f
	core.callback(dispatch, forward)
	waiting[core.intcommand("TIMEOUT", 0)] = coroutine.create(function()
		start()
		core.send(".launcher", TEXT, 0, "")
	end)
end

return M
