--- The client: a script without a node. Requests are its arguments, or lines from the keyboard.
---
---     skynet-rs lua examples/chat/client.lua 127.0.0.1 8888 ["name ann" "say hello" quit]
local socket = require "client.socket"

local address, port = ...
local requests = { select(3, ...) }
local is_scripted = #requests > 0

local fd = socket.connect(address or "127.0.0.1", tonumber(port) or 8888)

---Takes the first package off what has come.
local function cut(data)
	if #data >= 2 then
		local size = (">I2"):unpack(data)
		if #data >= size + 2 then
			return data:sub(3, size + 2), data:sub(size + 3)
		end
	end
end

local data = ""

---The next package, if it has come; the script ends when the server has closed.
local function receive()
	local package, rest = cut(data)
	if package then
		data = rest
		return package
	end
	local more = socket.recv(fd)
	if more == "" then
		socket.close(fd)
		os.exit(true)
	end
	data = data .. (more or "")
	if more then
		return receive()
	end
end

local function send(text)
	socket.send(fd, (">s2"):pack(text))
end

-- A script's next request goes when the answer to the one before it has come; the first answer is the welcome.
while true do
	local package = receive()
	if package then
		print(package)
		if is_scripted and #requests > 0 then
			send(table.remove(requests, 1))
		end
	else
		local line = not is_scripted and socket.readstdin()
		if line then
			send(line)
		else
			socket.usleep(1000)
		end
	end
end
