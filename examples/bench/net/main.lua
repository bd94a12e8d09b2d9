--- Servers that answer each request, one for each way to write one. `skynet-rs bench-echo` loads them:
---
---     skynet-rs config/bench_net
---     skynet-rs bench-echo --addr 127.0.0.1:7001 --conns 64
local skynet = require "skynet"

local SERVERS = {
	{ "echo", 7001 },	-- skynet.socket, bare bytes
	{ "frames", 7002 },	-- snax.gateserver, answered in the gate: --frame len2
	{ "agents", 7003 },	-- the gate service with an agent for each client: --frame len2
	{ "websocket", 7004 },	-- http.websocket: --frame ws
}

skynet.start(function()
	for _, server in ipairs(SERVERS) do
		skynet.newservice(server[1], server[2])
		skynet.error(("%s listens on port %d"):format(server[1], server[2]))
	end
	skynet.exit()
end)
