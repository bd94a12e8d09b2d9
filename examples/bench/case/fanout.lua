--- One service sends to a thousand, and each sends back.
local skynet = require "skynet"
local measure = require "measure"

local LEAVES, ROUNDS = 1000, 200

return function()
	local hub, leaves = measure.service "hub", measure.services(LEAVES, "leaf")
	return function()
		local seconds = measure.seconds(skynet.call, hub, "lua", leaves, ROUNDS)
		return { { "fanout", LEAVES * ROUNDS / seconds, "round_trips/s" } }
	end
end
