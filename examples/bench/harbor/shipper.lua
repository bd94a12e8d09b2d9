--- Sends a long text when it is told to, and answers what the receiver answered.
local skynet = require "skynet"

local text
local command = {}

function command.load(size, block)
	text = block:rep(size // #block)
	return #text
end

function command.ship(target)
	return skynet.call(target, "lua", text)
end

skynet.start(function()
	skynet.dispatch("lua", function(_, _, name, ...)
		skynet.ret(skynet.pack(command[name](...)))
	end)
end)
