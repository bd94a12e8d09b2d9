--- Calls that carry a string of 1 MiB one way; the answer is small.
local skynet = require "skynet"
local measure = require "measure"

local COUNT = 500

return function()
	local taker = measure.service "taker"
	local text = ("x"):rep(1024 * 1024)
	return function()
		local seconds = measure.seconds(function()
			for _ = 1, COUNT do
				skynet.call(taker, "lua", text)
			end
		end)
		return { { "bigmsg_1m", COUNT / seconds, "MiB/s" } }
	end
end
