--- A gate that answers each package itself.
local gateserver = require "snax.gateserver"
local netpack = require "skynet.netpack"
local driver = require "skynet.socketdriver"
local skynet = require "skynet"

local port = tonumber((...))
local handler = {}

function handler.connect(fd)
	gateserver.openclient(fd)
end

function handler.message(fd, data, size)
	driver.send(fd, netpack.pack(netpack.tostring(data, size)))
end

-- The gate opens when it is told to, and nobody else is there to tell it.
skynet.init(function()
	skynet.fork(function()
		skynet.call(skynet.self(), "lua", "open", { address = "127.0.0.1", port = port, maxclient = 65535, nodelay = true })
	end)
end)

gateserver.start(handler)
