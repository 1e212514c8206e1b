-- A worker records that it was degraded for a while. While it was, it could not record that here.
--@include event
-- ARGV: worker id, seconds
-- Return: 1
event('store-back', '', ARGV[1], 'degraded for ' .. ARGV[2] .. ' s')
return 1
