---@meta skynet.profile

--- The CPU time of single coroutines. Time in which a coroutine is suspended does not count.
---@class skynet.profile
local profile = {}

---Begins to count. Raises if it is being counted.
---@param thread? thread the running one
function profile.start(thread) end

---Ends it. Raises if it is not being counted.
---@param thread? thread
---@return number seconds
function profile.stop(thread) end

---coroutine.resume, counting.
---@param thread thread
---@param ... any
---@return boolean ok
---@return any ...
function profile.resume(thread, ...) end

---coroutine.wrap, counting.
---@param f function
---@return function
function profile.wrap(f) end

return profile
