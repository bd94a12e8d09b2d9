--- Does next to nothing: ("run", n, neighbour) sends stamped messages at a pace; what comes is timed from send to handling.
local skynet = require "skynet"

local latencies = {}

skynet.start(function()
	skynet.dispatch("lua", function(_, _, what, n, neighbour)
		if what == "probe" then
			table.insert(latencies, skynet.hpc() - n)
		elseif what == "run" then
			for _ = 1, n do
				skynet.sleep(math.random(8, 12))
				skynet.send(neighbour, "lua", "probe", skynet.hpc())
			end
			skynet.ret(skynet.pack())
		elseif what == "take" then
			skynet.ret(skynet.pack(latencies))
			latencies = {}
		end
	end)
end)
