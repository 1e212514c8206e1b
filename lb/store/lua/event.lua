-- Adds to the stream of events what has happened.
-- KEYS: events
local function event(kind, id, by, detail)
  redis.call('XADD', events, 'MAXLEN', '~', 1000, '*', 'kind', kind, 'server', id, 'by', by, 'detail', detail)
end
