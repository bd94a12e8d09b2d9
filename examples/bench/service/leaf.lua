--- Sends a message back for each that comes.
local skynet = require "skynet"

local send = skynet.send

skynet.start(function()
	skynet.dispatch("lua", function(_, source, n)
		send(source, "lua", n)
	end)
end)
