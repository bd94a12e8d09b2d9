--- Takes messages, and tells their sender each time when so many have come.
local skynet = require "skynet"

local each = tonumber((...))
local count = 0

skynet.start(function()
	skynet.dispatch("lua", function(_, source)
		count = count + 1
		if count == each then
			count = 0
			skynet.send(source, "lua")
		end
	end)
end)
