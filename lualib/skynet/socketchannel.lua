--- One connection for many coroutines: each sends its request and waits for its own answer.
---
--- In *order* mode answers come in the order of the requests, and each request brings the function that reads its answer. In
--- *session* mode (with `response` in the description) one function reads all answers, and says which request each is for.
---
--- A `Connection` is the channel's life between a connect and the next break; what waits for an answer belongs to it, and
--- fails with it.
local skynet = require "skynet"
local socket = require "skynet.socket"
local socketdriver = require "skynet.socketdriver"

-- Pauses between two attempts to connect, in centiseconds: one step longer each time, and then from one step on again.
local PAUSE_STEP, PAUSE_MAX = 100, 1100
-- An authentication may send the channel to another host; so often, before it has to work.
local MOVES_MAX = 16

local running = coroutine.running

-- What is raised where the connection is the reason. Programs compare it by identity.
local socket_error = setmetatable({}, {
	__tostring = function()
		return "[Error: socket]"
	end,
})

---@class skynet.socketchannel.waiter
---@field read? function reads the answer, in order mode
---@field parts? table of an answer that has more than one
---@field over? boolean
---@field ok? boolean
---@field result? any

---@class skynet.socketchannel.connection
---@field id integer the socket
---@field sock table what reading functions get
---@field host string
---@field port integer?
---@field broken? boolean
---@field queue skynet.socketchannel.waiter[] in order mode
---@field first integer the ends of the queue
---@field last integer
---@field idle? table the token that the reader waits on for a request, in order mode
---@field sessions table<any, skynet.socketchannel.waiter> in session mode
---@field auth? thread the coroutine that authenticates; the others wait for it
---@field overloaded? boolean

---@class skynet.socketchannel.channel
local channel = {}
channel.__index = channel

-- Waiters -------------------------------------------------------------------------------------------------------------

local function settle(waiter, ok, result)
	if not waiter.over then
		waiter.over, waiter.ok, waiter.result = true, ok, result
		skynet.wakeup(waiter)
	end
end

---One part of an answer; true: it was the last one.
local function part_came(waiter, ok, result, more)
	if ok and more then
		waiter.parts = waiter.parts or {}
		table.insert(waiter.parts, result)
		return false
	end
	if ok and waiter.parts then
		table.insert(waiter.parts, result)
		result = waiter.parts
	end
	settle(waiter, ok and true or false, result)
	return true
end

-- A connection and its end -------------------------------------------------------------------------------------------

local function set_overload(self, connection, overloaded)
	if connection.overloaded ~= overloaded then
		connection.overloaded = overloaded
		self.__overload(overloaded)
	end
end

---Ends a connection: what waits for an answer fails.
---@param problem? string what it fails with; nil: the error object
local function break_off(self, connection, problem)
	if connection.broken then
		return
	end
	connection.broken = true
	if self.__connection == connection then
		self.__connection = nil
	end
	socket.onclose(connection.id, nil)
	-- Closing waits for the reactor; nobody here has to.
	skynet.fork(socket.close, connection.id)
	for i = connection.first, connection.last do
		settle(connection.queue[i], false, problem or socket_error)
	end
	connection.queue, connection.first, connection.last = {}, 1, 0
	for session, waiter in pairs(connection.sessions) do
		connection.sessions[session] = nil
		settle(waiter, false, problem or socket_error)
	end
	if connection.idle then
		skynet.wakeup(connection.idle)
	end
	if self.__overload and connection.overloaded then
		set_overload(self, connection, false)
	end
end

-- What a reading function raised: the connection's fault is nobody's text.
local function problem_of(failure)
	if failure ~= socket_error then
		return tostring(failure)
	end
end

local function read_in_order(self, connection)
	local sock = connection.sock
	while not connection.broken do
		local waiter = connection.queue[connection.first]
		if waiter then
			local ok, good, result, more = pcall(waiter.read, sock)
			if connection.broken then
				return
			elseif not ok then
				return break_off(self, connection, problem_of(good))
			elseif part_came(waiter, good, result, more) then
				connection.queue[connection.first] = nil
				connection.first = connection.first + 1
			end
		else
			connection.idle = {}
			skynet.wait(connection.idle)
			connection.idle = nil
		end
	end
end

local function read_by_session(self, connection)
	local sock = connection.sock
	while not connection.broken do
		local ok, session, good, result, more = pcall(self.__response, sock)
		if connection.broken then
			return
		elseif not ok then
			return break_off(self, connection, problem_of(session))
		end
		local waiter = session ~= nil and connection.sessions[session]
		if not waiter then
			skynet.error("socket: unknown session :", session)
		elseif part_came(waiter, good, result, more) then
			connection.sessions[session] = nil
		end
	end
end

