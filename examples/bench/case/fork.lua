--- skynet.fork of a function that does nothing; a hundred between two yields, in which they run.
local skynet = require "skynet"
local measure = require "measure"

local ROUNDS, FORKS = 5000, 100

return function()
	return function()
		local ran = 0
		local function count()
			ran = ran + 1
		end
		local seconds = measure.seconds(function()
			local fork = skynet.fork
			for _ = 1, ROUNDS do
				for _ = 1, FORKS do
					fork(count)
				end
				skynet.yield()
			end
		end)
		assert(ran == ROUNDS * FORKS, "a fork did not run")
		return { { "fork", ran / seconds, "forks/s" } }
	end
end
