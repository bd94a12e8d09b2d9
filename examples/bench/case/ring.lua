--- A thousand services in a ring; one token, then a hundred.
local skynet = require "skynet"
local measure = require "measure"

local SIZE = 1000

return function()
	local nodes = measure.services(SIZE, "ring_node")
	for i = 1, SIZE do
		skynet.call(nodes[i], "lua", 0, nodes[i % SIZE + 1])
	end

	local function race(tokens, hops)
		local seconds = measure.seconds(function()
			for token = 1, tokens do
				skynet.send(nodes[(token - 1) * (SIZE // tokens) + 1], "lua", hops)
			end
			measure.arrivals(tokens)
		end)
		return tokens * hops / seconds
	end

	return function()
		return {
			{ "ring_1", race(1, 200000), "hops/s" },
			{ "ring_100", race(100, 5000), "hops/s" },
		}
	end
end
