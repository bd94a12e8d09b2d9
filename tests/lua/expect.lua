--- What the snippets of the tests check with.
local skynet = require "skynet"

local M = {}

local function show(value, depth)
	if type(value) == "string" then
		return ("%q"):format(value)
	elseif type(value) ~= "table" or (depth or 0) > 5 then
		return tostring(value)
	end
	local fields = {}
	for k, v in pairs(value) do
		fields[#fields + 1] = show(k) .. "=" .. show(v, (depth or 0) + 1)
	end
	table.sort(fields)
	return "{" .. table.concat(fields, ",") .. "}"
end

---Both are equal, tables by what is in them.
function M.same(got, want)
	if math.type(got) ~= math.type(want) or show(got) ~= show(want) then
		error(("got %s, want %s"):format(show(got), show(want)), 2)
	end
end

---The function raises an error with this text in it; returns the whole text.
function M.raises(text, f, ...)
	local ok, reason = pcall(f, ...)
	if ok then
		error(("no error, but one with %q is due"):format(text), 2)
	elseif not tostring(reason):find(text, 1, true) then
		error(("the error is %q, but %q is due"):format(tostring(reason), text), 2)
	end
	return tostring(reason)
end

---The number of values.
function M.count(...)
	return select("#", ...)
end

---Launches a service that runs this text first, with its coroutine's `skynet.dispatch` at its will.
function M.spawn(code)
	local handle = assert(skynet.newservice("eval", "nameless"))
	local failed, reason = skynet.call(handle, "lua", "eval", code)
	if failed == "error" then
		error(("the spawned service says: %s"):format(reason), 2)
	end
	return handle
end

return M
