--- Logs the other nodes as they come and go, and now and then how their links are.
local skynet = require "skynet"
local harbor = require "skynet.harbor"

-- Centiseconds between two looks at who is there, and looks between two reports.
local LOOK, REPORT = 50, 6

local function describe(id, node)
	local rtt = node.rtt_ms and ("%.2f ms"):format(node.rtt_ms) or "unknown"
	return ("node %d at %s: %s, %s form, round trip %s, %d sent, %d received, %d dropped, %d resumed"):format(
		id, node.address or "an unknown address", node.state, node.form ~= "" and node.form or "no", rtt,
		node.sent, node.received, node.dropped, node.resumed)
end

---Goes on for as long as this node lives: once round for each life of the other one.
local function watch(id)
	while true do
		harbor.connect(id)
		skynet.error(("node %d has come"):format(id))
		harbor.link(id)
		skynet.error(("node %d has gone"):format(id))
	end
end

skynet.start(function()
	local watched = {}
	skynet.fork(function()
		local looks = 0
		while true do
			local nodes = harbor.nodes()
			for id, node in pairs(nodes) do
				if not watched[id] then
					watched[id] = true
					skynet.fork(watch, id)
				end
					-- One that never had a link has no state.
				if looks % REPORT == 0 and node.state then
					skynet.error(describe(id, node))
				end
			end
			looks = looks + 1
			skynet.sleep(LOOK)
		end
	end)
end)
