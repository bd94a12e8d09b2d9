--- Sixteen services send small messages to one.
local skynet = require "skynet"
local measure = require "measure"

local SOURCES, COUNT = 16, 30000

return function()
	local sink, sources = measure.service "sink", measure.services(SOURCES, "source")
	return function()
		local seconds = measure.seconds(function()
			for _, source in ipairs(sources) do
				skynet.send(source, "lua", sink, COUNT)
			end
			skynet.call(sink, "lua", "expect", SOURCES * COUNT)
		end)
		return { { "fanin", SOURCES * COUNT / seconds, "msgs/s" } }
	end
end
