--- A module whose init function blocks.
local skynet = require "skynet"

local M = {}
skynet.init(function()
	skynet.yield()
	M.ready = true
end)
return M
