--- An exit monitor: logs who has ended.
local skynet = require "skynet"

skynet.register_protocol {
	name = "client",
	id = skynet.PTYPE_CLIENT,
	unpack = function() end,
	dispatch = function(_, address)
		skynet.error("ended: " .. skynet.address(address))
	end,
}

skynet.start(function() end)
