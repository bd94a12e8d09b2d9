--- Serves one client of a gate: sends back each package.
local skynet = require "skynet"
local netpack = require "skynet.netpack"
local driver = require "skynet.socketdriver"

local gate, fd = ...
gate, fd = tonumber(gate), tonumber(fd)

skynet.register_protocol {
	name = "client",
	id = skynet.PTYPE_CLIENT,
	unpack = skynet.tostring,
	dispatch = function(_, _, text)
		skynet.ignoreret()
		driver.send(fd, netpack.pack(text))
	end,
}

skynet.start(function()
	skynet.call(gate, "lua", "forward", fd)
end)
