-- A worker tells that it picked without the store for a while: nobody could be told here while it did.
--@include event
-- ARGV: worker id, seconds
-- Return: 1
event('store-back', '', ARGV[1], 'degraded for ' .. ARGV[2] .. ' s')
return 1
