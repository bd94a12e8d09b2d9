--- Runs the cases named by the config key `bench` against the other node, prints the median of three runs of each figure,
--- ends both nodes.
local skynet = require "skynet"
local harbor = require "skynet.harbor"
local measure = require "measure"
local cases = require "cases"
require "skynet.manager"

local RUNS = 3

local function print_line(name, value, unit)
	print((math.abs(value) >= 100 and "%s %.0f %s" or "%s %.3f %s"):format(name, value, unit))
	io.stdout:flush()
end

local function run_case(name)
	local run = assert(cases.case[name], "no such case")()
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
	cases.kill_services()
	for _, key in ipairs(order) do
		print_line(key, measure.quantile(by_name[key].values), by_name[key].unit)
	end
end

skynet.start(function()
	measure.receive()
	skynet.fork(function()
		harbor.queryname "BENCHPEER"
		local wanted = skynet.getenv "bench" or "all"
		if wanted == "death" then
			return cases.death()
		end
		local names = {}
		for name in wanted:gmatch "[%w_]+" do
			table.insert(names, name)
		end
		for _, name in ipairs(wanted == "all" and cases.order or names) do
			local ok, reason = xpcall(run_case, debug.traceback, name)
			if not ok then
				print(("%s failed: %s"):format(name, reason))
			end
		end
		print "done"
		io.stdout:flush()
		skynet.call("BENCHPEER", "lua", "stop")
		skynet.abort()
	end)
end)
