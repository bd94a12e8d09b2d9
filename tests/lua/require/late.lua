--- A module that registers an init function while the service starts.
local skynet = require "skynet"

skynet.init(function()
	skynet.yield()
	table.insert(order, "init of an init's module")
end)

return true
