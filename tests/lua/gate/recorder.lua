--- A gate that writes down what it hears: `event: <what> <client> ...`, where clients are numbered as they come. A package
--- says what its handler does: "sleep" waits to be released, "kick" closes the connection, "fail" raises, "echo ..." is sent
--- back, "much N" sends N KiB. Words of the launch: "embed" or another, "held" (clients are not opened) or another,
--- "halfopen" (clients that end their side are not closed).
local skynet = require "skynet"
local gateserver = require "snax.gateserver"
local netpack = require "skynet.netpack"
local driver = require "skynet.socketdriver"

local embed, held, halfopen = ...
local numbers, count = {}, 0
local fds = {}
local sleeper

local function event(what, fd, ...)
	skynet.error(table.concat({ "event:", what, numbers[fd] or "?", ... }, " "))
end

local handler = { embed = embed == "embed" }

function handler.open(source, conf)
	skynet.error(("event: opened %s %s"):format(skynet.address(source), conf.address))
	return conf.port, conf.tag
end

function handler.connect(fd, address)
	count = count + 1
	numbers[fd], fds[count] = count, fd
	event("connect", fd, address)
	if held ~= "held" then
		gateserver.openclient(fd)
	end
end

function handler.message(fd, data, size)
	local text = netpack.tostring(data, size)
	event("message", fd, #text <= 80 and text or ("of %d bytes"):format(#text))
	local word, rest = text:match "^(%a+) ?(.*)$"
	if word == "sleep" then
		sleeper = {}
		skynet.wait(sleeper)
		event("slept", fd)
	elseif word == "kick" then
		gateserver.closeclient(fd)
	elseif word == "fail" then
		error "the handler fails as asked"
	elseif word == "echo" then
		driver.send(fd, netpack.pack(rest))
	elseif word == "much" then
		driver.send(fd, ("x"):rep(1024 * tonumber(rest)))
	end
end

function handler.disconnect(fd)
	event("disconnect", fd)
	if not halfopen then
		gateserver.closeclient(fd)
	end
end

function handler.error(fd, reason)
	event("error", fd, reason)
end

function handler.warning(fd, kb)
	event("warning", fd, kb)
end

local commands = {}

function commands.openclient(_, number)
	gateserver.openclient(fds[number] or number)
end

function commands.closeclient(_, number)
	gateserver.closeclient(fds[number] or number)
end

function commands.send(_, number, text)
	driver.send(fds[number], netpack.pack(text))
end

function commands.release()
	skynet.wakeup(sleeper)
end

function commands.echo(_, ...)
	return ...
end

function handler.command(cmd, source, ...)
	return commands[cmd](source, ...)
end

gateserver.start(handler)
if handler.embed then
	skynet.start(function()
		skynet.error "event: started by the script"
	end)
end
