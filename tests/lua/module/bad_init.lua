--- Its init function fails.
require "skynet".init(function()
	error "init of module"
end)
