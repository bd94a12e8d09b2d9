--- A place in a ring: passes a token on, one hop fewer each time, and tells the owner when it has no hops left.
local skynet = require "skynet"

local successor, owner
local send = skynet.send

skynet.start(function()
	skynet.dispatch("lua", function(_, source, hops, after)
		if after then
			successor, owner = after, source
			skynet.ret(skynet.pack())
		elseif hops > 0 then
			send(successor, "lua", hops - 1)
		else
			send(owner, "lua")
		end
	end)
end)
