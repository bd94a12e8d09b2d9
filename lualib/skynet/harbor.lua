--- Other nodes of a master/slave cluster, seen through this node's `.cslave`.
local skynet = require "skynet"

local SLAVE = ".cslave"

local M = {}

---What cannot be a name is the caller's mistake, and is told to the caller.
local function check_name(name)
	local refusal = require "skynet.harbor.name".refusal(name)
	if refusal then
		error(refusal, 3)
	end
end

---Gives a service a name that every node knows. Nothing is waited for: that another service has the name already is told
---to the log.
---@param name string at most 15 bytes
---@param handle integer? this service
function M.globalname(name, handle)
	check_name(name)
	skynet.send(SLAVE, "lua", "REGISTER", name, handle or skynet.self())
end

---The owner of a global name, waiting until there is one; of a `.local` name at once. Yields.
---@param name string
---@param time integer? how long to wait, in centiseconds; else for ever
---@return integer? handle nil for a local name that nobody has, or when the time is over
---@return "timeout"?
function M.queryname(name, time)
	if type(name) ~= "string" or name:byte() ~= 46 then	-- "."
		check_name(name)
	end
	if time ~= nil and (math.type(time) ~= "integer" or time < 0) then
		error(("a time must be an integer from 0, not %s"):format(tostring(time)), 2)
	end
	return skynet.call(SLAVE, "lua", "QUERYNAME", name, time)
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

---The other nodes by id, each with its address, the state and the form of the link, and its counters. Yields.
---@return table<integer, table>
function M.nodes()
	return skynet.call(SLAVE, "lua", "STAT")
end

return M
