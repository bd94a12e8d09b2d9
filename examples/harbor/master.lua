--- On the master: tells the log which nodes come and go.
local skynet = require "skynet"

local EACH = 20			-- centiseconds

skynet.start(function()
	local connected = {}
	skynet.fork(function()
		while true do
			for id, node in pairs(skynet.call(".cmaster", "lua", "STAT")) do
				if node.connected ~= (connected[id] or false) then
					connected[id] = node.connected
					skynet.error(("node%d at %s %s"):format(id, node.address, node.connected and "has come" or "has gone"))
				end
			end
			skynet.sleep(EACH)
		end
	end)
end)
