--- Runs source text inside a service, with a view of its locals. Behind the debug command RUN.
local unpack = table.unpack

---Collects the tables that functions hold as upvalues, and those that functions among their upvalues hold.
---@param into table<string, table> by the upvalue's name
---@param seen table<function, true>
---@param functions function[]
local function collect(into, seen, functions)
	local todo = { unpack(functions) }
	while #todo > 0 do
		local f = table.remove(todo)
		if not seen[f] then
			seen[f] = true
			for i = 1, debug.getinfo(f, "u").nups do
				local name, value = debug.getupvalue(f, i)
				if type(value) == "function" then
					table.insert(todo, value)
				elseif type(value) == "table" and name ~= "_ENV" and name:find "^[%a_]" then
					into[name] = value
				end
			end
		end
	end
end

---@param skynet table
---@param source string
---@param filename string names the chunk
---@param args table arguments of the chunk, packed with their count
---@param ... function whose upvalues the source sees as `_U`
---@return boolean ok
---@return string[] output what it printed; if it failed, then the reason
return function(skynet, source, filename, args, ...)
	local output = {}
	local seen = {}
	local upvalues, protocols = {}, {}
	collect(upvalues, seen, { ... })
	for _, protocol in pairs(skynet._proto) do
		-- The table has each protocol twice, by name and by number.
		if protocol.dispatch and not protocols[protocol.name] then
			protocols[protocol.name] = {}
			collect(protocols[protocol.name], seen, { protocol.dispatch })
		end
	end

	local environment = setmetatable({
		_U = upvalues,
		_P = protocols,
		print = function(...)
			local words = table.pack(...)
			for i = 1, words.n do
				words[i] = tostring(words[i])
			end
			table.insert(output, table.concat(words, "\t"))
		end,
	}, { __index = _ENV })

	local chunk, reason = load(source, filename, "bt", environment)
	if not chunk then
		return false, { reason }
	end
	local ok, failure = xpcall(chunk, debug.traceback, unpack(args, 1, args.n or #args))
	if not ok then
		table.insert(output, tostring(failure))
	end
	return ok, output
end
