--- Keeps a worker busy: ("work", n) counts to n and answers; ("burn", ms) burns again and again until "stop".
local skynet = require "skynet"

local burning = false

local function work(n)
	local x = 0
	for i = 1, n do
		x = (x * 31 + i) % 1000003
	end
	return x
end

local function burn(ms)
	local finish = skynet.hpc() + ms * 1000000
	repeat
		work(1000)
	until skynet.hpc() >= finish
end

skynet.start(function()
	skynet.dispatch("lua", function(_, _, what, n)
		if what == "work" then
			skynet.ret(skynet.pack(work(n)))
		elseif what == "stop" then
			burning = false
			skynet.ret(skynet.pack())
		else
			if what == "burn" then
				burning = true
			end
			if burning then
				burn(n)
				-- One message for each, so that the scheduler may give the worker to someone else in between.
				skynet.send(skynet.self(), "lua", "again", n)
			end
		end
	end)
end)
