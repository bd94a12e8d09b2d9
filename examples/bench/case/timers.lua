--- A hundred thousand timeouts of 1 to 300 centiseconds: their cost, and how far off the time they asked for.
local skynet = require "skynet"
local measure = require "measure"

local COUNT = 100000
local LONGEST = 300
local CENTISECOND = 10000000	-- in nanoseconds

return function()
	return function()
		collectgarbage()
		local hpc, timeout = skynet.hpc, skynet.timeout
		local fired, early, late = 0, 0, 0
		local token = {}

		local cpu = measure.cpu()
		local create = measure.seconds(function()
			for i = 1, COUNT do
				local ti = i % LONGEST + 1
				local due = hpc() + ti * CENTISECOND
				timeout(ti, function()
					local off = hpc() - due
					if off < early then
						early = off
					end
					late = late + off
					fired = fired + 1
					if fired == COUNT then
						skynet.wakeup(token)
					end
				end)
			end
		end)
		skynet.wait(token)
		cpu = measure.cpu() - cpu

		return {
			{ "timers_create", COUNT / create, "timers/s" },
			{ "timers_cpu", cpu / COUNT * 1e6, "us/timer" },
			{ "timers_early_max", -early / 1e6, "ms" },
			{ "timers_late_mean", late / COUNT / 1e6, "ms" },
		}
	end
end
