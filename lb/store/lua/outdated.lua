-- Refuses an act on a pool that is no longer as the caller saw it.
-- KEYS: version
-- Returns the error to reply with unless the pool is at one of these versions, joined by commas; '' allows any.
local function outdated(seen)
  if seen == '' then return nil end
  local found = redis.call('GET', version) or '0'
  for one in string.gmatch(seen, '[^,]+') do
    if one == found then return nil end
  end
  return redis.error_reply('VERSION ' .. found)
end
