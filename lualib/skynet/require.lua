--- `require` in a coroutine, where a module's chunk may block, and the init functions that modules register.
---
--- In the main chunk the standard `require` does it all; the dispatcher calls `in_coroutine` for the rest.
local skynet = require "skynet"
local kernel = require "skynet.kernel"

local M = {}

---@class skynet.require.loading
---@field name string the module
---@field owner thread the coroutine that runs the chunk
---@field outer skynet.require.loading? the one that it is part of
---@field waiters table[] tokens
---@field inits function[]

---@type table<string, skynet.require.loading>
local in_work = {}
---The load that a coroutine is in, innermost.
---@type table<thread, skynet.require.loading>
local current = setmetatable({}, { __mode = "k" })
---The module that a coroutine waits for.
---@type table<thread, skynet.require.loading>
local waits_for = setmetatable({}, { __mode = "k" })

---Finds a module's chunk in Lua; nil for anything that the standard `require` must do.
local function find_chunk(name)
	if package.preload[name] then
		return nil
	end
	for i = 2, 3 do
		local loader, extra = package.searchers[i](name)
		if type(loader) == "function" then
			if i == 2 then
				return nil
			end
			return loader, extra
		end
	end
end

---Whether waiting for `loading` would wait for the coroutine itself.
local function is_circle(loading, me)
	while loading do
		if loading.owner == me then
			return true
		end
		loading = waits_for[loading.owner]
	end
	return false
end

-- A coroutine that is killed while it loads must not have the others wait for ever: it is left by closing.
local loading_meta = {
	__close = function(loading)
		current[loading.owner] = loading.outer
		in_work[loading.name] = nil
		for _, waiter in ipairs(loading.waiters) do
			skynet.wakeup(waiter)
		end
	end,
}

local function run(name, chunk, file)
	local me = kernel.running()
	local loading <close> =
		setmetatable({ name = name, owner = me, outer = current[me], waiters = {}, inits = {} }, loading_meta)
	in_work[name] = loading
	current[me] = loading
	local ok, result = xpcall(chunk, debug.traceback, name, file)
	if not ok then
		return false, result
	end
	if result ~= nil then
		package.loaded[name] = result
	elseif package.loaded[name] == nil then
		package.loaded[name] = true
	end
	for _, init in ipairs(loading.inits) do
		ok, result = xpcall(init, debug.traceback)
		if not ok then
			package.loaded[name] = nil
			return false, result
		end
	end
	return true
end

---@param name string
---@return any module only the value
function M.in_coroutine(name)
	local loaded = package.loaded[name]
	if loaded ~= nil then
		return loaded
	end
	local me = kernel.running()
	local other = in_work[name]
	if other then
		if is_circle(other, me) then
			error(("circular dependency: module %s requires itself"):format(name), 2)
		end
		local token = {}
		table.insert(other.waiters, token)
		waits_for[me] = other
		skynet.wait(token)
		waits_for[me] = nil
		loaded = package.loaded[name]
		if loaded == nil then
			error(("require %s failed"):format(name), 2)
		end
		return loaded
	end
	local ok, chunk, file = pcall(find_chunk, name)
	if not ok or not chunk then
		-- C modules, preloaded ones and those with an error: the standard one says it best.
		return (M.standard(name))
	end
	local loaded_well, problem = run(name, chunk, file)
	if not loaded_well then
		error(problem, 0)
	end
	return package.loaded[name]
end

---`skynet.init` in a coroutine: the function runs right after the module that is being loaded.
function M.init(f)
	local loading = current[kernel.running()]
	if not loading then
		error("skynet.init must be called while a module is loaded, or in the main chunk", 3)
	end
	table.insert(loading.inits, f)
end

---Runs init functions now; the dispatcher does it for the start of the service.
function M.init_all() end

M.standard = kernel.require
M.require = require

return M
