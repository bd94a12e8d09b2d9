--- The debug console: a telnet-like port for operators. `debug_console [ip] port`; a command a line, see `help`.
---
--- Whoever reaches the port rules the node, so it listens on the loopback address unless told otherwise, and the config may
--- ask for a secret: with `debug_console_token` the first line must be `token <secret>`. For a tool that speaks HTTP the
--- path is the command (`GET /stat/100`), or the body of a POST; the secret then is in a header (`Authorization: Bearer
--- <secret>`) or in the query (`?token=<secret>`).
local skynet = require "skynet"
local socket = require "skynet.socket"
local commands = require "skynet.console.commands"
local connections = require "skynet.console.connection"

local words = { ... }
local ip, port = words[1], words[2]
if not port then
	ip, port = "127.0.0.1", ip
end

-- Clients at the same time.
local CLIENTS_MAX = 64
-- The head of a request of HTTP, and its body, in bytes.
local REQUEST_MAX = 8192
-- In centiseconds: what a client may take to say who it is, or to send its request; and to take what was written to it.
local TOKEN_TIMEOUT = 1000
local TAKE_TIMEOUT = 3000

local token = skynet.getenv "debug_console_token"
-- What a command may take, in centiseconds.
local command_timeout = tonumber(skynet.getenv "debug_console_timeout" or 3000)
local clients = 0

-- Results -------------------------------------------------------------------------------------------------------------

local function sorted_keys(t)
	local keys = {}
	for key in pairs(t) do
		table.insert(keys, key)
	end
	table.sort(keys, function(a, b)
		return tostring(a) < tostring(b)
	end)
	return keys
end

---A table in a table: one line.
local function pairs_text(t)
	local fields = {}
	for i, key in ipairs(sorted_keys(t)) do
		fields[i] = ("%s:%s"):format(tostring(key), tostring(t[key]))
	end
	return table.concat(fields, "\t")
end

---The text of a result, each line with its end.
local function result_text(result)
	if result == nil then
		return ""
	elseif type(result) ~= "table" then
		return tostring(result) .. "\n"
	end
	local lines = {}
	for i, key in ipairs(sorted_keys(result)) do
		local value = result[key]
		lines[i] = ("%s\t%s\n"):format(tostring(key), type(value) == "table" and pairs_text(value) or tostring(value))
	end
	return table.concat(lines)
end

-- Commands ------------------------------------------------------------------------------------------------------------

local function split(line)
	local list = {}
	for word in line:gmatch "%S+" do
		table.insert(list, word)
	end
	return list
end

---Runs a command in a coroutine of its own, since it may hang with the service that it asks.
---@return boolean ok
---@return any result or error
local function run_limited(limit, run, ...)
	local job = {}
	local thread = skynet.fork(function(...)
		local over <close> = setmetatable({}, {
			__close = function()
				job.over = true
				skynet.wakeup(job)
			end,
		})
		job.ok, job.result = pcall(run, ...)
	end, ...)
	local deadline = limit and skynet.now() + limit
	while not job.over do
		if not deadline then
			skynet.wait(job)
		else
			local left = deadline - skynet.now()
			if left <= 0 then
				skynet.killthread(thread)
				return false, ("no answer within %g seconds"):format(limit / 100)
			end
			skynet.sleep(left, job)
		end
	end
	return job.ok or false, job.result
end

---@param connection skynet.console.connection
local function obey(connection, line)
	local list = split(line)
	local name = list[1]
	if not name then
		return
	end
	local limit = not commands.unlimited[name] and command_timeout or nil
	local ok, result
	if commands.commands[name] then
		ok, result = run_limited(limit, commands.commands[name], table.unpack(list, 2))
	elseif commands.special[name] then
		ok, result = run_limited(limit, commands.special[name], line, list, connection)
	else
		-- Matched by programs: keep the words, and the empty line.
		connection:write "Invalid command, type help for command list\n\n<CMD Error>\n"
		return
	end
	if ok then
		connection:write(result_text(result) .. "<CMD OK>\n")
	else
		connection:write(tostring(result) .. "\n<CMD Error>\n")
	end
end

-- Clients -------------------------------------------------------------------------------------------------------------

