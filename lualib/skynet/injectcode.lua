--- Evaluates source text as if it stood in a function that is running: it reads and writes the locals and upvalues there.
---
--- The text gets an environment that looks names up in that frame at each access, so a change is seen at once on both
--- sides. When the evaluation is over the frame may vanish; functions that the text left behind then see the last values.
local running = coroutine.running
local getinfo = debug.getinfo

---The highest level, that of the bottom of the stack, as the caller of this function counts.
local function bottom_level()
	local level = 1
	while getinfo(level + 1, "l") do
		level = level + 1
	end
	return level - 1
end

---@class Frame
---@field func function
---@field thread thread? a coroutine that stands still; nil for the running one
---@field level integer? the frame's level in that
---@field height integer? its distance from the bottom of the running one, where levels shift with each call
---@field names table<string, { upvalue: boolean, index: integer }>
---@field kept table<string, any>? the last values, once the evaluation is over

---@return any value of a local variable
local function get_local(frame, index)
	if frame.thread then
		return select(2, debug.getlocal(frame.thread, frame.level, index))
	end
	local level = bottom_level() - frame.height
	return select(2, debug.getlocal(level, index))
end

local function set_local(frame, index, value)
	if frame.thread then
		debug.setlocal(frame.thread, frame.level, index, value)
	else
		local level = bottom_level() - frame.height
		debug.setlocal(level, index, value)
	end
end

---Whether the frame is still where it was; another coroutine may have gone on when the text yielded.
local function is_there(frame)
	if frame.thread then
		local info = getinfo(frame.thread, frame.level, "f")
		return info ~= nil and info.func == frame.func
	end
	return true
end

local function read(frame, name)
	if frame.kept then
		return frame.kept[name]
	end
	local variable = frame.names[name]
	if variable.upvalue then
		return select(2, debug.getupvalue(frame.func, variable.index))
	end
	if is_there(frame) then
		return get_local(frame, variable.index)
	end
end

local function write(frame, name, value)
	if frame.kept then
		frame.kept[name] = value
		return
	end
	local variable = frame.names[name]
	if variable.upvalue then
		debug.setupvalue(frame.func, variable.index, value)
	elseif is_there(frame) then
		set_local(frame, variable.index, value)
	end
end

---Lists what the frame can name; what is declared later hides what is declared before it.
local function list_names(frame, name_of_local)
	local names = {}
	for index = 1, getinfo(frame.func, "u").nups do
		local name = debug.getupvalue(frame.func, index)
		if name:find "^[%a_]" then
			names[name] = { upvalue = true, index = index }
		end
	end
	local index = 1
	local name = name_of_local(index)
	while name do
		if name:find "^[%a_]" then
			names[name] = { upvalue = false, index = index }
		end
		index = index + 1
		name = name_of_local(index)
	end
	return names
end

---The environment of the text: the frame's variables, then `env`, then the globals that the frame's function sees.
local function environment(frame, env)
	local globals = _G
	if frame.names._ENV then
		globals = read(frame, "_ENV") or _G
		frame.names._ENV = nil
	end
	return setmetatable({}, {
		__index = function(_, name)
			if frame.names[name] then
				return read(frame, name)
			end
			local value = env and env[name]
			if value == nil then
				value = globals[name]
			end
			return value
		end,
		__newindex = function(_, name, value)
			if frame.names[name] then
				write(frame, name, value)
			else
				(env or globals)[name] = value
			end
		end,
	})
end

local function finish(frame, ...)
	local kept = {}
	for name in pairs(frame.names) do
		kept[name] = read(frame, name)
	end
	frame.kept = kept
	return ...
end

---@param source string
---@param co thread? the running coroutine
---@param level integer? 0: the caller, or the innermost function of another coroutine
---@param env table? where the text's globals are looked for first, and set
---@return boolean ok
---@return any ... results, or the error
return function(source, co, level, env)
	level = level or 0
	local frame
	local varargs = {}
	local count = 0
	if co and co ~= running() then
		local info = getinfo(co, level, "f")
		if not info then
			return false, ("no function at level %d of %s"):format(level, co)
		end
		frame = { func = info.func, thread = co, level = level }
		frame.names = list_names(frame, function(index)
			return (debug.getlocal(co, level, index))
		end)
		local name, value = debug.getlocal(co, level, -1)
		while name do
			count = count + 1
			varargs[count] = value
			name, value = debug.getlocal(co, level, -count - 1)
		end
	else
		-- Level 1 is this function, so the caller is at 2.
		local at = level + 2
		local info = getinfo(at, "f")
		if not info then
			return false, ("no function at level %d"):format(level)
		end
		local height = bottom_level() - at
		frame = { func = info.func, height = height }
		frame.names = list_names(frame, function(index)
			local here = bottom_level() - height
			return (debug.getlocal(here, index))
		end)
		local name, value = debug.getlocal(at, -1)
		while name do
			count = count + 1
			varargs[count] = value
			name, value = debug.getlocal(at, -count - 1)
		end
	end

	local chunk, reason = load(source, "=(inject)", "t", environment(frame, env))
	if not chunk then
		return false, reason
	end
	return finish(frame, pcall(chunk, table.unpack(varargs, 1, count)))
end
