--- A watchdog or an agent that writes down what gates tell it, behind its name: "lua" messages as `<name>: <words>`, texts as
--- `<name>: text <session> <text>`, packages as `<name>: package <session> <source> <bytes>`.
local skynet = require "skynet"

local name, kind = ...

local function note(...)
	skynet.error(table.concat({ name .. ":", ... }, " "))
end

skynet.register_protocol {
	name = "text",
	id = skynet.PTYPE_TEXT,
	unpack = skynet.tostring,
	dispatch = function(session, _, text)
		skynet.ignoreret()
		note("text", session, text)
	end,
}

skynet.register_protocol {
	name = "client",
	id = tonumber(kind) or skynet.PTYPE_CLIENT,
	unpack = skynet.tostring,
	dispatch = function(session, source, bytes)
		skynet.ignoreret()
		note("package", session, source, bytes)
	end,
}

skynet.start(function()
	skynet.dispatch("lua", function(session, _, what, ...)
		if what == "socket" then
			note(...)
		elseif what == "quit" then
			skynet.retpack()
			skynet.exit()
		elseif session ~= 0 then
			skynet.retpack(pcall(skynet[what], ...))
		end
	end)
end)
