--- A message server whose requests say what is to be done: "sleep" waits to be released, "fail" raises, "nothing" returns
--- nothing, "number" returns a number, "table" and "huge" what cannot be sent, "logout" logs the user out, others come back
--- in capitals. Commands: login(uid, subid, secret), logout(username), kick(what, ...).
local skynet = require "skynet"
local server = require "snax.msgserver"

local name
local sleeper
local handler = { expired_number = 4 }

function handler.login_handler(uid, subid, secret)
	local username = server.username(uid, subid, name)
	server.login(username, secret)
	return username, server.userid(username)
end

function handler.logout_handler(username)
	server.logout(username)
end

local kinds = {}

function kinds.release()
	skynet.wakeup(sleeper)
end

function kinds.ip(username)
	return server.ip(username)
end

function kinds.userid(username)
	return server.userid(username)
end

function handler.kick_handler(what, ...)
	return kinds[what](...)
end

function handler.register_handler(servername)
	name = servername
	skynet.error("registered as", servername)
	return "registered"
end

function handler.disconnect_handler(username)
	skynet.error("disconnected:", username)
end

function handler.request_handler(username, message)
	skynet.error("request:", message)
	if message == "sleep" then
		sleeper = {}
		skynet.wait(sleeper)
		return "slept"
	elseif message == "fail" then
		error "the handler fails as asked"
	elseif message == "nothing" then
		return nil
	elseif message == "number" then
		return 12
	elseif message == "table" then
		return {}
	elseif message == "huge" then
		return ("x"):rep(65531)
	elseif message == "large" then
		return ("x"):rep(65530)
	elseif message == "logout" then
		server.logout(username)
	end
	return message:upper()
end

server.start(handler)
