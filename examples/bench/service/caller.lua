--- Calls another service, one call after the other, and answers when it is done.
local skynet = require "skynet"

skynet.start(function()
	skynet.dispatch("lua", function(_, _, target, count)
		local call = skynet.call
		for i = 1, count do
			call(target, "lua", i)
		end
		skynet.ret(skynet.pack(count))
	end)
end)
