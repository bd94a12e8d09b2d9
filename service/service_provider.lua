--- Keeps the services made by `skynet.service`: one for each name, each in a `service_cell` of its own.
local skynet = require "skynet"
require "skynet.manager"

---@class Provided
---@field handle integer? its cell, once there is one
---@field booting boolean? its code has not finished
---@field failure string? its code failed; it is not tried again until it is closed
---@field arguments string? for the list
---@field time number? when it was launched
---@field waiters function[] responses that get the handle

local provided = {}		---@type table<string, Provided>

---@param name string
---@return Provided
local function entry(name)
	if type(name) ~= "string" then
		error(("the name of a service must be a string, not %s"):format(type(name)), 0)
	end
	local service = provided[name]
	if not service then
		service = { waiters = {} }
		provided[name] = service
	end
	return service
end

---Answers at once, if it is known what.
---@return boolean answered
local function answer(service)
	if service.failure then
		error(service.failure, 0)
	elseif service.handle and not service.booting then
		skynet.retpack(service.handle)
		return true
	end
	return false
end

local function settle(service, ok, ...)
	local waiters = service.waiters
	service.waiters = {}
	for _, response in ipairs(waiters) do
		response(ok, ...)
	end
end

local function boot(service, name, code, ...)
	service.handle = skynet.newservice("service_cell", name)
	if not service.handle then
		error(("the cell of %s ended while it started"):format(name), 0)
	end
	skynet.call(service.handle, "lua", "init", code, ...)
end

local function joined(...)
	local words = table.pack(...)
	for i = 1, words.n do
		words[i] = tostring(words[i])
	end
	return table.concat(words, ",")
end

local command = {}

function command.launch(name, code, ...)
	local service = entry(name)
	if answer(service) then
		return
	end
	table.insert(service.waiters, skynet.response())
	if service.booting then
		return
	end
	service.booting = true
	service.arguments = joined(...)
	service.time = skynet.time()
	local ok, failure = pcall(boot, service, name, code, ...)
	service.booting = nil
	if ok then
		settle(service, true, service.handle)
		return
	end
	service.failure = tostring(failure)
	settle(service, false)
	if service.handle then
		skynet.kill(service.handle)
		service.handle = nil
	end
	error(("the service %s did not start: %s"):format(name, service.failure), 0)
end

function command.query(name)
	local service = entry(name)
	if not answer(service) then
		table.insert(service.waiters, skynet.response())
	end
end

function command.test(name)
	local service = provided[name]
	if not service then
		skynet.retpack(nil)
	elseif service.booting then
		skynet.retpack(nil, true)
	elseif not answer(service) then
		skynet.retpack(nil)
	end
end

function command.close(name)
	local service = provided[name]
	local handle
	if service and (service.failure or service.handle and not service.booting) then
		provided[name] = nil
		handle = service.handle
	end
	skynet.retpack(handle)
end

skynet.info_func(function()
	local list = {}
	for name, service in pairs(provided) do
		local status
		if service.booting then
			status = "booting"
		elseif #service.waiters > 0 then
			status = ("waiting(%d)"):format(#service.waiters)
		end
		list[service.handle and skynet.address(service.handle) or name] = {
			name = name,
			init = service.arguments,
			time = service.time and os.date("%Y-%m-%d %H:%M:%S", math.floor(service.time)),
			status = status or service.failure and "failed",
		}
	end
	return list
end)

skynet.start(function()
	skynet.dispatch("lua", function(_, _, name, ...)
		local run = command[name]
		if not run then
			error(("service_provider: unknown command %s"):format(tostring(name)), 0)
		end
		run(...)
	end)
end)
