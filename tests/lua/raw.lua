--- Handles raw messages of type 100: the handler gets a pointer. What its debugger prints goes to the log.
local skynet = require "skynet"
require "skynet.manager"

local filtered = ... == "true"

package.loaded["skynet.socketdriver"] = {
	send = function(_, text)
		skynet.error("prompt " .. text)
		return true
	end,
}

skynet.register_protocol {
	name = "raw",
	id = 100,
	unpack = function(msg, sz)
		return msg, sz
	end,
	dispatch = function(_, _, msg, sz)
		skynet.ignoreret()
		local want = ("0123456789"):rep(1000)
		skynet.error("raw message whole:", skynet.tostring(msg, sz) == want)
	end,
}

local function start() end

if filtered then
	skynet.filter(function(...)
		return ...
	end, start)
else
	skynet.start(start)
end
