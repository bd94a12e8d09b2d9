--- Ends what reads from a socket for too long.
---
--- One coroutine of a service watches all reads that are under way, so that a limit costs no timer of its own, and
--- nothing once the read is over.
local skynet = require "skynet"
local socket = require "skynet.socket"

local now = skynet.now

--- The watch looks no more often than that, in centiseconds, so that many limits which end soon after each other are
--- one look.
local PAUSE <const> = 5

---@class http.deadline
---@field fd integer
---@field at number when it ends, in the centiseconds of `skynet.now`
---@field expired boolean it has ended a read
local deadline = {}
deadline.__index = deadline

local M = {}

local reading = {}	-- the deadlines of the reads that are under way
local looks_at		-- when the watch looks next; nil while there is none
local bell = {}		-- wakes it

local function watch()
	while true do
		local time, next_end = now(), nil
		for one in pairs(reading) do
			if one.at <= time then
				reading[one] = nil
				one.expired = true
				socket.shutdown(one.fd)
			elseif not next_end or one.at < next_end then
				next_end = one.at
			end
		end
		if not next_end then
			looks_at = nil
			return
		end
		local pause = math.max(next_end - time, PAUSE)
		looks_at = time + pause
		skynet.sleep(pause, bell)
	end
end

---From now on there is no limit.
function deadline:lift()
	self.at = math.huge
end

---@param fd integer
---@param ticks integer from now on, in centiseconds
---@return http.deadline
function M.new(fd, ticks)
	return setmetatable({ fd = fd, at = now() + ticks, expired = false }, deadline)
end

---Calls `f(fd, ...)`, which reads. When the deadline comes meanwhile, the socket is shut down, and so the read ends;
---later ones do not even begin.
---@return any ... what `f` returns, or false
function deadline:read(f, ...)
	if self.at == math.huge then
		return f(self.fd, ...)
	elseif now() >= self.at then
		self.expired = true
		return false
	end
	reading[self] = true
	if not looks_at then
		looks_at = self.at
		skynet.fork(watch)
	elseif self.at + PAUSE < looks_at then
		skynet.wakeup(bell)
	end
	local result, rest = f(self.fd, ...)
	reading[self] = nil
	return result, rest
end

return M
