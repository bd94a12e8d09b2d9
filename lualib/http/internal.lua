--- What servers and clients of HTTP have in common: heads and bodies, over functions that read and write.
---
--- A read function is called with a number of bytes, or without for whatever is there (at least one byte), and raises
--- when the connection is lost.
local codec = require "skynet.httpcodec"

local concat = table.concat

local M = {}

--- A head, and the trailers behind a body in chunks, have no more bytes than that.
local HEAD_MAX <const> = 8192
--- In the state of `codec.chunks`: at the first chunk, behind the last.
local FIRST_CHUNK <const>, NO_MORE_CHUNKS <const> = 0, -2
--- Pieces of a body that are shorter are put together as they come, so that many short ones take no table of their own.
local SHORT <const> = 64 * 1024

--- A body for which its reader gives no limit of its own has no more bytes than that, unless this is set to more.
M.bodylimit = 256 * 1024 * 1024

---Reads to the end of a head.
---@param read fun(sz?: integer): string
---@param rest string what was read before
---@return string? head without its empty line; nil if it has over 8192 bytes
---@return string rest what was read behind it
function M.readhead(read, rest)
	local from = 1
	while true do
		if rest:sub(1, 2) == "\r\n" then
			return "", rest:sub(3)
		end
		local at = rest:find("\r\n\r\n", from, true)
		if at then
			if at + 3 > HEAD_MAX then
				return nil, rest
			end
			return rest:sub(1, at - 1), rest:sub(at + 4)
		elseif #rest >= HEAD_MAX then
			return nil, rest
		end
		from = #rest > 3 and #rest - 2 or 1
		rest = rest .. read()
	end
end

