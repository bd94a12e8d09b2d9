--- Sends small messages to a sink; lets others run after each lot, as a service that does other work would.
local skynet = require "skynet"

local LOT = 500

skynet.start(function()
	skynet.dispatch("lua", function(_, _, sink, count)
		local send = skynet.send
		for i = 1, count do
			send(sink, "lua", i, "item")
			if i % LOT == 0 then
				skynet.yield()
			end
		end
	end)
end)
