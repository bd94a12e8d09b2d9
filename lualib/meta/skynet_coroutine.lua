---@meta skynet.coroutine

--- Coroutines whose code may call blocking functions of skynet: then the *service's* coroutine waits, and goes on later.
---@class skynet.coroutine
local coroutine = {}

---@param f function
---@return thread
function coroutine.create(f) end

---@param f function
---@return function resume raises the coroutine's errors
function coroutine.wrap(f) end

---Yields when the coroutine blocks in skynet.
---@param thread thread made by create
---@param ... any
---@return boolean ok
---@return any ...
function coroutine.resume(thread, ...) end

---Back to who resumed. Raises outside a coroutine made by create or wrap.
---@param ... any
---@return any ...
function coroutine.yield(...) end

---@param thread thread
---@return "running"|"suspended"|"normal"|"dead"|"blocked" status blocked: it waits for skynet
function coroutine.status(thread) end

---@param thread? thread
---@return thread owner the service's coroutine it belongs to
---@return boolean is_owner whether it is that itself
function coroutine.thread(thread) end

---@return boolean
function coroutine.isyieldable() end

---@return thread
---@return boolean main
function coroutine.running() end

---@param thread thread
---@return boolean ok
---@return any? error
function coroutine.close(thread) end

return coroutine
