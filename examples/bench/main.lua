--- Runs the cases named by the config key `bench`, prints the median of three runs of each figure, ends the node.
local skynet = require "skynet"
local measure = require "measure"
require "skynet.manager"

local RUNS = 3

-- What measures memory comes first, and its services stay, so that nothing is freed that the next could use again.
local MEMORY = { spawn = true, spawn_heavy = true }
local ALL = {
	"spawn", "spawn_heavy", "pingpong", "pairs100", "ring", "fanin", "fanout", "forkjoin", "unfair",
	"timers", "yield", "fork", "seri", "crypt", "bigmsg",
}

local function print_line(name, value, unit)
	print((math.abs(value) >= 100 and "%s %.0f %s" or "%s %.3f %s"):format(name, value, unit))
	io.stdout:flush()
end

---A case is a function that sets up and returns a run; a run returns figures, each {name, value, unit}.
local function run_case(name)
	local run = require("case." .. name)()
	local order, by_name = {}, {}
	for _ = 1, RUNS do
		for _, figure in ipairs(run()) do
			local key, value, unit = table.unpack(figure)
			if not by_name[key] then
				by_name[key] = { values = {}, unit = unit }
				table.insert(order, key)
			end
			table.insert(by_name[key].values, value)
		end
	end
	if not MEMORY[name] then
		measure.kill_services()
	end
	for _, key in ipairs(order) do
		print_line(key, measure.quantile(by_name[key].values), by_name[key].unit)
	end
end

skynet.start(function()
	measure.receive()
	local wanted = skynet.getenv "bench" or "all"
	local names = {}
	for name in wanted:gmatch "[%w_]+" do
		table.insert(names, name)
	end
	for _, name in ipairs(wanted == "all" and ALL or names) do
		local ok, reason = xpcall(run_case, debug.traceback, name)
		if not ok then
			print(("%s failed: %s"):format(name, reason))
			measure.kill_services()
		end
	end
	skynet.abort()
end)
