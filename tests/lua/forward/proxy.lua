--- Hands requests on to another service without looking into them, and the answers back.
local skynet = require "skynet"
require "skynet.manager"

local worker = tonumber((...))

skynet.register_protocol {
	name = "system",
	id = skynet.PTYPE_SYSTEM,
	unpack = function(...)
		return ...
	end,
}

skynet.forward_type({
	[skynet.PTYPE_LUA] = skynet.PTYPE_SYSTEM,
	[skynet.PTYPE_RESPONSE] = skynet.PTYPE_RESPONSE,
}, function()
	skynet.dispatch("system", function(_, _, msg, sz)
		skynet.ret(skynet.rawcall(worker, "lua", msg, sz))
	end)
end)