---Compares in a time that does not tell where they differ.
local function is_token(text)
	local difference = #text ~ #token
	for i = 1, #text do
		difference = difference | text:byte(i) ~ token:byte((i - 1) % #token + 1)
	end
	return difference == 0
end

local function decode(text)
	return (text:gsub("%%(%x%x)", function(hex)
		return string.char(tonumber(hex, 16))
	end))
end

---Reads the rest of a request: its command, and the secret that it brings.
---@return string? command
---@return string? secret or why there is no command
local function read_request(connection, first)
	local method, url = first:match "^(%u+) (%S*)"
	local size, length, secret = #first, 0, nil
	while true do
		local line = connection:read_line()
		if not line then
			return nil, "The request has no end"
		elseif line == "" then
			break
		end
		size = size + #line + 1
		if size > REQUEST_MAX then
			return nil, ("The request is longer than %d bytes"):format(REQUEST_MAX)
		end
		local name, value = line:match "^([^:]+):%s*(.-)%s*$"
		name = name and name:lower()
		if name == "content-length" then
			length = value:match "^%d+$" and tonumber(value) or REQUEST_MAX + 1
		elseif name == "authorization" then
			secret = value:match "^[Bb]earer%s+(.+)$"
		end
	end
	local path, query = url:match "^/?([^?]*)%??(.*)$"
	secret = secret or decode(("&" .. query):match "&token=([^&]*)" or "")
	if method ~= "POST" then
		return decode((path:gsub("/", " "))), secret
	elseif length > REQUEST_MAX then
		return nil, ("The body is longer than %d bytes"):format(REQUEST_MAX)
	end
	local body = connection:read_bytes(length)
	if not body then
		return nil, "The body has no end"
	end
	return body, secret
end

---Closes a connection that is still at its beginning when the time is over; what is returned says that it is not.
local function hurry(connection)
	local began = false
	skynet.timeout(TOKEN_TIMEOUT, function()
		if not began and not connection.over then
			socket.shutdown(connection.id)
		end
	end)
	return function()
		began = true
	end
end

---@param connection skynet.console.connection
local function serve(connection)
	connection:write "Welcome to skynet console\n"
	local settled = token and hurry(connection)
	local first = connection:read_line()
	if first and first:match "^GET " or first and first:match "^POST " then
		settled = settled or hurry(connection)
		local command, secret = read_request(connection, first)
		settled()
		if not command then
			connection:write(secret .. "\n")
		elseif token and not is_token(secret) then
			connection:write "Invalid token\n"
		else
			connection.finished = true
			obey(connection, command)
		end
		return
	end
	if token and first then
		if not is_token(first:match "^token (.+)$" or "") then
			connection:write "Invalid token\n"
			return
		end
		settled()
		connection:write "<CMD OK>\n"
		first = ""
	end
	if first then
		table.insert(connection.lines, first)
		connection:read_ahead()
	end
	while true do
		local line = first and connection:next_line()
		if not line then
			if connection.ended ~= "closed" then
				connection:write(connection.ended .. "\n")
			end
			return
		end
		obey(connection, line)
		-- Other clients have their turn, and a client that sends faster than it is served is noticed, and paused.
		skynet.yield()
		if not connection:may_write(TAKE_TIMEOUT) then
			skynet.error(("debug console: a client does not take what it asked for (fd = %d)"):format(connection.id))
			socket.shutdown(connection.id)
			return
		end
	end
end

local function welcome(id, address)
	if clients >= CLIENTS_MAX then
		socket.write(id, "Too many connections\n")
		socket.close_fd(id)
		return
	end
	clients = clients + 1
	local count <close> = setmetatable({}, {
		__close = function()
			clients = clients - 1
		end,
	})
	if not socket.start(id) then
		return
	end
	local connection = connections.new(id)
	-- Matched by log readers: keep the words.
	skynet.error(address .. " connected")
	local ok, problem = pcall(serve, connection)
	if not ok then
		skynet.error(problem)
	end
	skynet.error(address .. " disconnect")
	connection:close()
end

skynet.start(function()
	if not port then
		error "debug_console: the port is missing: debug_console [ip] port"
	elseif token == "" then
		error "config: debug_console_token is empty, which would be no secret"
	elseif not command_timeout or command_timeout <= 0 then
		error "config: debug_console_timeout must be a number of centiseconds above 0"
	end
	local id, address, real_port = socket.listen(ip, port)
	-- Matched by log readers: keep the words.
	skynet.error(("Start debug console at %s:%d"):format(ip, real_port or port))
	if not token and not address:match "^127%." and address ~= "::1" then
		skynet.error("debug console: whoever reaches " .. ip .. " rules this node; the config key debug_console_token sets a secret")
	end
	socket.start(id, welcome)
end)
