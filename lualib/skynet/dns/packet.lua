--- The packets of DNS (RFC 1035): writes questions and reads answers. What it reads comes from strangers.
local M = {}

M.A, M.CNAME, M.AAAA = 1, 5, 28

local CLASS_IN = 1
-- A question with "recursion desired", and nothing else.
local QUERY_FLAGS = 0x0100

-- What a name may have, in text form.
M.NAME_MAX = 1024
local LABEL_MAX = 63
-- What it may have in a packet: the standard's limit.
local WIRE_NAME_MAX = 255
-- How often the reader of one name may follow a pointer.
local JUMPS_MAX = 32

---Whether a text can be asked for: letters, digits, `-` and `_` in labels of at most 63.
---@param name string
---@return boolean
function M.is_name(name)
	if #name == 0 or #name > M.NAME_MAX or name:find "[^_%w%-%.]" then
		return false
	end
	name = name:gsub("%.$", "")
	for label in (name .. "."):gmatch "([^%.]*)%." do
		if #label == 0 or #label > LABEL_MAX then
			return false
		end
	end
	return true
end

---The packet that asks for a name.
---@param id integer 1 to 65535
---@param name string one that `is_name`
---@param kind integer A or AAAA
---@return string
function M.query(id, name, kind)
	local parts = {}
	for label in name:gmatch "[^%.]+" do
		parts[#parts + 1] = string.pack("s1", label)
	end
	return string.pack(">I2I2I2I2I2I2", id, QUERY_FLAGS, 1, 0, 0, 0)
		.. table.concat(parts) .. "\0" .. string.pack(">I2I2", kind, CLASS_IN)
end

---Reads a name, which may go on elsewhere in the packet: every pointer must lead backwards, so that it ends.
---@return string name in lower case, without the last dot
---@return integer next where what follows the name begins
local function read_name(packet, at)
	local labels, length = {}, 0
	local after
	local jumps, lowest = 0, at
	while true do
		local size = packet:byte(at)
		if not size then
			error("a name runs over the end", 0)
		elseif size == 0 then
			return table.concat(labels, "."):lower(), after or at + 1
		elseif size <= LABEL_MAX then
			local label = packet:sub(at + 1, at + size)
			length = length + size + 1
			if #label < size then
				error("a label runs over the end", 0)
			elseif length >= WIRE_NAME_MAX then
				error(("a name is longer than %d bytes"):format(WIRE_NAME_MAX), 0)
			end
			labels[#labels + 1] = label
			at = at + size + 1
		elseif size >= 0xc0 then
			local low = packet:byte(at + 1)
			if not low then
				error("a pointer runs over the end", 0)
			end
			after = after or at + 2
			at = ((size & 0x3f) << 8 | low) + 1
			jumps = jumps + 1
			if at >= lowest or jumps > JUMPS_MAX then
				error("a pointer in a name does not lead backwards", 0)
			end
			lowest = at
		else
			error(("a label of the unknown kind %d"):format(size >> 6), 0)
		end
	end
end

---@class skynet.dns.record
---@field name string
---@field kind integer
---@field ttl integer seconds
---@field data string an address as text, a name, or what is not known as it is

local readers = {
	[M.A] = function(packet, at, size)
		return size == 4 and ("%d.%d.%d.%d"):format(packet:byte(at, at + 3)) or nil
	end,
	[M.AAAA] = function(packet, at, size)
		return size == 16 and M.ipv6_text(packet:sub(at, at + 15)) or nil
	end,
	[M.CNAME] = function(packet, at)
		return (read_name(packet, at))
	end,
}

---16 bytes as the text of an address, in the short form (RFC 5952).
---@param bytes string
---@return string
function M.ipv6_text(bytes)
	local groups = table.pack(string.unpack(">I2I2I2I2I2I2I2I2", bytes))
	local best, best_len = 0, 1
	local from, len = 0, 0
	for i = 1, 8 do
		if groups[i] == 0 then
			if len == 0 then
				from = i
			end
			len = len + 1
			if len > best_len then
				best, best_len = from, len
			end
		else
			len = 0
		end
	end
	local function hex(first, last)
		local words = {}
		for i = first, last do
			words[#words + 1] = ("%x"):format(groups[i])
		end
		return table.concat(words, ":")
	end
	if best == 0 then
		return hex(1, 8)
	end
	return hex(1, best - 1) .. "::" .. hex(best + best_len, 8)
end

local function read_record(packet, at)
	local name
	name, at = read_name(packet, at)
	if #packet - at + 1 < 10 then
		error("a record runs over the end", 0)
	end
	local kind, class, ttl, size
	kind, class, ttl, size, at = string.unpack(">I2I2I4I2", packet, at)
	if #packet - at + 1 < size then
		error("the data of a record runs over the end", 0)
	end
	-- The highest bit of a time would make it negative, which means none (RFC 2181).
	local record = { name = name, kind = kind, ttl = ttl < 0x80000000 and ttl or 0 }
	if class == CLASS_IN then
		local read = readers[kind]
		record.data = packet:sub(at, at + size - 1)
		if read then
			record.data = read(packet, at, size)
		end
	end
	return record, at + size
end

local function parse(packet)
	if #packet < 12 then
		error("it is shorter than a header", 0)
	end
	local id, flags, questions, count = string.unpack(">I2I2I2I2", packet)
	if flags & 0x8000 == 0 then
		error("it is no answer", 0)
	elseif questions ~= 1 then
		error(("it answers %d questions"):format(questions), 0)
	end
	local answer = { id = id, code = flags & 0xf, truncated = flags & 0x0200 ~= 0, records = {} }
	local at
	answer.name, at = read_name(packet, 13)
	if #packet - at + 1 < 4 then
		error("the question runs over the end", 0)
	end
	answer.kind, answer.class, at = string.unpack(">I2I2", packet, at)
	for i = 1, count do
		local record
		-- Each takes at least 11 bytes, so the packet's size limits the loop.
		record, at = read_record(packet, at)
		answer.records[i] = record
	end
	return answer
end

---@class skynet.dns.answer
---@field id integer
---@field code integer 0: no error
---@field truncated boolean
---@field name string what was asked for
---@field kind integer
---@field class integer
---@field records skynet.dns.record[]

---Reads an answer.
---@param packet string
---@return skynet.dns.answer? answer
---@return string? problem
function M.parse(packet)
	local ok, answer = pcall(parse, packet)
	if ok then
		return answer
	end
	return nil, answer
end

---The addresses for the name that was asked for, by way of its aliases: what an answer says of other names does not count.
---@param answer skynet.dns.answer
---@return string[] addresses
---@return integer? ttl seconds for which they are good
function M.addresses(answer)
	local alias = {}
	for _, record in ipairs(answer.records) do
		if record.kind == M.CNAME and record.data then
			alias[record.name] = alias[record.name] or record
		end
	end
	local wanted, ttl = {}, nil
	local name = answer.name
	-- A circle of aliases comes back to a name that is wanted already.
	while name and not wanted[name] do
		wanted[name] = true
		local record = alias[name]
		name = record and record.data
		if record then
			ttl = math.min(ttl or record.ttl, record.ttl)
		end
	end
	local addresses = {}
	for _, record in ipairs(answer.records) do
		if record.kind == answer.kind and record.data and wanted[record.name] then
			addresses[#addresses + 1] = record.data
			ttl = math.min(ttl or record.ttl, record.ttl)
		end
	end
	return addresses, ttl
end

return M
