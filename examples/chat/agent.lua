--- Serves one client. From the watchdog: serve{ gate, fd, watchdog }, hear(name, text), leave(). From the client, as packages:
--- "name NAME", "say TEXT", "set KEY VALUE", "get KEY", "quit"; each is answered by a package.
local skynet = require "skynet"
local socket = require "skynet.socket"

local fd, gate, watchdog
local name = "nobody"
local TEXT_MAX = 1000		-- of what is said and of names, in bytes

local function write(text)
	socket.write(fd, (">s2"):pack(text))
end

local request = {}

function request.name(new)
	name = assert(#new <= TEXT_MAX and new:match "^%S+$", "a name is one word")
	return "you are " .. name
end

function request.say(text)
	assert(#text <= TEXT_MAX, "that is too long")
	skynet.send(watchdog, "lua", "say", name, text)
end

function request.set(rest)
	local key, value = rest:match "^(%S+) (.+)$"
	assert(key, "set KEY VALUE")
	return skynet.call(".simpledb", "lua", "set", key, value) or "new"
end

function request.get(key)
	return skynet.call(".simpledb", "lua", "get", key) or "none"
end

function request.quit()
	write "bye"
	skynet.send(watchdog, "lua", "close", fd)
end

---What the client gets for a package.
local function answer(package)
	local word, rest = package:match "^(%a+) ?(.*)$"
	local run = request[word]
	if not run then
		return ("no such request: %q"):format(package:sub(1, 40))
	end
	local ok, result = pcall(run, rest)
	if not ok then
		return "error: " .. result:gsub("^[^:]+:%d+: ", "")
	end
	return result
end

skynet.register_protocol {
	name = "client",
	id = skynet.PTYPE_CLIENT,
	unpack = skynet.tostring,
	dispatch = function(_, _, package)
		-- The session is the connection, and no request to answer.
		skynet.ignoreret()
		local text = answer(package)
		if text then
			write(text)
		end
	end,
}

local command = {}

function command.serve(conf)
	fd, gate, watchdog = conf.fd, conf.gate, conf.watchdog
	write "welcome"
	skynet.call(gate, "lua", "forward", fd)
end

function command.hear(who, text)
	write(("%s: %s"):format(who, text))
end

function command.leave()
	skynet.exit()
end

skynet.start(function()
	skynet.dispatch("lua", function(session, _, what, ...)
		if session == 0 then
			command[what](...)
		else
			skynet.retpack(command[what](...))
		end
	end)
end)
