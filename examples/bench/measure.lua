--- What the benchmark cases share: clocks, the process's memory, services to be cleaned up, and waiting for messages.
local skynet = require "skynet"
require "skynet.manager"

local PAGE = 4096

local M = {}

---How long a function takes, in seconds.
function M.seconds(f, ...)
	local start = skynet.hpc()
	f(...)
	return (skynet.hpc() - start) / 1e9
end

---CPU time of the whole process, all threads, in seconds.
M.cpu = os.clock

---Resident memory of the process, in bytes.
function M.rss()
	local file = assert(io.open "/proc/self/statm")
	local pages = assert(file:read "a":match "^%d+ (%d+)", "unexpected text in /proc/self/statm")
	file:close()
	return tonumber(pages) * PAGE
end

---The middle of some numbers; also any other part of them (0.99: the 99th percentile).
function M.quantile(numbers, part)
	table.sort(numbers)
	return numbers[math.max(1, math.ceil(#numbers * (part or 0.5)))]
end

local services = {}

---Starts a service, to be killed when the case is over.
function M.service(name, ...)
	local handle = assert(skynet.newservice(name, ...), name)
	table.insert(services, handle)
	return handle
end

---@return integer[]
function M.services(count, name, ...)
	local handles = {}
	for i = 1, count do
		handles[i] = M.service(name, ...)
	end
	return handles
end

function M.kill_services()
	for _, handle in ipairs(services) do
		skynet.kill(handle)
	end
	services = {}
	collectgarbage()
end

---Runs `f(i)` for 1..count in coroutines at once, and waits for all of them.
function M.together(count, f)
	local left, token = count, {}
	local failure
	for i = 1, count do
		skynet.fork(function()
			local ok, reason = xpcall(f, debug.traceback, i)
			failure = failure or not ok and reason
			left = left - 1
			if left == 0 then
				skynet.wakeup(token)
			end
		end)
	end
	skynet.wait(token)
	if failure then
		error(failure, 0)
	end
end

local arrived, expected = 0, nil
local arrival = {}

---To be called once: any "lua" message to this service counts as one arrival.
function M.receive()
	skynet.dispatch("lua", function()
		arrived = arrived + 1
		if arrived == expected then
			skynet.wakeup(arrival)
		end
	end)
end

---Waits for so many messages to this service.
function M.arrivals(count)
	if arrived < count then
		expected = count
		skynet.wait(arrival)
		expected = nil
	end
	arrived = arrived - count
end

return M
