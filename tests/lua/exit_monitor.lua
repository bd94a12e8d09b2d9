--- Answers whether a service has ended, once it has.
local skynet = require "skynet"

local dead = {}

skynet.register_protocol {
	name = "client",
	id = skynet.PTYPE_CLIENT,
	unpack = function() end,
	dispatch = function(_, source)
		dead[source] = true
		skynet.wakeup(source)
	end,
}

skynet.start(function()
	skynet.dispatch("lua", function(_, _, handle)
		if not dead[handle] then
			skynet.wait(handle)
		end
		skynet.retpack(dead[handle])
	end)
end)
