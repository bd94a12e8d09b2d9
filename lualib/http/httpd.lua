--- The server's side of HTTP: reads a request, writes a response.
---
--- Over functions that read and write, which `http.sockethelper` or `http.tlshelper` make of a connection. With a
--- time limit in its read function, a client that sends slowly is cut off.
local internal = require "http.internal"
local codec = require "skynet.httpcodec"

local concat = table.concat

local M = {}

--- A request's body for which `read_request` is given no limit has no more bytes than that.
M.bodylimit = 64 * 1024 * 1024

--- Matched by clients: keep the words.
local reasons <const> = {
	[100] = "Continue",
	[101] = "Switching Protocols",
	[200] = "OK",
	[201] = "Created",
	[202] = "Accepted",
	[203] = "Non-Authoritative Information",
	[204] = "No Content",
	[205] = "Reset Content",
	[206] = "Partial Content",
	[300] = "Multiple Choices",
	[301] = "Moved Permanently",
	[302] = "Found",
	[303] = "See Other",
	[304] = "Not Modified",
	[305] = "Use Proxy",
	[307] = "Temporary Redirect",
	[400] = "Bad Request",
	[401] = "Unauthorized",
	[402] = "Payment Required",
	[403] = "Forbidden",
	[404] = "Not Found",
	[405] = "Method Not Allowed",
	[406] = "Not Acceptable",
	[407] = "Proxy Authentication Required",
	[408] = "Request Time-out",
	[409] = "Conflict",
	[410] = "Gone",
	[411] = "Length Required",
	[412] = "Precondition Failed",
	[413] = "Request Entity Too Large",
	[414] = "Request-URI Too Large",
	[415] = "Unsupported Media Type",
	[416] = "Requested range not satisfiable",
	[417] = "Expectation Failed",
	[500] = "Internal Server Error",
	[501] = "Not Implemented",
	[502] = "Bad Gateway",
	[503] = "Service Unavailable",
	[504] = "Gateway Time-out",
	[505] = "HTTP Version not supported",
}

local function request(read, limit)
	local head, rest = internal.readhead(read, "")
	if not head then
		return 413
	end
	local method, url, version, header = codec.request(head)
	-- A line that is no request line is not worth an answer.
	assert(method)
	version = assert(tonumber(version))
	if version < 1.0 or version > 1.1 then
		return 505
	elseif not header then
		return 400
	end
	local length, bad = internal.contentlength(header)
	if bad then
		return 400
	end
	local mode = internal.transfermode(header)
	if not mode then
		return 501
	elseif mode == "chunked" then
		local body, why, behind = internal.recvchunkedbody(read, limit, header, rest)
		if not body then
			return why == "limit" and 413 or 400
		end
		return 200, url, method, header, body, behind
	elseif not length then
		return 200, url, method, header, "", rest
	elseif length > limit then
		return 413
	elseif #rest >= length then
		return 200, url, method, header, rest:sub(1, length), rest:sub(length + 1)
	end
	return 200, url, method, header, rest .. read(length - #rest), ""
end

local function answer(ok, code, ...)
	if ok then
		return code, ...
	end
	return nil, code
end

---Reads a request. Yields.
---@param readfunc fun(sz?: integer): string
---@param bodylimit? integer of the body's length
---@return integer? code 200; or what to answer instead: 400, 413, 501, 505; nil if the connection is lost
---@return any url or the error
---@return string? method
---@return table<string, string | string[]>? header by names in lower case; one that is there more than once has an array
---@return string? body
---@return string? behind what was read behind the body
function M.read_request(readfunc, bodylimit)
	return answer(pcall(request, readfunc, bodylimit or M.bodylimit))
end

local function respond(write, status, body, header)
	local kind = type(body)
	local head = { ("HTTP/1.1 %03d %s\r\n"):format(status, reasons[status] or "") }
	for name, value in pairs(header or {}) do
		-- The length of a text is counted here, once.
		if kind ~= "string" or tostring(name):lower() ~= "content-length" then
			for _, v in ipairs(type(value) == "table" and value or { value }) do
				head[#head + 1] = ("%s: %s\r\n"):format(internal.oneline(name), internal.oneline(v))
			end
		end
	end
	if kind == "string" then
		head[#head + 1] = ("content-length: %d\r\n\r\n"):format(#body)
		head[#head + 1] = body
		write(concat(head))
	elseif kind == "function" then
		head[#head + 1] = "transfer-encoding: chunked\r\n"
		write(concat(head))
		-- The end of line before a chunk's size ends what was before it: the head at first, then a chunk.
		for piece in body do
			if piece ~= "" then
				write(("\r\n%x\r\n%s"):format(#piece, piece))
			end
		end
		write "\r\n0\r\n\r\n"
	elseif body == nil then
		head[#head + 1] = "\r\n"
		write(concat(head))
	else
		error(("a body is a string or a function, not a %s"):format(kind))
	end
end

---Writes a response.
---@param writefunc fun(s: string)
---@param status integer
---@param body? string | fun(): string? A function gives the body piece by piece, then nil.
---@param header? table<string, string | number | (string | number)[]>
---@return boolean ok
---@return any err
function M.write_response(writefunc, status, body, header)
	return pcall(respond, writefunc, status, body, header)
end

return M
