--- The body of a service made by `skynet.service`: receives its code in a first message, then is that service.
local skynet = require "skynet"

local name = ...

---Runs the code. Its `skynet.start` is noted only: this service has started already.
local function init(code, ...)
	local main = assert(load(code, name))
	local start = skynet.start
	local noted
	skynet.start = function(f)
		noted = f
	end
	skynet.dispatch("lua", function()
		error "No dispatch function"
	end)
	main(...)
	skynet.start = start
	if noted then
		noted()
	end
end

skynet.start(function()
	skynet.dispatch("lua", function(_, _, command, ...)
		if command ~= "init" then
			error(("the service %s has no code yet"):format(name), 0)
		end
		init(...)
		skynet.ret()
	end)
end)
