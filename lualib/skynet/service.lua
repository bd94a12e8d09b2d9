--- Services made from a function: one for each name on a node, kept by the service `service_provider`.
local skynet = require "skynet"
require "skynet.manager"

local provider_handle

local function provider(...)
	provider_handle = provider_handle or skynet.uniqueservice "service_provider"
	return skynet.call(provider_handle, "lua", ...)
end

---The code of a function that can run in another VM: its only upvalue is `_ENV`.
---@param name string
---@param main function
---@return string
local function portable(name, main)
	if type(main) ~= "function" then
		error(("the service %s must be made from a function, not %s"):format(name, type(main)), 3)
	end
	local info = debug.getinfo(main, "uS")
	if info.what == "C" then
		error(("the service %s cannot be made from a C function"):format(name), 3)
	end
	for i = 1, info.nups do
		local upvalue = debug.getupvalue(main, i)
		if upvalue ~= "_ENV" then
			error(("the function of service %s must not use the local %s around it"):format(name, upvalue), 3)
		end
	end
	assert(info.nups == 1, "the function of a service must have exactly the upvalue _ENV")
	return string.dump(main)
end

-- Handles are asked for each time: a service that was closed and made again has another one.
local M = {}

---The service `name`; if there is none, it is made by running `main(...)` in a service of its own. Yields.
---@param name string
---@param main function may use globals only; may call skynet.start and skynet.dispatch
---@param ... any arguments of main
---@return integer handle
function M.new(name, main, ...)
	if type(name) ~= "string" then
		error(("a service's name must be a string, not %s"):format(type(name)), 2)
	end
	local handle, booting = provider("test", name)
	if handle then
		return handle
	elseif booting then
		return provider("query", name)
	end
	return provider("launch", name, portable(name, main), ...)
end

---The service `name`, waiting until someone makes it. Yields.
---@param name string
---@return integer handle
function M.query(name)
	return provider("query", name)
end

---Kills the service `name`. Yields.
---@param name string
---@return boolean existed
function M.close(name)
	local handle = provider("close", name)
	if handle then
		skynet.kill(handle)
		return true
	end
	return false
end

return M
