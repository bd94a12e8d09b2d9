--- `newservice` of a trivial service, one after the other; growth of the process for each. All stay alive for the three runs.
local measure = require "measure"

local COUNT = 2000

return function()
	return function()
		collectgarbage()
		local before = measure.rss()
		local seconds = measure.seconds(measure.services, COUNT, "empty")
		local growth = measure.rss() - before
		return {
			{ "spawn", COUNT / seconds, "services/s" },
			{ "spawn_rss", growth / COUNT / 1024, "KiB/service" },
		}
	end
end
