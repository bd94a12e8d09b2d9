--- Starts the services of the chat, then ends: they live on without it.
local skynet = require "skynet"

skynet.start(function()
	skynet.newservice "simpledb"
	local watchdog = skynet.newservice "watchdog"
	local address, port = skynet.call(watchdog, "lua", "start", {
		address = skynet.getenv "chat_address",
		port = tonumber(skynet.getenv "chat_port"),
		maxclient = tonumber(skynet.getenv "chat_clients"),
		nodelay = true,
	})
	skynet.error(("chat: clients may connect to %s:%d"):format(address, port))
	skynet.exit()
end)
