--- Resolves names without blocking a thread: /etc/hosts, a cache that keeps to the answers' times, and a name server asked
--- over UDP.
---
--- `system_resolve` asks the operating system instead, with all that is configured there.
local skynet = require "skynet"
local socket = require "skynet.socket"
local packet = require "skynet.dns.packet"

local M = {}

---Where the first `nameserver` is read, if `server` is not told one; false: nowhere.
---@type string|false
M.DEFAULT_RESOLV_CONF = "/etc/resolv.conf"
---Names in this file need no server; it is read once; false: none.
---@type string|false
M.DEFAULT_HOSTS = "/etc/hosts"

-- A question waits this long for its answer, and is asked again at these times meanwhile (in centiseconds): packets get
-- lost.
local TIMEOUT = 3000
local ASK_AGAIN_AFTER = { 200, 300, 500, 1000, 1000 }
-- The socket is closed when nobody has asked for so long.
local IDLE = 3 * 6000
-- Questions that wait for an answer, and names that are remembered, at the most.
local QUESTIONS_MAX = 4096
local CACHE_MAX = 4096
-- An answer is good for a day at the most.
local TTL_MAX = 86400
-- What is read of the files.
local FILE_MAX = 1 << 20

---@class Question
---@field name string
---@field kind integer
---@field id integer
---@field waiters table[] tokens
---@field addresses string[]? the answer
---@field problem string? why there is none
---@field over boolean?

local server_address, server_port
local udp				---@type integer? the socket
local server_ips = {}	---@type table<string, true> what an answer may come from
local idle_watch = false
local last_use = 0
local questions = {}	---@type table<integer, Question> by the id of their packets
local asked = {}		---@type table<string, Question> by kind and name
local question_count = 0
local cache = {}		---@type table<string, { addresses: string[], expires: integer }>
local cache_count = 0
local hosts				---@type table<string, string[]>? by kind and name

local function key_of(kind, name)
	return kind .. " " .. name
end

local function read_file(path)
	local file = path and io.open(path, "r")
	if not file then
		return ""
	end
	local text = file:read(FILE_MAX) or ""
	file:close()
	return text
end

---@return "ipv4"|"ipv6"|"name"
local function form_of(name)
	if name:find(":", 1, true) then
		return "ipv6"
	elseif name:find "^%d[%d%.]*$" then
		return "ipv4"
	end
	return "name"
end

local function read_hosts()
	hosts = {}
	for line in read_file(M.DEFAULT_HOSTS):gmatch "[^\r\n]+" do
		local address, names = line:gsub("#.*", ""):match "^%s*(%S+)%s+(.*)$"
		local form = address and form_of(address)
		if form == "ipv4" or form == "ipv6" then
			for name in names:gmatch "%S+" do
				local key = key_of(form == "ipv6" and packet.AAAA or packet.A, name:lower())
				hosts[key] = hosts[key] or {}
				table.insert(hosts[key], address)
			end
		end
	end
end

-- The server and its socket -------------------------------------------------------------------------------------------

local function close_socket()
	local id = udp
	udp = nil
	if id then
		skynet.fork(socket.close, id)
	end
end

local function close_if_idle()
	if not udp then
		idle_watch = false
		return
	end
	local left = last_use + IDLE - skynet.now()
	if left <= 0 and question_count == 0 then
		idle_watch = false
		close_socket()
	else
		skynet.timeout(math.max(left, 100), close_if_idle)
	end
end

---Says who is asked.
---@param address? string by default the first name server of `DEFAULT_RESOLV_CONF`
---@param port? integer 53
---@return string address
function M.server(address, port)
	if not address then
		address = read_file(M.DEFAULT_RESOLV_CONF):match "^%s*nameserver%s+([^%s;#]+)"
			or read_file(M.DEFAULT_RESOLV_CONF):match "\n%s*nameserver%s+([^%s;#]+)"
		if not address then
			error(("dns: no nameserver in %s"):format(tostring(M.DEFAULT_RESOLV_CONF)), 2)
		end
	end
	-- The old one's answers would come through the old socket.
	close_socket()
	server_address, server_port = address, port or 53
	return address
end

---@param question Question
local function settle(question, addresses, problem)
	if question.over then
		return
	end
	question.over = true
	question.addresses, question.problem = addresses, problem
	questions[question.id] = nil
	asked[key_of(question.kind, question.name)] = nil
	question_count = question_count - 1
	for _, token in ipairs(question.waiters) do
		skynet.wakeup(token)
	end
end

local function remember(key, addresses, ttl)
	if ttl == 0 then
		return
	end
	local now = skynet.now()
	if not cache[key] then
		if cache_count >= CACHE_MAX then
			for old, entry in pairs(cache) do
				if entry.expires <= now then
					cache[old] = nil
					cache_count = cache_count - 1
				end
			end
		end
		if cache_count >= CACHE_MAX then
			M.flush()
		end
		cache_count = cache_count + 1
	end
	cache[key] = { addresses = addresses, expires = now + math.min(ttl, TTL_MAX) * 100 }
end

local CODES = { "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED" }

