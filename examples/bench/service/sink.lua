--- Counts messages and answers ("expect", n) when n have come.
local skynet = require "skynet"

local count = 0
local expected, response

local function check()
	if count == expected then
		count, expected = 0, nil
		response(true)
	end
end

skynet.start(function()
	skynet.dispatch("lua", function(_, _, what, n)
		if what == "expect" then
			expected, response = n, skynet.response()
		else
			count = count + 1
		end
		check()
	end)
end)
