--- pack and unpack, there and back.
local skynet = require "skynet"
local measure = require "measure"

local function rate(count, ...)
	local pack, unpack, trash = skynet.pack, skynet.unpack, skynet.trash
	local arguments = table.pack(...)
	local seconds
	if arguments.n == 1 then
		local value = ...
		seconds = measure.seconds(function()
			for _ = 1, count do
				local message, size = pack(value)
				unpack(message, size)
				trash(message, size)
			end
		end)
	else
		local a, b, c = ...
		seconds = measure.seconds(function()
			for _ = 1, count do
				local message, size = pack(a, b, c)
				unpack(message, size)
				trash(message, size)
			end
		end)
	end
	return count / seconds
end

---A nested table of fifty fields, such as the state of a player.
local function player()
	local t = { id = 10086, name = "Lancelot", level = 57, vip = true, gold = 1234567890123, rate = 0.75 }
	t.position = { map = 12, x = 102.5, y = -33.25, z = 0 }
	t.bag = {}
	for i = 1, 10 do
		t.bag[i] = { id = 1000 + i, count = i * 3, bound = i % 2 == 0, name = "item" .. i }
	end
	return t
end

return function()
	local table50 = player()
	local text = ("x"):rep(64 * 1024)
	return function()
		return {
			{ "seri_small", rate(1000000, "set", 12345, true), "roundtrips/s" },
			{ "seri_table50", rate(50000, table50), "roundtrips/s" },
			{ "seri_str64k", rate(20000, text), "roundtrips/s" },
		}
	end
end
