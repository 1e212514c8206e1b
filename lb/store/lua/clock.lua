-- The store's clock, read once, as a script happens at one instant.
local time = redis.call('TIME')
local now = string.format('%d.%03d', time[1], time[2] / 1000) -- unix seconds
