return require "module.circle_b"
