--- Two CPU-bound calls at once, against the same two in turn.
local skynet = require "skynet"
local measure = require "measure"

local WORK = 20000000

return function()
	local burners = measure.services(2, "burner")
	local function work(i)
		skynet.call(burners[i], "lua", "work", WORK)
	end
	return function()
		local in_turn = measure.seconds(function()
			work(1)
			work(2)
		end)
		local at_once = measure.seconds(measure.together, 2, work)
		return { { "forkjoin_speedup", in_turn / at_once, "x" } }
	end
end
