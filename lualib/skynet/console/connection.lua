--- One client of the debug console: its lines in, and the text out.
---
--- Lines are read ahead of the command that runs, up to a limit, so that the end of the input is noticed meanwhile. What
--- the client does not take is not written on and on: `may_write` waits.
local skynet = require "skynet"
local socket = require "skynet.socket"

-- A line, and a request of HTTP, in bytes.
local LINE_MAX = 8192
-- Lines that wait for a command to end; then nothing more is read.
local LINES_MAX = 64

---@class skynet.console.connection
---@field id integer
---@field unread string what has come
---@field at integer where in it the next line begins
---@field lines string[] lines that nobody has taken
---@field ended string? why there are no more: "closed", or a text for the client
---@field backlog boolean? more than 1 MiB waits to be sent
local Connection = {}
Connection.__index = Connection

local M = { LINE_MAX = LINE_MAX }

---@param id integer a socket that has been started
---@return skynet.console.connection
function M.new(id)
	local self = setmetatable({ id = id, unread = "", at = 1, lines = {}, room = {}, came = {}, drained = {} }, Connection)
	socket.warning(id, function(_, kib)
		self.backlog = kib > 0
		if not self.backlog then
			skynet.wakeup(self.drained)
		end
	end)
	return self
end

---@return boolean there more bytes have come
function Connection:read_more()
	local data = socket.read(self.id)
	if not data then
		self.ended = self.ended or "closed"
		return false
	end
	self.unread = self.unread:sub(self.at) .. data
	self.at = 1
	return true
end

---Reads a line from the socket itself. Only before `read_ahead`.
---@return string? line without its end
function Connection:read_line()
	local from = self.at
	while true do
		local stop = self.unread:find("\n", from, true)
		if (stop or #self.unread + 1) - self.at > LINE_MAX then
			self.ended = ("The line is longer than %d bytes"):format(LINE_MAX)
			return nil
		elseif stop then
			local line = self.unread:sub(self.at, stop - 1):gsub("\r$", "")
			self.at = stop + 1
			return line
		end
		from = #self.unread - self.at + 2
		if not self:read_more() then
			-- What has no end is a line as well, if it is the last one.
			local line = self.unread:sub(self.at):gsub("\r$", "")
			self.at = #self.unread + 1
			return line ~= "" and line or nil
		end
	end
end

---Reads so many bytes. Only before `read_ahead`.
---@param size integer
---@return string? bytes nil: there are fewer
function Connection:read_bytes(size)
	while #self.unread - self.at + 1 < size do
		if not self:read_more() then
			return nil
		end
	end
	local bytes = self.unread:sub(self.at, self.at + size - 1)
	self.at = self.at + size
	return bytes
end

---From now on lines are read while commands run, and taken by `next_line`.
function Connection:read_ahead()
	skynet.fork(function()
		repeat
			while #self.lines >= LINES_MAX and not self.over do
				skynet.wait(self.room)
			end
			local line = not self.over and self:read_line()
			if line then
				table.insert(self.lines, line)
			else
				self.finished = true
			end
			skynet.wakeup(self.came)
		until not line
	end)
end

---The next line, or nothing when there are no more. One coroutine waits at a time.
---@return string?
function Connection:next_line()
	while #self.lines == 0 and not self.finished do
		skynet.wait(self.came)
	end
	local line = table.remove(self.lines, 1)
	skynet.wakeup(self.room)
	return line
end

---@param text string
---@return boolean written
function Connection:write(text)
	return socket.write(self.id, text)
end

---Waits until the client has taken what was written, as long as that.
---@param centiseconds integer
---@return boolean
function Connection:may_write(centiseconds)
	local deadline = skynet.now() + centiseconds
	while self.backlog do
		local left = deadline - skynet.now()
		if left <= 0 then
			return false
		end
		skynet.sleep(left, self.drained)
	end
	return true
end

---Ends the connection; what was written is still sent.
function Connection:close()
	self.over = true
	skynet.wakeup(self.room)
	socket.close(self.id)
end

return M
