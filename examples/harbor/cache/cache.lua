--- Values that another service has, kept for a while.
local skynet = require "skynet"

---@class cache
---@field fetch fun(key: any): any
---@field keep integer
---@field entries table<any, {value: any, till: number}>
---@field asking table<any, table>
local cache = {}
cache.__index = cache

---@param keep integer centiseconds for which a value is good
---@param fetch fun(key: any): any asks for a value; may yield, and fail
---@return cache
local function new(keep, fetch)
	return setmetatable({ keep = keep, fetch = fetch, entries = {}, asking = {} }, cache)
end

---The value of a key: from here if it is not too old. Whoever wants one that is being asked for waits for the same answer.
---When nobody answers, an old value is better than none. Yields.
---@param key any
---@return any value
---@return "fresh"|"kept"|"old" how
function cache:get(key)
	local entry = self.entries[key]
	if entry and skynet.now() < entry.till then
		return entry.value, "kept"
	end
	local waiting = self.asking[key]
	if waiting then
		table.insert(waiting, coroutine.running())
		skynet.wait()
		return self:get(key)
	end
	self.asking[key] = {}
	local ok, value = pcall(self.fetch, key)
	waiting, self.asking[key] = self.asking[key], nil
	if ok then
		self.entries[key] = { value = value, till = skynet.now() + self.keep }
	elseif entry then
		-- Not everybody who comes now shall ask in vain.
		entry.till = skynet.now() + self.keep // 10
	end
	for _, thread in ipairs(waiting) do
		skynet.wakeup(thread)
	end
	if ok then
		return value, "fresh"
	elseif entry then
		return entry.value, "old"
	end
	error(value, 0)
end

return new
