--- A tree of values that all nodes of a cluster share; it lives in the service `DATACENTER`.
local skynet = require "skynet"

local M = {}

---The value at a path. Yields.
---@param ... any keys
---@return any value nil if a step is missing
function M.get(...)
	return skynet.call("DATACENTER", "lua", "QUERY", ...)
end

---Sets the value at a path; tables on the way are made. Yields.
---@param ... any keys, then the value
---@return any old the former value
function M.set(...)
	return skynet.call("DATACENTER", "lua", "UPDATE", ...)
end

---The value at a path, once it has one. Yields.
---@param ... any keys
---@return any value
function M.wait(...)
	return skynet.call("DATACENTER", "lua", "WAIT", ...)
end

return M
