--- Between a console and the service that it debugs: passes lines on. One for each debugging session, which it outlives
--- by nothing.
---
--- Commands: `start address, fd` answers when the session is over; `cmd line`; `ping`.
local skynet = require "skynet"
local debugchannel = require "skynet.debugchannel"

local channel, pointer

local commands = {}

function commands.start(source, address, fd)
	if channel then
		error "this agent debugs already"
	end
	channel, pointer = debugchannel.create()
	skynet.error("Attach to " .. skynet.address(address))
	-- When the console ends, however it does, nobody would ever say `cont`.
	skynet.fork(function()
		pcall(skynet.call, source, "debug", "LINK")
		channel:write "cont"
	end)
	local ok = pcall(skynet.call, address, "debug", "REMOTEDEBUG", fd, pointer)
	if ok then
		skynet.retpack(true)
	else
		-- Matched by consoles: keep the words.
		skynet.retpack(false, "Debugger attach failed")
	end
	skynet.exit()
end

function commands.cmd(_, line)
	if channel then
		channel:write(line)
	end
	skynet.ret()
end

function commands.ping()
	skynet.ret()
end

skynet.start(function()
	skynet.dispatch("lua", function(_, source, name, ...)
		local run = commands[name] or error(("debug_agent: unknown command %s"):format(tostring(name)))
		run(source, ...)
	end)
end)
