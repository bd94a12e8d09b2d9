--- `.cslave` of a node without a cluster: keeps the global names, knows no other node.
local skynet = require "skynet"
require "skynet.manager"

local names = {}		---@type table<string, integer>
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
	-- The harbor service asks for names and reports links; here it need not hear anything.
	dispatch = function() end,
}

local command = {}

function command.REGISTER(name, handle)
	assert(type(name) == "string" and math.type(handle) == "integer", "REGISTER needs a name and a handle")
	if names[name] then
		error(("the global name %s belongs to %s"):format(name, skynet.address(names[name])), 0)
	end
	names[name] = handle
	skynet.ret()
	local responses = waiting[name]
	waiting[name] = nil
	for _, response in ipairs(responses or {}) do
		response(true, handle)
	end
	-- The harbor service takes the owner from the message's source.
	skynet.redirect(harbor_service, handle, "harbor", 0, "N " .. name)
end

function command.QUERYNAME(name)
	assert(type(name) == "string", "QUERYNAME needs a name")
	if name:sub(1, 1) == "." then
		skynet.retpack(skynet.localname(name))
	elseif names[name] then
		skynet.retpack(names[name])
	else
		waiting[name] = waiting[name] or {}
		table.insert(waiting[name], skynet.response())
	end
end

function command.LINK()
	skynet.ret()
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
