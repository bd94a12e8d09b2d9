--- Counts: `add n`, `get`.
local skynet = require "skynet"

local total = 0

skynet.start(function()
	skynet.dispatch("lua", function(session, _, command, n)
		if command == "add" then
			total = total + n
		end
		if session ~= 0 then
			skynet.retpack(total)
		end
	end)
end)
