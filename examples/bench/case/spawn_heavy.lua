--- The same with a service that requires ten modules.
local measure = require "measure"

local COUNT = 300

return function()
	-- The first one fills the code cache, which belongs to the process.
	measure.service "loaded"
	return function()
		collectgarbage()
		local before = measure.rss()
		local seconds = measure.seconds(measure.services, COUNT, "loaded")
		local growth = measure.rss() - before
		return {
			{ "spawn_heavy", COUNT / seconds, "services/s" },
			{ "spawn_heavy_rss", growth / COUNT / 1024, "KiB/service" },
		}
	end
end
