--- Counts. Known as `.counter`; commands: add(n) -> total, get() -> total.
local skynet = require "skynet"
require "skynet.manager"	-- for skynet.register

local total = 0
local command = {}

function command.add(n)
	total = total + n
	return total
end

function command.get()
	return total
end

skynet.start(function()
	skynet.dispatch("lua", function(_, _, name, ...)
		local run = command[name] or error(("counter: no command %s"):format(tostring(name)))
		skynet.retpack(run(...))
	end)
	skynet.register ".counter"
end)
