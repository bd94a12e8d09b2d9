--- Hands "lua" messages on to the service that its argument says, without looking at them.
local skynet = require "skynet"
require "skynet.manager"

local target = tonumber(...)

skynet.register_protocol {
	name = "system",
	id = skynet.PTYPE_SYSTEM,
	unpack = function(...) return ... end,
}

skynet.forward_type({ [skynet.PTYPE_LUA] = skynet.PTYPE_SYSTEM, [skynet.PTYPE_RESPONSE] = skynet.PTYPE_RESPONSE }, function()
	skynet.dispatch("system", function(session, source, msg, sz)
		if session == 0 then
			skynet.rawsend(target, "lua", msg, sz)
		else
			skynet.ret(skynet.rawcall(target, "lua", msg, sz))
		end
	end)
end)
