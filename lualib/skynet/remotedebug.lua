--- The debugger inside of a service. It reads lines from a debug channel, evaluates them here, and writes what they print,
--- and its prompts, to a socket that belongs to the console.
---
--- It runs in the coroutine of the debug request REMOTEDEBUG, so the lines that it evaluates may call and wait. While a
--- coroutine is stopped, the rest of the service stands still: see the dispatcher's `debugger`.
local skynet = require "skynet"
local debugchannel = require "skynet.debugchannel"
local injectcode = require "skynet.injectcode"

local getinfo = debug.getinfo
local running = coroutine.running
local sethook = debugchannel.sethook

-- The lines of this file are not what one debugs.
local OWN_SOURCE = getinfo(1, "S").source

local active = false

---How many functions are on the stack, as seen by the caller.
local function depth_of_stack()
	local level = 1
	while getinfo(level + 1, "l") do
		level = level + 1
	end
	return level - 1
end

local function text_of(...)
	local words = table.pack(...)
	for i = 1, words.n do
		words[i] = tostring(words[i])
	end
	return table.concat(words, "\t", 1, words.n)
end

---@class Debugger
---@field put fun(text: string) writes to the console
---@field kernel skynet.kernel
---@field prompt string of the service at large
---@field watches table<string, { watcher: function, original: function }> by the protocol's name
---@field followed thread? the coroutine that has the hook
---@field depth integer? the depth of the stack at the last stop
---@field depth_max integer? where the next stop may be; nil: anywhere
---@field env table what evaluated text sees
local Debugger = {}
Debugger.__index = Debugger

---Takes the hook away from the coroutine that has it.
function Debugger:unfollow()
	local co = self.followed
	if co then
		self.followed = nil
		sethook(co)
	end
end

---Stops the running coroutine at the next line that is not ours.
function Debugger:follow()
	self.followed = running()
	self.depth_max = nil
	sethook(function(_, line, may_yield)
		-- 2: the function that the hook interrupts.
		local info = getinfo(2, "S")
		if not may_yield or info.source == OWN_SOURCE then
			return false
		end
		local depth = depth_of_stack()
		if self.depth_max and depth > self.depth_max then
			return false
		end
		self.depth = depth
		self.put(("%s(%d)>"):format(info.short_src, line))
		return true
	end, "l")
end

function Debugger:unwatch(name)
	local watch = self.watches[name]
	if watch then
		self.watches[name] = nil
		-- Somebody else may have set a handler meanwhile: that stays.
		if skynet.dispatch(name) == watch.watcher then
			skynet.dispatch(name, watch.original)
		end
	end
end

---Has the next message of a protocol stop at its handler's first line.
---@param name string
---@param condition? fun(session: integer, source: integer, ...: any): boolean
---@return string? problem
function Debugger:watch(name, condition)
	self:unwatch(name)
	local protocol = skynet._proto[name]
	if not protocol then
		return "No " .. tostring(name)
	end
	name = protocol.name
	local original = protocol.dispatch and skynet.dispatch(name)
	if not original then
		return "No dispatch"
	end
	local over = setmetatable({}, {
		__close = function()
			if self.followed == running() then
				self:unfollow()
				self.put(self.prompt)
			end
		end,
	})
	local function watcher(session, source, ...)
		local hit = not self.followed
		if hit and condition then
			local ok, answer = pcall(condition, session, source, ...)
			if not ok then
				self.put(text_of(answer) .. "\n")
			end
			hit = ok and answer
		end
		if not hit then
			return original(session, source, ...)
		end
		self:unwatch(name)
		local _ <close> = over
		self:follow()
		original(session, source, ...)
	end
	self.watches[name] = { watcher = watcher, original = original }
	skynet.dispatch(name, watcher)
end

---Evaluates a line, in the frame where a coroutine is stopped, or for the service at large.
function Debugger:evaluate(line, stopped)
	local expression = "return " .. line
	local source = load(expression, "=(debug)", "t") and expression or line
	local results
	if stopped then
		results = table.pack(injectcode(source, stopped, 0, self.env))
	else
		local chunk, reason = load(source, "=(debug)", "t", self.env)
		results = chunk and table.pack(pcall(chunk)) or table.pack(false, reason)
	end
	if results.n > 1 then
		self.put(text_of(table.unpack(results, 2, results.n)) .. "\n")
	end
end

---Obeys one line; false: it was the last one.
function Debugger:obey(line)
	line = line:gsub("^%s+", ""):gsub("%s+$", "")
	local stopped = self.kernel.stopped()
	if line == "cont" then
		return false
	elseif stopped and (line == "s" or line == "n") then
		self.depth_max = line == "n" and self.depth or nil
		-- The prompt comes with the next stop.
		self.kernel.go_on()
		return true
	elseif stopped and line == "c" then
		self:unfollow()
		self.kernel.go_on()
		stopped = nil
	elseif line ~= "" then
		self:evaluate(line, stopped)
	end
	if stopped then
		local info = getinfo(stopped, 0, "Sl")
		self.put(("%s(%d)>"):format(info.short_src, info.currentline))
	else
		self.put(self.prompt)
	end
	return true
end

function Debugger:leave()
	for name in pairs(self.watches) do
		self:unwatch(name)
	end
	self:unfollow()
	self.kernel.go_on()
	self.kernel.debugger(false)
	active = false
	skynet.error "Leave debug mode"
end

Debugger.__close = Debugger.leave

local M = {}

---Debugs this service until the console says `cont`, or is gone. Yields.
---@param kernel skynet.kernel
---@param fd integer the console's socket
---@param pointer lightuserdata of the channel that lines come from
function M.start(kernel, fd, pointer)
	if active then
		error("Already in debug mode", 0)
	end
	local lines = debugchannel.connect(pointer)
	local socketdriver = require "skynet.socketdriver"
	local function put(text)
		-- False where the socket is gone; then the console is about to say so.
		socketdriver.send(fd, text)
	end
	active = true
	local debugger <close> =
		setmetatable({ put = put, kernel = kernel, prompt = skynet.address(skynet.self()) .. ">", watches = {} }, Debugger)
	debugger.env = setmetatable({
		print = function(...)
			put(text_of(...) .. "\n")
		end,
		watch = function(name, condition)
			return debugger:watch(name, condition)
		end,
		skynet = skynet,
	}, { __index = _G, __newindex = _G })
	kernel.debugger(true)
	skynet.error "Enter debug mode"
	put(debugger.prompt)
	repeat
		local line = lines:read()
	until not line or not debugger:obey(line)
end

return M
