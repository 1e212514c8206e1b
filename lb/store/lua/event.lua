-- Adds to the stream of events what has happened. A stream that takes no more, because somebody gave it the last of all
-- ids, begins again.
-- KEYS: events
local function event(kind, id, by, detail)
  local words = { events, 'MAXLEN', '~', 1000, '*', 'kind', kind, 'server', id, 'by', by, 'detail', detail }
  local added = redis.pcall('XADD', unpack(words))
  if type(added) ~= 'table' or not added.err then return end
  if added.err:find('exhausted') then redis.call('DEL', events) end
  redis.call('XADD', unpack(words))
end