---@return skynet.socketchannel.connection
local function new_connection(self, id, host, port)
	local connection = {
		id = id,
		host = host,
		port = port,
		sock = setmetatable({ id }, self.__sock_meta),
		queue = {},
		first = 1,
		last = 0,
		sessions = {},
	}
	self.__connection = connection
	if self.__nodelay then
		socketdriver.nodelay(id)
	end
	if self.__overload then
		socket.warning(id, function(_, kib)
			set_overload(self, connection, kib > 0)
		end)
	end
	if not self.__response then
		-- Nobody reads while no answer is due, so the end would go unnoticed until the next request.
		socket.onclose(id, function()
			if not connection.broken and connection.first > connection.last then
				-- Matched by log readers: keep the words.
				skynet.error("socket closed by peer : ", host, port)
				break_off(self, connection)
			end
		end)
	end
	skynet.fork(self.__response and read_by_session or read_in_order, self, connection)
	return connection
end

-- Connecting ---------------------------------------------------------------------------------------------------------

---Hosts to try: the own one, then the backups.
local function candidates(self)
	local list = { { self.__host, self.__port } }
	for _, backup in ipairs(self.__backup or {}) do
		if type(backup) == "table" then
			table.insert(list, { backup.host, backup.port or self.__port })
		else
			table.insert(list, { backup, self.__port })
		end
	end
	return list
end

---Runs the authentication on a new connection.
---@return "ok"|"moved"|"failed"
local function authenticate(self, connection)
	if not self.__auth then
		return "ok"
	end
	connection.auth = running()
	local ok, problem = pcall(self.__auth, self)
	connection.auth = nil
	if not ok then
		-- Matched by log readers: keep the words.
		skynet.error("socket: auth failed", problem)
		break_off(self, connection)
		return "failed"
	elseif connection.broken then
		-- It has changed the host; or the connection broke at the very end, and one more attempt is due as well.
		return "moved"
	end
	return "ok"
end

---Tries each host once.
---@return skynet.socketchannel.connection? connection
---@return string? problem
local function connect_once(self)
	for _ = 1, MOVES_MAX do
		local list = candidates(self)
		local moved = false
		local at, problem = 1, nil
		while list[at] and not self.__closed do
			local host, port = list[at][1], list[at][2]
			if at > 1 then
				-- Matched by log readers: keep the words.
				skynet.error("socket: connect to backup host", host, port)
			end
			local id
			id, problem = socket.open(host, port)
			if id and self.__closed then
				socket.close(id)
				break
			elseif id then
				local connection = new_connection(self, id, host, port)
				local outcome = authenticate(self, connection)
				if outcome == "ok" then
					return connection
				elseif outcome == "moved" then
					moved = true
					break
				end
				problem = "no more backup host"
				-- An authentication may tell of more hosts.
				local more = candidates(self)
				for i = #list + 1, #more do
					list[i] = more[i]
				end
			end
			at = at + 1
		end
		if self.__closed then
			return nil, "channel_closed"
		elseif not moved then
			return nil, problem
		end
	end
	return nil, ("auth has changed the host %d times"):format(MOVES_MAX)
end

---@return string? problem
local function try_connect(self, once)
	local pause = 0
	while not self.__closed do
		local connection, problem = connect_once(self)
		if connection then
			if not once then
				-- Matched by log readers: keep the words.
				skynet.error("socket: connect to", connection.host, connection.port)
			end
			return
		elseif once then
			return problem
		end
		skynet.error("socket: connect", problem)
		if pause >= PAUSE_MAX then
			skynet.error("socket: try to reconnect", self.__host, self.__port)
		end
		skynet.sleep(pause, self.__pause)
		pause = pause >= PAUSE_MAX and PAUSE_STEP or pause + PAUSE_STEP
	end
	return "channel_closed"
end

---The connection that this coroutine may use now.
local function usable(self)
	local connection = self.__connection
	if not connection then
		return nil
	elseif socket.disconnected(connection.id) then
		-- Matched by log readers: keep the words.
		skynet.error("socket: disconnect detected ", connection.host, connection.port)
		break_off(self, connection)
		return nil
	elseif not connection.auth or connection.auth == running() then
		return connection
	end
end

-- Those that wait for the connection go on also when the one that makes it is killed.
local connecting_meta = {
	__close = function(connecting)
		local self = connecting.channel
		self.__connecting = nil
		local connection = self.__connection
		if connection and connection.auth then
			break_off(self, connection)
		end
		for _, token in ipairs(connecting.tokens) do
			skynet.wakeup(token)
		end
	end,
}

---@return string? problem
local function connect_for_all(self, once)
	local connecting <close> = setmetatable({ channel = self, tokens = {}, thread = running() }, connecting_meta)
	self.__connecting = connecting
	connecting.problem = try_connect(self, once)
	return connecting.problem
end

