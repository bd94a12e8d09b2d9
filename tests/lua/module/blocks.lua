--- A module whose chunk and init functions block.
local skynet = require "skynet"

local M = {}
blocks_init = {}
skynet.init(function()
	skynet.yield()
	table.insert(blocks_init, "first")
end)
skynet.init(function()
	table.insert(blocks_init, "second")
end)
M.answer = skynet.call(skynet.self(), "lua", "echo", "echo")
assert(#blocks_init == 0)
return M
