-- Refuses what a health-checker reports whose lead has ended without its knowledge: it was frozen for a while, or its
-- report was delayed. Returns the error to reply with, or nil. An empty term is that of a caller who needs no lead.
-- KEYS: checker checker_term
local function deposed(term)
  if term == '' then return nil end
  if redis.call('EXISTS', checker) == 1 and redis.call('GET', checker_term) == term then return nil end
  return redis.error_reply('DEPOSED this health-checker no longer leads')
end
