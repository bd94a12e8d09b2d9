--- Reads and writes of HTTP without a socket, for tests.
local sockethelper = require "http.sockethelper"

local M = {}

---A read function over a text that comes in pieces of this length; behind its end the connection is lost.
function M.reader(text, piece)
	piece = piece or #text
	local at = 1
	return function(sz)
		local rest = #text - at + 1
		if rest < (sz or 1) then
			error(sockethelper.socket_error)
		end
		local data = text:sub(at, at + (sz or piece) - 1)
		at = at + #data
		return data
	end
end

---A write function, and what shows what it was given.
function M.writer()
	local all = {}
	return function(text)
		all[#all + 1] = text
	end, function()
		return table.concat(all)
	end
end

return M
