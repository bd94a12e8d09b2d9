--- A service of the usual size: ten library modules, some 3500 lines of Lua.
local skynet = require "skynet"

require "heavy.player"
require "heavy.item"
require "heavy.quest"
require "heavy.guild"
require "heavy.mail"
require "heavy.skill"
require "heavy.battle"
require "heavy.shop"
require "heavy.arena"
require "heavy.pet"

skynet.start(function() end)
