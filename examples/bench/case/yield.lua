--- skynet.yield in a loop.
local skynet = require "skynet"
local measure = require "measure"

local COUNT = 500000

return function()
	return function()
		local seconds = measure.seconds(function()
			local yield = skynet.yield
			for _ = 1, COUNT do
				yield()
			end
		end)
		return { { "yield", COUNT / seconds, "yields/s" } }
	end
end
