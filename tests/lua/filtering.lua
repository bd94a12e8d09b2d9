--- Counts its messages of kind "lua" before they are dispatched.
local skynet = require "skynet"
require "skynet.manager"

local count = 0

skynet.filter(function(kind, ...)
	if kind == skynet.PTYPE_LUA then
		count = count + 1
	end
	return kind, ...
end, function()
	skynet.dispatch("lua", function(_, _, ...)
		skynet.retpack(..., count)
	end)
end)
