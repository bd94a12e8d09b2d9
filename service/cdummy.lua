--- `.cslave` of a node without a cluster: keeps the global names, knows no other node.
local skynet = require "skynet"
local global = require "skynet.harbor.name"
require "skynet.manager"

local names = {}		---@type table<string, integer>
local is_free = {}		---@type table<string, true> names whose owner has ended
local waiting = {}		---@type table<string, function[]> who asked for a name before it was there
local for_ever = {}		-- callers that wait for a connection; they hear an error when this service ends
local harbor_service	-- routes messages that are sent to a global name

skynet.register_protocol {
	name = "harbor",
	id = skynet.PTYPE_HARBOR,
	pack = function(text) return text end,
	unpack = skynet.tostring,
}

skynet.register_protocol {
	name = "text",
	id = skynet.PTYPE_TEXT,
	unpack = skynet.tostring,
	-- The harbor service asks for names, too; here it is told them without being asked.
	dispatch = function(_, source, text)
		local name = text:match "^E (.+)$"
		local owner = names[name]
		-- A service has ended; another one may have the name by now. Who calls it meanwhile fails, and need not wait.
		if owner and (source == owner or source == harbor_service) then
			is_free[name] = true
		end
	end,
}

local command = {}

function command.REGISTER(name, handle)
	local refusal = global.refusal(name) or not global.is_handle(handle) and "REGISTER needs a handle"
	if refusal then
		error(refusal, 0)
	elseif names[name] and not is_free[name] then
		error(("the global name %s belongs to %s"):format(name, skynet.address(names[name])), 0)
	end
	names[name], is_free[name] = handle, nil
	skynet.ret()
	local responses = waiting[name]
	waiting[name] = nil
	for _, response in ipairs(responses or {}) do
		response(true, handle)
	end
	-- The harbor service takes the owner from the message's source.
	skynet.redirect(harbor_service, handle, "harbor", 0, "N " .. name)
end

---@param name string
---@param time integer? centiseconds
function command.QUERYNAME(name, time)
	if type(name) == "string" and name:sub(1, 1) == "." then
		return skynet.retpack((skynet.localname(name)))
	end
	local refusal = global.refusal(name)
	if refusal then
		error(refusal, 0)
	elseif names[name] then
		return skynet.retpack(names[name])
	end
	local response = skynet.response()
	waiting[name] = waiting[name] or {}
	table.insert(waiting[name], response)
	if time then
		skynet.timeout(time, function()
			for at, waits in ipairs(waiting[name] or {}) do
				if waits == response then
					table.remove(waiting[name], at)
					if #waiting[name] == 0 then
						waiting[name] = nil
					end
					return response(true, nil, "timeout")
				end
			end
		end)
	end
end

function command.LINK()
	skynet.ret()
end

---There are no other nodes.
function command.STAT()
	skynet.retpack {}
end

function command.CONNECT()
	skynet.error "Can't connect to other harbor in single node mode"
	table.insert(for_ever, skynet.response())
end

skynet.start(function()
	local id = tonumber(skynet.getenv "harbor" or 0)
	assert(id == 0, "cdummy is for a node whose harbor is 0")
	skynet.dispatch("lua", function(_, _, name, ...)
		local run = command[name]
		if not run then
			error(("cdummy: no command %s on a single node"):format(tostring(name)), 0)
		end
		run(...)
	end)
	harbor_service = assert(skynet.launch("harbor", id, skynet.self()), "the harbor service did not start")
end)
