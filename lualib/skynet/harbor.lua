--- Other nodes of a master/slave cluster, seen through this node's `.cslave`.
local skynet = require "skynet"

local SLAVE = ".cslave"

local M = {}

---Gives a service a name that every node knows. Nothing is waited for.
---@param name string
---@param handle integer? this service
function M.globalname(name, handle)
	skynet.send(SLAVE, "lua", "REGISTER", name, handle or skynet.self())
end

---The owner of a global name, waiting until there is one; of a `.local` name at once. Yields.
---@param name string
---@return integer? handle nil only for a local name that nobody has
function M.queryname(name)
	return skynet.call(SLAVE, "lua", "QUERYNAME", name)
end

---Returns when node `id` is not connected, or no longer. Yields.
---@param id integer
function M.link(id)
	skynet.call(SLAVE, "lua", "LINK", id)
end

---Returns when node `id` is connected. Yields.
---@param id integer
function M.connect(id)
	skynet.call(SLAVE, "lua", "CONNECT", id)
end

---Returns when the connection to the master is lost. Yields.
function M.linkmaster()
	skynet.call(SLAVE, "lua", "LINKMASTER")
end

return M
