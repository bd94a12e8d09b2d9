--- Works, and says which node did.
local skynet = require "skynet"
local group = require "skynet.group"

skynet.start(function()
	skynet.dispatch("lua", function(_, _, number)
		skynet.retpack(number * number, skynet.harbor(skynet.self()))
	end)
	group.join "workers"
end)
