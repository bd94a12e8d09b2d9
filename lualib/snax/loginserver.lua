--- Login servers: a line protocol in which a client and the server agree on a secret and the client shows a token.
---
--- 	server  base64(8 random bytes), the challenge
--- 	client  base64(dhexchange(its key))
--- 	server  base64(dhexchange(its key))
--- 	client  base64(hmac64(challenge, secret))
--- 	client  base64(desencode(secret, token))
--- 	server  "200 base64(subid)", "401 Unauthorized", "403 Forbidden" or "406 Not Acceptable"
---
--- The script is started once and is the master then: it accepts connections, and starts slaves of the same script, which
--- do the slow part of a login in turns.
local skynet = require "skynet"
require "skynet.manager"
local socket = require "skynet.socket"
local crypt = require "skynet.crypt"

---@class loginserver.conf
---@field host? string "0.0.0.0"
---@field port integer
---@field name? string The master's local name without its dot; "login".
---@field instance? integer How many slaves; 8.
---@field multilogin? boolean A user may log in again while a login is under way.
---@field auth_handler fun(token: string): string, string Runs in a slave: server and user id; raises if the token is bad.
---@field login_handler fun(server: string, uid: string, secret: string): any Runs in the master: the subid; raises to forbid.
---@field command_handler fun(command: string, ...: any): ... Runs in the master: answers other services.

local INSTANCES = 8
-- Connections that may wait to be accepted: logins come in bursts.
local BACKLOG = 512
-- Nobody needs longer lines; a client that sends more is cut off.
local BUFFER_MAX = 8192

-- Raised where the connection is gone, which is nobody's fault: it is not logged as an error.
local GONE = {}

local function write(fd, text)
	if not socket.write(fd, text) then
		error(GONE)
	end
end

local function read(fd)
	return socket.readline(fd) or error(GONE)
end

---The handshake: the secret, and the token that the client shows; nothing where the client does not know the secret.
local function handshake(fd)
	local challenge = crypt.randomkey()
	write(fd, crypt.base64encode(challenge) .. "\n")
	local client_key = crypt.base64decode(read(fd))
	if #client_key ~= 8 then
		error "Invalid client key"
	end
	local key = crypt.randomkey()
	write(fd, crypt.base64encode(crypt.dhexchange(key)) .. "\n")
	local secret = crypt.dhsecret(client_key, key)
	local hmac = crypt.base64decode(read(fd))
	if hmac ~= crypt.hmac64(challenge, secret) then
		error "challenge failed"
	end
	return secret, crypt.desdecode(secret, crypt.base64decode(read(fd)))
end

---Answers the master's calls: (fd, address) -> ok, server or reason, uid, secret.
---@param auth_handler function
local function slave(auth_handler)
	local function login(fd)
		local secret, token = handshake(fd)
		local ok, server, uid = pcall(auth_handler, token)
		return ok, server, uid, secret
	end

	local function answer(fd, done, ok, ...)
		-- The master answers the client, and closes the connection.
		socket.abandon(fd)
		if done then
			return ok, ...
		elseif ok == GONE then
			return nil, "the connection is closed"
		else
			return false, ok
		end
	end

	skynet.dispatch("lua", function(_, _, fd, address)
		-- Matched by log readers: keep the words.
		skynet.error(("connect from %s (fd = %d)"):format(address, fd))
		if socket.start(fd) then
			socket.limit(fd, BUFFER_MAX)
			skynet.retpack(answer(fd, pcall(login, fd)))
		else
			skynet.retpack(nil, "the connection is closed")
		end
	end)
end

---@param conf loginserver.conf
local function master(conf)
	local instances = conf.instance or INSTANCES
	assert(instances > 0, "a login server needs an instance at least")
	local host = conf.host or "0.0.0.0"
	local port = assert(tonumber(conf.port), "a login server needs a port")
	local logging_in = {}	-- by user id

	skynet.dispatch("lua", function(_, _, command, ...)
		skynet.retpack(conf.command_handler(command, ...))
	end)

	local slaves = {}
	for at = 1, instances do
		slaves[at] = skynet.newservice(SERVICE_NAME)
	end

	---Finishes a login that a slave has looked at.
	local function finish(fd, ok, server, uid, secret)
		if ok == nil then
			error(GONE)
		elseif not ok then
			write(fd, "401 Unauthorized\n")
			error(server, 0)
		end
		if not conf.multilogin then
			if logging_in[uid] then
				write(fd, "406 Not Acceptable\n")
				error(("User %s is already login"):format(uid), 0)
			end
			logging_in[uid] = true
		end
		local allowed, subid = pcall(conf.login_handler, server, uid, secret)
		logging_in[uid] = nil
		if not allowed then
			write(fd, "403 Forbidden\n")
			error(subid, 0)
		end
		write(fd, ("200 %s\n"):format(crypt.base64encode(tostring(subid or ""))))
	end

	local turn = 0
	local id = socket.listen(host, port, BACKLOG)
	-- Matched by log readers: keep the words.
	skynet.error(("login server listen at : %s %d"):format(host, port))
	socket.start(id, function(fd, address)
		turn = turn % #slaves + 1
		local ok, reason = pcall(function()
			finish(fd, skynet.call(slaves[turn], "lua", fd, address))
		end)
		if not ok and reason ~= GONE then
			-- Matched by log readers: keep the words.
			skynet.error(("invalid client (fd = %d) error = %s"):format(fd, reason))
		end
		-- The master writes, but never reads: it did not start this socket.
		socket.close_fd(fd)
	end)
end

---Turns a script into a login server.
---@param conf loginserver.conf
return function(conf)
	local name = "." .. (conf.name or "login")
	skynet.start(function()
		if skynet.localname(name) then
			slave(assert(conf.auth_handler, "a login server needs the function auth_handler"))
		else
			assert(conf.login_handler, "a login server needs the function login_handler")
			assert(conf.command_handler, "a login server needs the function command_handler")
			skynet.register(name)
			master(conf)
		end
	end)
end
