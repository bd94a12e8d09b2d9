--- Packages between the master and the slaves: one byte with a length, then so many bytes of packed values.
---
--- Also what else both sides need for a connection: time limits, and the proof that a secret is shared.
local skynet = require "skynet"
local socket = require "skynet.socket"
local driver = require "skynet.socketdriver"
local core = require "skynet.harbor.core"

local M = {}

local SIZE_MAX = 255
-- A peer that takes nothing in while so much waits for it is given up.
local BACKLOG_KIB_MAX = 1024
-- After so many packages in a row others have a turn.
local TURN_MAX = 128
-- Bytes of a nonce and of a proof.
local NONCE_LEN, PROOF_LEN = 16, 32

---@param ... any
---@return string
function M.pack(...)
	local body = skynet.packstring(...)
	-- Matched by programs: keep the words.
	assert(#body <= SIZE_MAX, "too long")
	return string.char(#body) .. body
end

---The same with one more value, which only skynet-rs reads: it is left out where it does not fit.
---@param extra table
---@param ... any
---@return string
function M.pack_with(extra, ...)
	local values = table.pack(...)
	values[values.n + 1] = extra
	local body = skynet.packstring(table.unpack(values, 1, values.n + 1))
	if #body > SIZE_MAX then
		return M.pack(...)
	end
	return string.char(#body) .. body
end

---@class Reader what one connection has sent
---@field fd integer
---@field data string
---@field at integer where the next package begins
---@field turn integer packages in a row

---@param fd integer
---@return Reader
function M.reader(fd)
	return { fd = fd, data = "", at = 1, turn = 0 }
end

---Reads one package. Whatever is wrong with it is an error.
---@param reader Reader
---@return any ... its values
function M.read(reader)
	reader.turn = reader.turn + 1
	if reader.turn > TURN_MAX then
		reader.turn = 1
		skynet.yield()
	end
	local fd, data, at = reader.fd, reader.data, reader.at
	while true do
		local length = data:byte(at)
		if length == 0 then
			error("a package without bytes", 0)
		elseif length and #data >= at + length then
			reader.data, reader.at = data, at + length + 1
			return skynet.unpack(data:sub(at + 1, at + length))
		end
		local more = socket.read(fd)
		-- Matched by programs: keep the word.
		assert(more, "closed")
		data, at = data:sub(at) .. more, 1
	end
end

---What a stranger sent, fit for a log line.
---@param value any
---@return string
function M.shown(value)
	local text = tostring(value):sub(1, 64)
	return (text:gsub("[^\x20-\x7e]", function(byte)
		return ("\\x%02x"):format(byte:byte())
	end))
end

---An error without the place in the Lua code.
---@param failure any
---@return string
function M.reason(failure)
	return (tostring(failure):gsub("^[^%s:]+:%d+: ", ""))
end

---Ends a connection if it is not called off in time.
---@param fd integer
---@param time integer centiseconds
---@return fun(): boolean call_off tells whether it was in time
function M.limit(fd, time)
	local state = "waiting"
	skynet.timeout(time, function()
		if state == "waiting" then
			state = "over"
			socket.shutdown(fd)
		end
	end)
	return function()
		if state == "waiting" then
			state = "done"
		end
		return state == "done"
	end
end

---Connects, within a time.
---@param address string
---@param time integer centiseconds
---@return integer? fd
---@return string? reason
function M.open(address, time)
	local token = {}
	local fd, reason, is_over
	skynet.fork(function()
		local ok, id, why = pcall(socket.open, address)
		if not ok then
			id, why = nil, M.reason(id)
		end
		if is_over then
			-- Nobody waits any more.
			if id then
				socket.close(id)
			end
			return
		end
		fd, reason, is_over = id, why, true
		skynet.wakeup(token)
	end)
	skynet.sleep(time, token)
	if not is_over then
		is_over = true
		return nil, "no answer"
	end
	return fd, reason
end

---Small packages go out at once, and one that nobody takes in does not fill the memory.
---@param fd integer
---@param on_full fun()
function M.tune(fd, on_full)
	driver.nodelay(fd)
	socket.warning(fd, function(_, kib)
		if kib >= BACKLOG_KIB_MAX then
			on_full()
		end
	end)
end

---Closes a connection when what was written is out, or after a second.
---@param fd integer
function M.close(fd)
	local in_time = M.limit(fd, 100)
	socket.close(fd)
	in_time()
end

---What one side shows of the secret to the other.
---@param secret string
---@param side "master"|"slave"
---@param id integer of the slave
---@param theirs string nonce of the side that checks
---@param ours string nonce of the side that proves
---@return string
function M.proof(secret, side, id, theirs, ours)
	return core.hmac_sha256(secret, side .. string.char(id) .. theirs .. ours)
end

---@param nonce any
---@return boolean
function M.is_nonce(nonce)
	return type(nonce) == "string" and #nonce == NONCE_LEN
end

---@param given any
---@param wanted string
---@return boolean
function M.is_proof(given, wanted)
	return type(given) == "string" and #given == PROOF_LEN and core.equal(given, wanted)
end

return M