---A packet came. What is not from the server, or answers none of the open questions word for word, is not for us.
local function answer_came(data, from)
	local ip, port = socket.udp_address(from)
	if port ~= server_port or not server_ips[ip] then
		return
	end
	local answer = packet.parse(data)
	local question = answer and questions[answer.id]
	if not question or answer.name ~= question.name or answer.kind ~= question.kind then
		return
	end
	local addresses, ttl = packet.addresses(answer)
	if answer.code ~= 0 then
		settle(question, nil, CODES[answer.code] or ("error %d"):format(answer.code))
	elseif #addresses == 0 then
		settle(question, nil, answer.truncated and "the answer is too long" or "the name has no address")
	else
		remember(key_of(question.kind, question.name), addresses, ttl)
		settle(question, addresses)
	end
end

local function connect()
	if not udp then
		-- An address in digits, as it mostly is, takes no time to look up.
		server_ips = {}
		for _, ip in ipairs(socket.resolve(server_address)) do
			server_ips[ip] = true
		end
		udp = socket.udp_dial(server_address, server_port, answer_came)
		if not idle_watch then
			idle_watch = true
			skynet.timeout(IDLE, close_if_idle)
		end
	end
	return udp
end

-- Asking --------------------------------------------------------------------------------------------------------------

local function new_id()
	local id
	repeat
		id = math.random(1, 65535)
	until not questions[id]
	return id
end

local question_meta = {
	-- The coroutine that asks may be killed.
	__close = function(question)
		settle(question, nil, "nobody answers")
	end,
}

---Asks until the answer is there, or the time is over.
---@param question Question
local function ask(question)
	local _ <close> = setmetatable(question, question_meta)
	local deadline = skynet.now() + TIMEOUT
	local query = packet.query(question.id, question.name, question.kind)
	local round = 0
	while not question.over do
		local left = deadline - skynet.now()
		if left <= 0 then
			return
		end
		last_use = skynet.now()
		local ok, problem = pcall(function()
			socket.write(connect(), query)
		end)
		if not ok then
			settle(question, nil, tostring(problem))
			return
		end
		round = round + 1
		skynet.sleep(math.min(left, ASK_AGAIN_AFTER[round] or left), question)
	end
end

---@return string[]? addresses
---@return string? problem
local function question_server(name, kind)
	local key = key_of(kind, name)
	local question = asked[key]
	if not question then
		if question_count >= QUESTIONS_MAX then
			return nil, ("%d names are asked for already"):format(question_count)
		end
		question = { name = name, kind = kind, id = new_id(), waiters = {} }
		questions[question.id] = question
		asked[key] = question
		question_count = question_count + 1
		-- The one that asks waits on the question itself.
		table.insert(question.waiters, question)
		skynet.fork(ask, question)
	end
	local token = {}
	table.insert(question.waiters, token)
	skynet.wait(token)
	return question.addresses, question.problem
end

---Finds the addresses of a name. Yields. Raises `timeout or no answer` where nobody knows them.
---@param name string
---@param ipv6? boolean
---@return string? address the first one; nil: the name is refused
---@return string[]|string? addresses all of them, or why it is refused
function M.resolve(name, ipv6)
	if type(name) ~= "string" then
		error(("dns: a name must be a string, not a %s"):format(type(name)), 2)
	end
	local kind = ipv6 and packet.AAAA or packet.A
	local form = form_of(name)
	if form ~= "name" then
		if form == (ipv6 and "ipv6" or "ipv4") then
			return name, { name }
		end
		-- Matched by programs: keep the words.
		return nil, "illegal ip address"
	end
	if not packet.is_name(name) then
		-- Matched by programs: keep the words.
		return nil, "illegal name"
	end
	name = name:gsub("%.$", ""):lower()
	local key = key_of(kind, name)
	if not hosts then
		read_hosts()
	end
	if hosts[key] then
		return hosts[key][1], { table.unpack(hosts[key]) }
	end
	local known = cache[key]
	if known and known.expires > skynet.now() then
		return known.addresses[1], { table.unpack(known.addresses) }
	end
	if not server_address and not pcall(M.server) then
		-- Matched by programs: keep the words.
		error("Call dns.server first", 2)
	end
	local addresses, problem = question_server(name, kind)
	if not addresses then
		-- What was true a while ago is better than nothing.
		addresses = known and known.addresses
		if not addresses then
			-- Matched by programs: keep the words before the colon.
			error(("timeout or no answer: %s: %s"):format(name, problem), 2)
		end
	end
	return addresses[1], { table.unpack(addresses) }
end

---Asks the operating system, with all that is configured there: search domains, mDNS, more servers. Yields. The system
---blocks a thread meanwhile, so a service of its own asks, one name after the other.
---@param name string
---@return string[]? addresses of both kinds
---@return string? problem the system's words
function M.system_resolve(name)
	if type(name) ~= "string" then
		error(("dns: a name must be a string, not a %s"):format(type(name)), 2)
	end
	local service = require "skynet.service"
	local address = service.new("dns.system", function()
		local skynet = require "skynet"
		local socket = require "skynet.socket"
		skynet.dispatch("lua", function(_, _, asked)
			local ok, answer = pcall(socket.resolve, asked)
			if ok then
				skynet.retpack(answer)
			else
				skynet.retpack(nil, answer)
			end
		end)
	end)
	return skynet.call(address, "lua", name)
end

---Forgets all answers.
function M.flush()
	cache, cache_count = {}, 0
end

return M
