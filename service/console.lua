--- Launches what is typed on the standard input: `name words...`, or `snax name words...` for a snax service.
local skynet = require "skynet"
local socket = require "skynet.socket"

-- A line of this length is none.
local LINE_MAX = 8192

local function obey(line)
	local words = {}
	for word in line:gmatch "%S+" do
		table.insert(words, word)
	end
	if words[1] == "snax" and words[2] then
		-- An error is in the log already, by whoever made it.
		pcall(function()
			require "skynet.snax".newservice(table.unpack(words, 2))
		end)
	elseif words[1] then
		pcall(skynet.newservice, table.unpack(words))
	end
end

skynet.start(function()
	local id, problem = socket.stdin()
	if not id then
		skynet.error("console: the standard input cannot be read:", problem)
		return
	end
	socket.limit(id, LINE_MAX)
	skynet.fork(function()
		while true do
			local line = socket.readline(id, "\n")
			if not line then
				break
			end
			obey(line)
		end
		socket.close(id)
	end)
end)
