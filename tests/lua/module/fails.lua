--- Fails after it has waited, unless a global says otherwise.
local skynet = require "skynet"
if failing_module_is_fine then
	return "fine"
end
skynet.wait "failing module"
error "the module fails"
