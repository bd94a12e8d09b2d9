--- Two hundred light services beside four that burn 20 ms in each message: how long a light message waits.
local skynet = require "skynet"
local measure = require "measure"

local LIGHTS, PROBES = 200, 20
local BURNERS, BURN_MS = 4, 20

return function()
	local lights, burners = measure.services(LIGHTS, "light"), measure.services(BURNERS, "burner")
	return function()
		for _, burner in ipairs(burners) do
			skynet.send(burner, "lua", "burn", BURN_MS)
		end
		measure.together(LIGHTS, function(i)
			skynet.call(lights[i], "lua", "run", PROBES, lights[i % LIGHTS + 1])
		end)
		for _, burner in ipairs(burners) do
			skynet.call(burner, "lua", "stop")
		end
		local latencies = {}
		for _, light in ipairs(lights) do
			for _, ns in ipairs(skynet.call(light, "lua", "take")) do
				table.insert(latencies, ns / 1e6)
			end
		end
		return {
			{ "unfair_p50", measure.quantile(latencies), "ms" },
			{ "unfair_p99", measure.quantile(latencies, 0.99), "ms" },
		}
	end
end
