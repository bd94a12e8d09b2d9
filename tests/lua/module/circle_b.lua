return require "module.circle_a"
