--- Runs snippets for the tests: `("eval", code)` answers with what the code returns, each value as text. An error
--- answers with "error" and its text. The first one of a node is known as `.eval`.
local skynet = require "skynet"
require "skynet.manager"

local nameless = ...

local function show(value)
	if type(value) == "table" and not getmetatable(value) then
		local fields = {}
		for k, v in pairs(value) do
			fields[#fields + 1] = ("%s=%s"):format(tostring(k), show(v))
		end
		table.sort(fields)
		return "{" .. table.concat(fields, ",") .. "}"
	end
	return tostring(value)
end

local function shown(ok, ...)
	local values = table.pack(...)
	for i = 1, values.n do
		values[i] = show(values[i])
	end
	if not ok then
		return "error", values[1]
	end
	return table.unpack(values, 1, values.n)
end

local commands = {}

function commands.eval(code)
	local chunk, err = load(code, "=eval", "t", setmetatable({ skynet = skynet }, { __index = _G, __newindex = _G }))
	if not chunk then
		return "error", err
	end
	return shown(pcall(chunk))
end

--- Answers nothing before it is woken by `release`.
local held = {}
function commands.hold()
	local token = {}
	table.insert(held, token)
	skynet.wait(token)
	return "released"
end

function commands.release()
	for _, token in ipairs(held) do
		skynet.wakeup(token)
	end
	held = {}
	return "ok"
end

function commands.echo(...)
	return ...
end

function commands.fail()
	error "eval fails as asked"
end

function commands.quit()
	skynet.exit()
end

-- Here, and not in the start function: then a request that comes before that runs is answered too.
skynet.dispatch("lua", function(_, _, command, ...)
	skynet.retpack(commands[command](...))
end)

skynet.start(function()
	if not nameless then
		skynet.register ".eval"
	end
end)
