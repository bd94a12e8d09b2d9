--- Servers that answer each request, one for each way to write one. `skynet-rs bench-echo` loads them:
---
---     skynet-rs config/bench_net
---     skynet-rs bench-echo --addr 127.0.0.1:7001 --conns 64
local skynet = require "skynet"

local SERVERS = {
	{ "echo", 7001 },	-- skynet.socket, bare bytes
}

skynet.start(function()
	for _, server in ipairs(SERVERS) do
		skynet.newservice(server[1], server[2])
		skynet.error(("%s listens on port %d"):format(server[1], server[2]))
	end
	skynet.exit()
end)
