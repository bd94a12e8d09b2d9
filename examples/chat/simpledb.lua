--- What all clients share, known as `.simpledb`: set(key, value) -> old value, get(key) -> value.
local skynet = require "skynet"
require "skynet.manager"	-- for skynet.register

local values = {}
local command = {}

function command.set(key, value)
	local old = values[key]
	values[key] = value
	return old
end

function command.get(key)
	return values[key]
end

skynet.start(function()
	skynet.dispatch("lua", function(_, _, name, ...)
		skynet.retpack(command[name](...))
	end)
	skynet.register ".simpledb"
end)