---Reads the lines of a head.
---@param readbytes fun(sz?: integer): string
---@param lines string[] gets them
---@param rest string what was read before
---@return string? rest what was read behind the head; nil if it has over 8192 bytes
function M.recvheader(readbytes, lines, rest)
	local head
	head, rest = M.readhead(readbytes, rest)
	if not head then
		return
	end
	if head ~= "" then
		for line in (head .. "\r\n"):gmatch "(.-)\r\n" do
			lines[#lines + 1] = line
		end
	end
	return rest
end

---Reads header fields. A line that begins with a TAB goes on with the one before.
---@param lines string[]
---@param from integer the first of them to look at
---@param header table gets the values by their names in lower case; a name that is there already gets an array
---@return table? header nil if one of the lines is no field
function M.parseheader(lines, from, header)
	return codec.fields(concat(lines, "\r\n", from), header)
end

---Adds a piece to a list that is concatenated in the end. Short neighbours of like length are joined at once.
local function add(pieces, piece)
	local n = #pieces
	while n > 0 and #piece < SHORT and #pieces[n] <= #piece do
		piece = pieces[n] .. piece
		pieces[n] = nil
		n = n - 1
	end
	pieces[n + 1] = piece
end

---Reads a body in chunks as it comes.
---@param read fun(sz?: integer): string
---@param header table gets the trailers
---@param rest string what was read before
---@return fun(): string | false | nil, string? next The next piece of the body, not empty; behind it, nil and what was read
--- behind the body; false and the reason if it is malformed.
local function pieces_of_chunks(read, header, rest)
	local state = FIRST_CHUNK
	return function()
		while state do
			local used, piece
			state, used, piece = codec.chunks(rest, state)
			if not state then
				return false, used
			end
			rest = rest:sub(used + 1)
			local done = state == NO_MORE_CHUNKS
			if done then
				state = nil
				local trailers
				trailers, rest = M.readhead(read, rest)
				if not trailers then
					return false, "the trailers are too long"
				elseif not codec.fields(trailers, header) then
					return false, "the trailers are malformed"
				end
			end
			if piece ~= "" then
				return piece
			elseif not done then
				rest = rest .. read()
			end
		end
		return nil, rest
	end
end

---Reads a body in chunks.
---@param readbytes fun(sz?: integer): string
---@param limit? integer of the body's length
---@param header table gets the trailers
---@param rest string what was read before
---@return string? body nil if it is malformed or over the limit
---@return table | string header or what is wrong: "limit" for the limit
---@return string? rest what was read behind it
function M.recvchunkedbody(readbytes, limit, header, rest)
	limit = limit or M.bodylimit
	local pieces, size = {}, 0
	local next_piece = pieces_of_chunks(readbytes, header, rest)
	while true do
		local piece, more = next_piece()
		if piece == false then
			return nil, more
		elseif not piece then
			return concat(pieces), header, more
		end
		size = size + #piece
		if size > limit then
			return nil, "limit"
		end
		add(pieces, piece)
	end
end

---The length of a body, as its header says.
---@return integer? length nil if it says nothing
---@return boolean? bad it says something that is no length, or two different things
function M.contentlength(header)
	local value = header["content-length"]
	if type(value) == "table" then
		for i = 2, #value do
			if value[i] ~= value[1] then
				return nil, true
			end
		end
		value = value[1]
	end
	if value == nil then
		return nil
	elseif type(value) ~= "string" or not value:find "^%d+$" then
		return nil, true
	end
	-- More digits than an integer has are more bytes than anybody has.
	return #value:gsub("^0+", "") > 18 and math.maxinteger or math.tointeger(tonumber(value))
end

---How a body is coded.
---@return "identity" | "chunked" | nil mode nil for anything else
function M.transfermode(header)
	local mode = header["transfer-encoding"]
	if mode == nil then
		return "identity"
	elseif type(mode) == "string" then
		mode = mode:lower()
		if mode == "identity" or mode == "chunked" then
			return mode
		end
	end
end

---Neither a name nor a value may bring a line of its own into a head.
---@param what any
---@return string
function M.oneline(what)
	local text = tostring(what)
	if text:find "[\r\n\0]" then
		error(("a line break in a head: %q"):format(text:sub(1, 60)), 3)
	end
	return text
end
local oneline = M.oneline

---Sends a request and reads the head of its response.
---@param interface { read: fun(sz?: integer): string, write: fun(s: string), readall: fun(): string }
---@param method string
---@param host string
---@param url string
---@param recvheader? table gets the response's header
---@param header? table<string, string | number | (string | number)[]>
---@param content? string
---@return integer code
---@return string rest what was read behind the head
---@return table header the response's
function M.request(interface, method, host, url, recvheader, header, content)
	local head = { ("%s %s HTTP/1.1\r\n"):format(oneline(method), oneline(url)) }
	local has_host, chunked = false, false
	for name, value in pairs(header or {}) do
		local lower = tostring(name):lower()
		has_host = has_host or lower == "host"
		chunked = chunked or lower == "transfer-encoding" and tostring(value):lower() == "chunked"
		-- What is counted here is right, whatever the caller has counted.
		if lower ~= "content-length" then
			for _, v in ipairs(type(value) == "table" and value or { value }) do
				head[#head + 1] = ("%s:%s\r\n"):format(oneline(name), oneline(v))
			end
		end
	end
	if not has_host then
		head[#head + 1] = ("%s:%s\r\n"):format(header and "Host" or "host", oneline(host))
	end
	content = content or ""
	-- A body in chunks is the caller's, sizes and all.
	if not chunked then
		head[#head + 1] = ("Content-length:%d\r\n"):format(#content)
	end
	head[#head + 1] = "\r\n"
	head[#head + 1] = content
	interface.write(concat(head))

	local text, rest = M.readhead(interface.read, "")
	if not text then
		error "Recv header failed"
	end
	local code, _, fields = codec.response(text, recvheader)
	if not fields then
		error "Invalid HTTP response header"
	end
	return math.tointeger(tonumber(code)), rest, fields
end

---Whether a response with this code has no body, whatever its header says.
local function bodyless(code)
	return code < 200 or code == 204 or code == 304
end

---@return string mode
---@return integer? length
local function framing(header)
	local mode = M.transfermode(header)
	if not mode then
		error "Unsupport transfer-encoding"
	end
	local length, bad
	if mode == "identity" then
		length, bad = M.contentlength(header)
		if bad then
			error "Invalid HTTP response header"
		end
	end
	return mode, length
end

---Reads the body of a response.
---@param interface { read: fun(sz?: integer): string, write: fun(s: string), readall: fun(): string }
---@param code integer
---@param rest string what was read behind the head
---@param header table
---@param limit? integer of the body's length
---@return string body
function M.response(interface, code, rest, header, limit)
	limit = limit or M.bodylimit
	local mode, length = framing(header)
	if bodyless(code) then
		return ""
	elseif mode == "chunked" then
		local body, why = M.recvchunkedbody(interface.read, limit, header, rest)
		if not body then
			error(("Invalid response body: %s"):format(why == "limit" and "it is over the limit" or why))
		end
		return body
	elseif length then
		if length > limit then
			error(("Invalid response body: %d bytes are over the limit of %d"):format(length, limit))
		elseif #rest >= length then
			return rest:sub(1, length)
		end
		return rest .. interface.read(length - #rest)
	end
	local body = rest .. interface.readall(limit - #rest)
	if #body > limit then
		error(("Invalid response body: it is over the limit of %d bytes"):format(limit))
	end
	return body
end

---@class http.stream
---@field status integer
---@field header table
---@field connected boolean false when the other side has closed, or all has been read
---@field onclose? function called by `close`
local stream = {}
stream.__index = stream

---The next piece of the body, and the stream: `for piece, stream in stream do`.
---@return string?
---@return http.stream
function stream:__call()
	return self:_next(), self
end

---Ends it, also in the middle.
function stream:close()
	self._next = function() end
	self.connected = false
	local onclose = self.onclose
	if onclose then
		self.onclose = nil
		onclose()
	end
end

---What has been read, or what comes next; nil at the end of the connection.
local function received(self, socket_error)
	local rest = self._rest
	if rest ~= "" then
		self._rest = ""
		return rest
	end
	local ok, piece = pcall(self._interface.read)
	if ok then
		return piece
	end
	self.connected = false
	-- The plain error is the end of the connection; one that has words to it (a time limit) is not.
	if piece ~= socket_error or piece.info then
		error(piece, 0)
	end
end

---The body of a response, piece by piece.
---@param interface { read: fun(sz?: integer): string, write: fun(s: string), readall: fun(): string }
---@param code integer
---@param rest string what was read behind the head
---@param header table
---@return http.stream
function M.response_stream(interface, code, rest, header)
	local socket_error = require "http.sockethelper".socket_error
	local mode, length = framing(header)
	local self = setmetatable({
		status = code,
		header = header,
		connected = true,
		_interface = interface,
		_rest = rest,
	}, stream)
	if bodyless(code) or length == 0 then
		function self:_next()
			self.connected = false
		end
	elseif mode == "chunked" then
		local next_piece = pieces_of_chunks(interface.read, header, rest)
		function self:_next()
			local piece, why = next_piece()
			if piece == false then
				self.connected = false
				error(("Invalid response body: %s"):format(why))
			elseif not piece then
				self.connected = false
			end
			return piece
		end
	elseif length then
		function self:_next()
			if length == 0 then
				self.connected = false
				return
			end
			local piece = received(self, socket_error)
			if not piece then
				error(socket_error)
			end
			piece = piece:sub(1, length)
			length = length - #piece
			return piece
		end
	else
		function self:_next()
			if self.connected then
				return received(self, socket_error)
			end
		end
	end
	return self
end

return M
