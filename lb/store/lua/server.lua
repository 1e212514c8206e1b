-- Returns a server as the pool holds it, for replies: id, URL, weight, admin, health, source, reason, since.
-- KEYS: urls weights admin health sources reasons since
local function server(id)
  local row = { id }
  for _, column in ipairs({ urls, weights, admin, health, sources, reasons, since }) do
    row[#row + 1] = redis.call('HGET', column, id) or ''
  end
  return row
end
