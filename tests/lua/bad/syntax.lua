-- Does not compile.
local = 5
