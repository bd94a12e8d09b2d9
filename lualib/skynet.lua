--- The `skynet` module: what a service says to its node.
---
--- The table is native and fills itself: what sends, waits and answers is in Rust, and `skynet.extra` has the rest. Its
--- functions are described in lualib/meta/skynet.lua.
return require "skynet.kernel".skynet()
