--- Spends a coin of its owner's each second.
local skynet = require "skynet"

local owner = ...

skynet.start(function()
	skynet.fork(function()
		while true do
			local left = skynet.call(".bank", "lua", "pay", owner, 1)
			skynet.error(("%s has %d coins"):format(owner, left))
			skynet.sleep(100)
		end
	end)
end)
