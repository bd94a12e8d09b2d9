--- A service over the old dispatcher: answers requests, calls, sleeps, fails, and hangs as asked. With the word
--- `forward` the messages become its own.
local core = require "skynet.core"
local dispatcher = require "old.dispatcher"

local mode = ...

local commands = {}

function commands.echo(...)
	dispatcher.ret(...)
end

function commands.call(address, ...)
	dispatcher.ret("called", dispatcher.call(address, ...))
end

function commands.sleep(ticks)
	local before = core.now()
	dispatcher.sleep(ticks)
	dispatcher.ret(core.now() - before)
end

function commands.fail()
	error "the old service fails as asked"
end

function commands.hang()
	coroutine.yield(0)
end

function commands.log()
	dispatcher.ret(table.concat(dispatcher.log, " "))
end

function commands.exit()
	core.command "EXIT"
end

---Hands the message on as it is: what only a service in forward mode may do.
local function pass_on(msg, sz, session, source)
	core.redirect(".eval", source, 10, session, msg, sz)
end

dispatcher.start(function(_, msg, sz, session, source)
	if mode == "forward" then
		return pass_on(msg, sz, session, source)
	end
	local command = core.unpack(msg, sz)
	commands[command](select(2, core.unpack(msg, sz)))
end, function() end, mode == "forward")
