--- URLs as they stand in a request line.
local char = string.char

local M = {}

---Undoes `+` and `%41`. A percent sign without two hexadecimal digits stays.
local function decode(text)
	return (text:gsub("+", " "):gsub("%%(%x%x)", function(digits)
		return char(tonumber(digits, 16))
	end))
end

---Splits a URL at its first question mark.
---@param url string
---@return string path decoded
---@return string query as it came
function M.parse(url)
	local path, query = url:match "^([^?]*)%??(.*)$"
	return decode(path), query
end

---Reads `a=1&b=2`. A name that is there more than once gets an array of its values; one without a `=` is left out.
---@param query string
---@return table<string, string | string[]>
function M.parse_query(query)
	local values = {}
	for pair in query:gmatch "[^&]+" do
		local name, value = pair:match "^([^=]*)=(.*)$"
		if name then
			name, value = decode(name), decode(value)
			local before = values[name]
			if type(before) == "table" then
				before[#before + 1] = value
			elseif before then
				values[name] = { before, value }
			else
				values[name] = value
			end
		end
	end
	return values
end

return M
