--- A hundred such pairs at once.
local skynet = require "skynet"
local measure = require "measure"

local PAIRS, COUNT = 100, 5000

return function()
	local callers, echoes = measure.services(PAIRS, "caller"), measure.services(PAIRS, "echo")
	return function()
		local seconds = measure.seconds(measure.together, PAIRS, function(i)
			skynet.call(callers[i], "lua", echoes[i], COUNT)
		end)
		return { { "pairs100", PAIRS * COUNT / seconds, "calls/s" } }
	end
end
