--- One service calls another, one call after the other.
local skynet = require "skynet"
local measure = require "measure"

local COUNT = 300000

return function()
	local caller, echo = measure.service "caller", measure.service "echo"
	skynet.call(caller, "lua", echo, 1000)
	return function()
		local cpu = measure.cpu()
		local seconds = measure.seconds(skynet.call, caller, "lua", echo, COUNT)
		return {
			{ "pingpong", COUNT / seconds, "calls/s" },
			{ "pingpong_cpu", (measure.cpu() - cpu) / COUNT * 1e6, "us/call" },
		}
	end
end
