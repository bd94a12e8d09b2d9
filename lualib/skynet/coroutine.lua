--- Coroutines whose code may call blocking functions of skynet: then the *service's* coroutine waits, and goes on later.
local kernel = require "skynet.kernel"

local M = {}

-- Those made here, with the service's coroutine that each belongs to: the one that last resumed it.
local owners = setmetatable({}, { __mode = "k" })
local UNOWNED = {}

local resume, status = coroutine.resume, coroutine.status

---@param f function
---@return thread
function M.create(f)
	local co = coroutine.create(f)
	owners[co] = UNOWNED
	return co
end

---@param co thread made by create
---@return boolean ok
---@return any ...
function M.resume(co, ...)
	if not owners[co] then
		-- Matched by programs: keep the words.
		return false, status(co) == "dead" and "cannot resume dead coroutine"
			or "cannot resume none skynet coroutine"
	end
	if not kernel.is_blocked(co) then
		owners[co] = kernel.running() or coroutine.running()
	end
	return resume(co, ...)
end

---@param co thread
---@return "running"|"suspended"|"normal"|"dead"|"blocked"
function M.status(co)
	return kernel.is_blocked(co) and "blocked" or status(co)
end

---Back to who resumed.
function M.yield(...)
	if not owners[coroutine.running()] then
		error("Call skynet.coroutine.yield out of skynet.coroutine.resume", 2)
	end
	return coroutine.yield(...)
end

local function finish(ok, ...)
	if ok then
		return ...
	end
	error((...), 0)
end

---@param f function
---@return function resume raises the coroutine's errors
function M.wrap(f)
	local co = M.create(f)
	return function(...)
		return finish(M.resume(co, ...))
	end
end

---@param co? thread
---@return thread owner the service's coroutine that it belongs to
---@return boolean is_owner whether it is that itself
function M.thread(co)
	co = co or coroutine.running()
	local owner = owners[co]
	if owner and owner ~= UNOWNED then
		return owner, false
	end
	return co, not owner
end

M.isyieldable = coroutine.isyieldable
M.running = coroutine.running
M.close = coroutine.close

return M
