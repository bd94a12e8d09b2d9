--- Message servers: gates for users that have logged in. A user who comes back on a new connection finds the responses that
--- it has missed.
---
--- Packages are framed as in `snax.gateserver`. The first of a connection is `username:index:base64(hmac)`, where the index
--- grows with each connection and `hmac = hmac64(hashkey("username:index"), secret)`; the answer is a line of status. Each
--- further one is a request, `content .. session` (4 bytes, the high one first), and is answered with
--- `content .. ok .. session`, where ok is a byte, 1 or 0.
local skynet = require "skynet"
local gateserver = require "snax.gateserver"
local netpack = require "skynet.netpack"
local crypt = require "skynet.crypt"
local socketdriver = require "skynet.socketdriver"

local server = {}

---@class msgserver.conf
---@field login_handler fun(...): ... Command "login" of the login server; calls `server.login`.
---@field logout_handler fun(...): ... Command "logout"; calls `server.logout`.
---@field kick_handler fun(...): ... Command "kick".
---@field request_handler fun(username: string, message: string): string? Answers a request of a client.
---@field register_handler fun(servername: string): ... The gate is open; the results answer the command "open".
---@field disconnect_handler? fun(username: string) A user's connection is closed; the user stays logged in.
---@field expired_number? integer So many responses are kept for each user at least, and twice as many at most; 128.

local EXPIRED_NUMBER = 128

-- What follows the content of a response: a byte and a session. All of it has to fit into a package.
local TAIL = ">BI4"
local CONTENT_MAX = 0xffff - TAIL:packsize()

---@class msgserver.user
---@field username string
---@field secret string
---@field version integer The index of the last connection.
---@field fd? integer The newest connection.
---@field fds table<integer, true> All that are open.
---@field address? string
---@field count integer Requests since responses were last thrown away.
---@field responses table<integer, msgserver.response> By session.

---@class msgserver.response
---@field fd? integer Who waits for it; nothing once it is sent.
---@field data? string The package; nothing while the request is in work.
---@field version integer The connection that has last asked for it.
---@field index integer When that was, as a count of requests.

local users = {}		---@type table<string, msgserver.user> by username
local by_fd = {}		---@type table<integer, msgserver.user> those who are connected
local greeting = {}		---@type table<integer, string> addresses of connections without a user yet, by fd

---@param username string
---@return string? uid
---@return string? subid
---@return string? servername
function server.userid(username)
	local uid, servername, subid = username:match "([^@]*)@([^#]*)#(.*)"
	if uid then
		return crypt.base64decode(uid), crypt.base64decode(subid), crypt.base64decode(servername)
	end
end

---@param uid string
---@param subid string|integer
---@param servername string
---@return string username
function server.username(uid, subid, servername)
	local encode = crypt.base64encode
	return ("%s@%s#%s"):format(encode(uid), encode(servername), encode(tostring(subid)))
end

---A user may connect from now on.
---@param username string
---@param secret string
function server.login(username, secret)
	assert(users[username] == nil, "the user is logged in already")
	users[username] = { username = username, secret = secret, version = 0, count = 0, fds = {}, responses = {} }
end

---Forgets a user, and closes its connections.
---@param username string
function server.logout(username)
	local user = users[username]
	if user then
		users[username] = nil
		for fd in pairs(user.fds) do
			by_fd[fd] = nil
			gateserver.closeclient(fd)
		end
		user.fd, user.fds = nil, {}
	end
end

---@param username string
---@return string? address of the user's connection
function server.ip(username)
	local user = users[username]
	return user and user.fd and user.address
end

---Reads the first package; nothing where the client is who it says, else the status that it gets.
local function greet(fd, message)
	local username, index, hmac = message:match "^([^:]*):([^:]*):([^:]*)"
	if not username then
		return "400 Bad Request"
	end
	local user = users[username]
	if not user then
		return "404 User Not Found"
	end
	local version = math.tointeger(tonumber(index))
	local known, wanted = pcall(crypt.base64decode, hmac)
	if not version or not known then
		return "400 Bad Request"
	end
	if version <= user.version then
		return "403 Index Expired"
	end
	local text = ("%s:%s"):format(username, index)
	if crypt.hmac64(crypt.hashkey(text), user.secret) ~= wanted then
		return "401 Unauthorized"
	end
	user.version = version
	-- A connection that the user has already may be dead, or not: it stays.
	user.fd, user.address = fd, greeting[fd]
	user.fds[fd] = true
	by_fd[fd] = user
