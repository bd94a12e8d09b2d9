--- Critical sections: functions given to one queue run one after another.
---
--- Needed where a handler yields between a read and a write: until it goes on, other messages are handled.
local skynet = require "skynet"

local running = coroutine.running
local traceback = debug.traceback
local wait = skynet.wait
local wakeup = skynet.wakeup

---A failure keeps its traceback, since the stack is gone when it is raised again.
local function results(ok, ...)
	if not ok then
		error((...), 0)
	end
	return ...
end

---Makes a queue. A coroutine that is in its section may enter again.
---@return fun(f: function, ...: any): ... enter Runs `f(...)` in the section and returns its results. Yields.
function skynet.queue()
	local owner						-- the coroutine in the section
	local line, first, last = {}, 1, 0	-- tickets of those that wait, and the ends of the line

	---Gives the section to the first in line who is still there.
	local function pass_on()
		owner = nil
		while first <= last do
			local ticket = line[first]
			line[first] = nil
			first = first + 1
			if not ticket.left then
				owner = ticket.thread
				ticket.called = true
				wakeup(ticket)
				return
			end
		end
		first, last = 1, 0
	end

	-- A coroutine that is killed in the section or in the line must not block the others for ever: both places are left
	-- through a to-be-closed variable.
	local section = setmetatable({}, { __close = pass_on })
	local ticket_meta = {
		__close = function(ticket)
			if not ticket.called then
				ticket.left = true
			elseif not ticket.used then
				pass_on()
			end
		end,
	}

	local function line_up(thread)
		local ticket <close> = setmetatable({ thread = thread }, ticket_meta)
		last = last + 1
		line[last] = ticket
		repeat
			wait(ticket)
		until ticket.called
		ticket.used = true
	end

	return function(f, ...)
		local thread = running()
		if owner == thread then
			return f(...)
		elseif owner then
			line_up(thread)
		else
			owner = thread
		end
		local _ <close> = section
		return results(xpcall(f, traceback, ...))
	end
end

return skynet.queue
