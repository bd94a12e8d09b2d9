--- Starts in the way that its first word says.
local skynet = require "skynet"

local how, argument = ...

local ways = {}

function ways.error()
	error "starter fails as asked"
end

function ways.exit()
	skynet.exit()
end

--- Until the global `starter_go`, which nobody sets; `killed` services end here.
function ways.hang()
	skynet.wait()
end

function ways.sleep()
	skynet.sleep(tonumber(argument))
end

function ways.log()
	skynet.error("started with " .. argument)
end

skynet.start(function()
	skynet.dispatch("lua", function(_, _, ...)
		skynet.retpack(how, argument, ...)
	end)
	ways[how]()
end)
