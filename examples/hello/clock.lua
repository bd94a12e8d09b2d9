--- Sends ("tick", n) to a listener, at an interval. Arguments are words, so always strings.
local skynet = require "skynet"

local listener, interval, count = ...
listener, interval, count = tonumber(listener), tonumber(interval), tonumber(count)

local function tick(n)
	skynet.send(listener, "lua", "tick", n)
	if n < count then
		skynet.timeout(interval, function()
			tick(n + 1)
		end)
	else
		skynet.exit()
	end
end

skynet.start(function()
	skynet.timeout(interval, function()
		tick(1)
	end)
end)