end

---Throws old responses away when there are twice as many as are to be kept.
local function expire(user, keep)
	if user.count < keep * 2 then
		return
	end
	local oldest = user.count - keep
	for session, response in pairs(user.responses) do
		response.index = response.index - oldest
		if response.index < 0 and not response.fd then
			user.responses[session] = nil
		end
	end
	user.count = keep
end

---@param conf msgserver.conf
function server.start(conf)
	local keep = conf.expired_number or EXPIRED_NUMBER
	local request_handler = assert(conf.request_handler, "a message server needs the function request_handler")
	local commands = {
		login = assert(conf.login_handler, "a message server needs the function login_handler"),
		logout = assert(conf.logout_handler, "a message server needs the function logout_handler"),
		kick = assert(conf.kick_handler, "a message server needs the function kick_handler"),
	}
	local handler = {}

	function handler.command(cmd, _, ...)
		local run = assert(commands[cmd], "a message server has no such command")
		return run(...)
	end

	function handler.open(_, gate_conf)
		local servername = assert(gate_conf.servername, "a message server needs a servername")
		return conf.register_handler(servername)
	end

	function handler.connect(fd, address)
		greeting[fd] = address
		gateserver.openclient(fd)
	end

	function handler.disconnect(fd)
		greeting[fd] = nil
		gateserver.closeclient(fd)
		local user = by_fd[fd]
		if user then
			by_fd[fd], user.fds[fd] = nil, nil
			if user.fd == fd then
				user.fd = nil
			end
			if conf.disconnect_handler then
				conf.disconnect_handler(user.username)
			end
		end
	end

	handler.error = handler.disconnect

	---The response to a request: a new one, or what there is of one that has been asked for before.
	local function response_to(user, session, fd)
		local response = user.responses[session]
		if response and response.version == user.version then
			-- On one connection, a session may be used again once it has been answered.
			if not response.data then
				-- Matched by log readers: keep the words.
				error(("Conflict session %s"):format(session))
			end
			response = nil
		end
		local is_new = not response
		response = response or {}
		user.responses[session] = response
		response.fd, response.version, response.index = fd, user.version, user.count
		user.count = user.count + 1
		return response, is_new
	end

	local function respond(...)
		local content = (request_handler(...) or "") .. ""
		if #content > CONTENT_MAX then
			error(("a response of %d bytes is over the limit of %d"):format(#content, CONTENT_MAX))
		end
		return content
	end

	local function request(fd, message)
		local user = assert(by_fd[fd], "the connection has no user")
		local session, content = (">I4"):unpack(message, -4), message:sub(1, -5)
		local response, is_new = response_to(user, session, fd)
		if is_new then
			local ok, result = pcall(respond, user.username, content)
			if not ok then
				skynet.error(result)
				result = ""
			end
			response.data = (">s2"):pack(result .. TAIL:pack(ok and 1 or 0, session))
		elseif not response.data then
			-- Still in work: it goes to the new connection when it is ready.
			return
		end
		-- The client may have come back on another connection meanwhile, or have gone.
		if response.fd and by_fd[response.fd] then
			socketdriver.send(response.fd, response.data)
		end
		response.fd = nil
		expire(user, keep)
	end

	function handler.message(fd, data, size)
		local message = netpack.tostring(data, size)
		if greeting[fd] then
			local ok, status = pcall(greet, fd, message)
			if not ok then
				skynet.error(status)
				status = "400 Bad Request"
			end
			greeting[fd] = nil
			socketdriver.send(fd, netpack.pack(status or "200 OK"))
			if status then
				gateserver.closeclient(fd)
			end
			return
		end
		local ok, reason = pcall(request, fd, message)
		if not ok then
			-- Matched by log readers: keep the words.
			skynet.error(("Invalid package %s : %s"):format(reason, message))
			if by_fd[fd] then
				gateserver.closeclient(fd)
			end
		end
	end

	return gateserver.start(handler)
end

return server
