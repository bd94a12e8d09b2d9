--- The cases: each sets up and returns a run; a run returns figures, each {name, value, unit}.
local skynet = require "skynet"
local measure = require "measure"

local KIB, MIB = 1024, 1024 * 1024

local M = {}

local function peer(...)
	return skynet.call("BENCHPEER", "lua", ...)
end

local remote = {}

---Starts a service on the other node, to be killed when the case is over.
local function remote_service(name, ...)
	local handle = peer("service", name, ...)
	table.insert(remote, handle)
	return handle
end

function M.kill_services()
	for _, handle in ipairs(remote) do
		peer("kill", handle)
	end
	remote = {}
	measure.kill_services()
end

---CPU time of both processes.
local function cpu()
	return measure.cpu() + peer "cpu"
end

---Bytes that no compressor makes shorter.
local function noise(size)
	local block = {}
	for i = 1, math.min(size, MIB) / 8 do
		block[i] = ("i8"):pack(math.random(0))
	end
	local text = table.concat(block)
	return text:rep(size // #text)
end

---@type table<string, fun(): fun(): table>
M.case = {}

---Calls, one after another.
function M.case.harbor_call()
	local COUNT = 30000
	local caller, echo = measure.service "caller", remote_service "echo"
	skynet.call(caller, "lua", echo, 1000)
	return function()
		local start = cpu()
		local seconds = measure.seconds(skynet.call, caller, "lua", echo, COUNT)
		return {
			{ "harbor_call", COUNT / seconds, "calls/s" },
			{ "harbor_call_cpu", (cpu() - start) / COUNT * 1e6, "us/call" },
		}
	end
end

---A hundred callers in one service.
function M.case.harbor_call100()
	local CALLERS, COUNT = 100, 3000
	local echo = remote_service "echo"
	local call = skynet.call
	local function caller()
		for i = 1, COUNT do
			call(echo, "lua", i)
		end
	end
	return function()
		local start = cpu()
		local seconds = measure.seconds(measure.together, CALLERS, caller)
		return {
			{ "harbor_call100", CALLERS * COUNT / seconds, "calls/s" },
			{ "harbor_call100_cpu", (cpu() - start) / CALLERS / COUNT * 1e6, "us/call" },
		}
	end
end

---Sends without answers. The receiver tells each time when a part has come, so that no more than a few parts are on their
---way: a queue without end would measure memory.
local function flow(text, count, each, parts)
	local sink = remote_service("flow_sink", each)
	local send = skynet.send
	return function()
		for part = 1, count // each do
			if part > parts then
				measure.arrivals(1)
			end
			for _ = 1, each do
				send(sink, "lua", text)
			end
		end
		measure.arrivals(math.min(parts, count // each))
	end
end

function M.case.harbor_send()
	local COUNT = 1000000
	local run = flow(noise(64), COUNT, 1000, 16)
	return function()
		local start = cpu()
		local seconds = measure.seconds(run)
		return {
			{ "harbor_send", COUNT / seconds, "msgs/s" },
			{ "harbor_send_cpu", (cpu() - start) / COUNT * 1e6, "us/msg" },
		}
	end
end

function M.case.harbor_send64k()
	local COUNT = 16000
	local run = flow(noise(64 * KIB), COUNT, 16, 8)
	return function()
		local start = cpu()
		local seconds = measure.seconds(run)
		return {
			{ "harbor_send64k", COUNT / 16 / seconds, "MiB/s" },
			{ "harbor_send64k_cpu", (cpu() - start) / COUNT * 1e6, "us/msg" },
		}
	end
end

---One call after another; the bytes of both directions are counted.
function M.case.harbor_call64k()
	local COUNT = 4000
	local echo, text = remote_service "echo", noise(64 * KIB)
	return function()
		local start = cpu()
		local seconds = measure.seconds(function()
			for _ = 1, COUNT do
				skynet.call(echo, "lua", text)
			end
		end)
		return {
			{ "harbor_call64k", 2 * COUNT / 16 / seconds, "MiB/s" },
			{ "harbor_call64k_cpu", (cpu() - start) / COUNT * 1e6, "us/call" },
		}
	end
end

function M.case.harbor_echo7m()
	local COUNT = 10
	local echo, text = remote_service "echo", noise(7 * MIB)
	return function()
		local start = cpu()
		local seconds = measure.seconds(function()
			for _ = 1, COUNT do
				assert(#skynet.call(echo, "lua", text) == #text)
			end
		end)
		return {
			{ "harbor_echo7m", seconds / COUNT * 1e3, "ms" },
			{ "harbor_echo7m_cpu", (cpu() - start) / COUNT * 1e3, "ms/echo" },
		}
	end
end

---One message of 200 MB, and the latency of small calls of other services meanwhile.
function M.case.harbor_200m()
	local SIZE = 200 * MIB
	local shipper, taker, echo = measure.service "shipper", remote_service "taker", remote_service "echo"
	skynet.call(shipper, "lua", "load", SIZE, noise(MIB))
	return function()
		local times, shipped = {}, nil
		skynet.fork(function()
			shipped = measure.seconds(function()
				assert(skynet.call(shipper, "lua", "ship", taker) == SIZE)
			end)
		end)
		repeat
			local seconds = measure.seconds(skynet.call, echo, "lua", 1)
			table.insert(times, seconds * 1e3)
		until shipped
		return {
			{ "harbor_200m", shipped, "s" },
			{ "harbor_200m_small_p50", measure.quantile(times), "ms" },
			{ "harbor_200m_small_p99", measure.quantile(times, 0.99), "ms" },
			{ "harbor_200m_small_max", times[#times], "ms" },
		}
	end
end

---What the driver program measures by killing the other node and starting it again; not part of "all".
function M.death()
	local function tell(what)
		print(what)
		io.stdout:flush()
	end
	while true do
		repeat
			local answered = pcall(peer, "cpu")
			if not answered then
				skynet.sleep(1)
			end
		until answered
		tell "answered"
		pcall(peer, "hold")
		tell "failed"
	end
end

M.order = {
	"harbor_call", "harbor_call100", "harbor_send", "harbor_send64k", "harbor_call64k", "harbor_echo7m", "harbor_200m",
}

return M
