--- Hands every message on to another service: the callback owns the bytes.
local core = require "skynet.core"

local worker = tonumber((...))

core.callback(function(kind, msg, sz, session, source)
	if kind == 10 then
		core.redirect(worker, source, kind, session, msg, sz)
	else
		core.trash(msg, sz)
		if session ~= 0 then
			core.send(source, 7, session, "")
		end
	end
end, true)

core.send(".launcher", 0, 0, "")