---Waits for a connection.
---@param once? boolean one attempt, and an error if it fails
---@return skynet.socketchannel.connection
local function connected(self, once)
	while true do
		local connection = usable(self)
		if connection then
			return connection
		elseif self.__closed then
			error("channel_closed", 0)
		end
		local problem
		local connecting = self.__connecting
		if not connecting then
			problem = connect_for_all(self, once)
		elseif connecting.thread == running() then
			-- The authentication has lost its connection.
			error(socket_error)
		else
			local token = {}
			table.insert(connecting.tokens, token)
			skynet.wait(token)
			problem = connecting.problem or "nobody connects any more"
		end
		connection = usable(self)
		if connection then
			return connection
		elseif once and not self.__closed then
			-- Matched by log readers: keep the words.
			skynet.error("Connect failed", problem, self.__host, self.__port)
			error(socket_error)
		end
	end
end

-- The channel ---------------------------------------------------------------------------------------------------------

---Connects. Yields.
---@param once? boolean one attempt for each host, and the error object if none works; else again and again
function channel:connect(once)
	self.__closed = false
	connected(self, once)
end

local function write(connection, request, padding)
	if not padding then
		return socket.write(connection.id, request)
	end
	-- One after the other, behind what is short: parts of another request must not come between.
	if not socket.lwrite(connection.id, request) then
		return false
	end
	for _, part in ipairs(padding) do
		if not socket.lwrite(connection.id, part) then
			return false
		end
	end
	return true
end

---Waits for an answer on a connection.
local function await(self, connection, response)
	local waiter = {}
	if self.__response then
		if connection.sessions[response] then
			error(("socketchannel: session %s waits for an answer already"):format(tostring(response)), 3)
		end
		connection.sessions[response] = waiter
	else
		waiter.read = response
		connection.last = connection.last + 1
		connection.queue[connection.last] = waiter
		if connection.idle then
			skynet.wakeup(connection.idle)
		end
	end
	return function()
		while not waiter.over do
			skynet.wait(waiter)
		end
		if waiter.ok then
			return waiter.result
		end
		error(waiter.result)
	end
end

---Sends a request, and waits for its answer if it has one. Connects first, once, if there is no connection. Yields.
---@param request string|table
---@param response? function|any order mode: reads the answer, `read(sock) -> ok, result, more`; session mode: the session
---@param padding? string[] more parts of the request
---@return any result of several parts a list
function channel:request(request, response, padding)
	local connection = connected(self, true)
	-- Before the bytes are out: who breaks the connection off fails it, too.
	local answer = response ~= nil and await(self, connection, response)
	if not write(connection, request, padding) then
		break_off(self, connection)
		if not answer then
			error(socket_error)
		end
	end
	if answer then
		return answer()
	end
end

---Waits for an answer to nothing that was sent here. Yields.
---@param response function|any
function channel:response(response)
	return await(self, connected(self), response)()
end

---Ends the connection; what waits for an answer fails with "channel_closed". A `connect` opens the channel again.
function channel:close()
	if self.__closed then
		return
	end
	self.__closed = true
	if self.__connection then
		break_off(self, self.__connection, "channel_closed")
	end
	skynet.wakeup(self.__pause)
end

---@param host string
---@param port? integer
function channel:changehost(host, port)
	self.__host = host
	self.__port = port or self.__port
	if self.__connection then
		break_off(self, self.__connection)
	end
end

---@param backup (string|{ host: string, port: integer? })[]
function channel:changebackup(backup)
	self.__backup = backup
end

local M = { error = socket_error }

local function raising(read)
	return function(sock, ...)
		local result = read(sock[1], ...)
		if not result then
			error(socket_error)
		end
		return result
	end
end

---@class skynet.socketchannel.description
---@field host string
---@field port? integer
---@field backup? (string|{ host: string, port: integer? })[] tried when the host does not work
---@field auth? fun(channel: skynet.socketchannel.channel) runs first on each connection
---@field response? fun(sock: table): any, boolean, any, boolean? session mode: reads `session, ok, result, more`
---@field nodelay? boolean
---@field overload? fun(overloaded: boolean) more than 1 MiB waits to be sent, or no longer
---@field socket_read? fun(id: integer, size: integer?): string|false in place of the socket's own
---@field socket_readline? fun(id: integer, sep: string?): string|false

---Makes a channel, which connects with its first request.
---@param description skynet.socketchannel.description
---@return skynet.socketchannel.channel
function M.channel(description)
	if type(description) ~= "table" or type(description.host) ~= "string" then
		error("socketchannel: the description must be a table with a host", 2)
	end
	return setmetatable({
		__host = description.host,
		__port = description.port,
		__backup = description.backup,
		__auth = description.auth,
		__response = description.response,
		__nodelay = description.nodelay,
		__overload = description.overload,
		__closed = false,
		__pause = {},
		__sock_meta = {
			__index = {
				read = raising(description.socket_read or socket.read),
				readline = raising(description.socket_readline or socket.readline),
			},
		},
	}, channel)
end

return M
