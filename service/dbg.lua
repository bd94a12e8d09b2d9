--- Asks the launcher one thing, prints the answer, and ends: `dbg list`, `dbg mem`.
local skynet = require "skynet"

local words = { ... }

skynet.start(function()
	local answer = skynet.call(".launcher", "lua", table.unpack(words))
	if type(answer) == "table" then
		local keys = {}
		for key in pairs(answer) do
			table.insert(keys, key)
		end
		table.sort(keys, function(a, b)
			return tostring(a) < tostring(b)
		end)
		for _, key in ipairs(keys) do
			print(key, answer[key])
		end
	else
		print(answer)
	end
	skynet.exit()
end)
