--- Limits its memory in the main chunk, and says what became of the function.
local skynet = require "skynet"

skynet.memlimit(tonumber(...))
local again = skynet.memlimit

local kept = {}
local commands = {}

---Keeps strings of so many bytes in all, and says whether that went well.
function commands.keep(bytes)
	return pcall(function()
		for i = 1, bytes // 65536 do
			table.insert(kept, ("x"):rep(65536) .. i)
		end
	end)
end

---The same without a safety net.
function commands.burst(bytes)
	return #("x"):rep(bytes)
end

function commands.drop()
	kept = {}
	collectgarbage()
	return true
end

function commands.again()
	return again
end

skynet.start(function()
	skynet.dispatch("lua", function(_, _, command, ...)
		skynet.retpack(commands[command](...))
	end)
end)
