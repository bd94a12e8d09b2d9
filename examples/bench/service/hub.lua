--- Sends to every leaf, waits until all have sent back, and does it again.
local skynet = require "skynet"

local leaves, left, rounds, response

local function round()
	local send = skynet.send
	left = #leaves
	for i = 1, left do
		send(leaves[i], "lua", i)
	end
end

skynet.start(function()
	skynet.dispatch("lua", function(session, _, what, count)
		if session ~= 0 then
			leaves, rounds, response = what, count, skynet.response()
			round()
			return
		end
		left = left - 1
		if left == 0 then
			rounds = rounds - 1
			if rounds > 0 then
				round()
			else
				response(true)
			end
		end
	end)
end)
